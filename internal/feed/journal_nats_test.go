package feed_test

import (
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"kvgateway/internal/feed"
	"kvgateway/internal/natstest"
)

// A message can take all others with it, and no advisory reports that.
func TestRollupOfAllIsAReset(t *testing.T) {
	for _, ttl := range []time.Duration{0, time.Hour} {
		t.Run(ttl.String(), func(t *testing.T) {
			t.Parallel()
			l := newLab(t, feed.Options{})
			native := l.bucket(t, jetstream.KeyValueConfig{Bucket: "b", TTL: ttl})
			put(t, native, "a", "1")
			w := l.watch(t, "b", feed.SubscribeOptions{})
			w.untilExact(put(t, native, "b", "2"))
			rollup := &nats.Msg{
				Subject: "$KV.b.c", Data: []byte("3"), Header: nats.Header{"Nats-Rollup": {"all"}},
			}
			if _, err := l.js.PublishMsg(t.Context(), rollup); err != nil {
				t.Fatal(err)
			}
			w.untilHolds(map[string]string{"c": "3"})
		})
	}
}

// A message that is no valid entry does not keep a feed from its bucket.
func TestBrokenMessageKeepsNoFeedAway(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t, natstest.Options{})
	proxy := natstest.StartProxy(t, s.Addr())
	l := newLabAt(t, s, proxy.URL(), feed.Options{})
	native, w := l.beginAB(t)
	c, err := net.Dial("tcp", s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	const header = "NATS/1.0\r\nno colon\r\n\r\n"
	_, err = fmt.Fprintf(c, "CONNECT {\"verbose\":false,\"headers\":true}\r\n"+
		"HPUB $KV.b.x %d %d\r\n%sv\r\n", len(header), len(header)+1, header)
	if err != nil {
		t.Fatal(err)
	}
	w.untilHolds(map[string]string{"a": "1", "b": "2", "x": "v"})
	proxy.Cut()
	put(t, native, "c", "3")
	w.untilHolds(map[string]string{"a": "1", "b": "2", "c": "3", "x": "v"})
}
