package handlers_test

import (
	"strconv"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"kvgateway/internal/kvclient"
	"kvgateway/internal/natstest"
)

// A long poll is not answered with what came before the entry that its client has, though the feed
// was behind the leader as the poll began, and reports the earlier entries only then.
func TestLongPollNeverGoesBack(t *testing.T) {
	t.Parallel()
	server := natstest.Start(t, natstest.Options{})
	proxy := natstest.StartProxy(t, server.Addr())
	native := natstest.CreateBucket(t, server.JetStream(t),
		jetstream.KeyValueConfig{Bucket: "shop", Storage: jetstream.MemoryStorage})
	g := start(t, inMemory, func(s *setup) {
		s.client = kvclient.Options{URL: proxy.URL(), Name: "test", Logger: s.client.Logger}
	})
	put(t, native, "a", "first")
	g.untilInMemory(t)
	const target = "/buckets/shop/keys/a"
	for range 5 {
		proxy.Pause("(feeds)")
		var last uint64
		for i := range 5 {
			last = put(t, native, "a", strconv.Itoa(i))
		}
		tag := g.get(t, target).is(t, 200).tag()
		held := make(chan *answer, 1)
		go func() { held <- g.get(t, target, "If-None-Match: "+tag, "Prefer: wait=30") }()
		eventually(t, "the long poll waits", func() bool {
			if len(held) > 0 {
				t.Fatalf("the long poll was answered: %+v", <-held)
			}
			return g.metric(t, "kvgw_subscriptions", nil) == 2
		})
		next := put(t, native, "a", "next")
		proxy.Resume()
		if a := <-held; a.status != 200 || a.revision(t) != next {
			t.Errorf("status %d with revision %d, but the client has %d and the next is %d",
				a.status, a.revision(t), last, next)
		}
		eventually(t, "the long poll has left", func() bool {
			return g.metric(t, "kvgw_subscriptions", nil) == 1
		})
	}
}
