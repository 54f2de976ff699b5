package feed_test

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"kvgateway/internal/feed"
	"kvgateway/internal/kv"
	"kvgateway/internal/natstest"
)

// A stream that another tool made may allow the deletion of single messages. It is found out
// although new messages make up for them in number.
func TestMessageDeleteIsAReset(t *testing.T) {
	t.Parallel()
	l := newLab(t, feed.Options{})
	stream, native := l.bucketOnStream(t, jetstream.StreamConfig{
		Name: "KV_b", Subjects: []string{"$KV.b.>"}, MaxMsgsPerSubject: 5,
		AllowDirect: true, AllowRollup: true, Discard: jetstream.DiscardNew,
	})
	put(t, native, "a", "1")
	put(t, native, "b", "2")
	w := l.watch(t, "b", feed.SubscribeOptions{})
	w.untilExact(2)
	if err := stream.DeleteMsg(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	put(t, native, "c", "3")
	if e := w.untilKind(feed.Reset); e.Reason != feed.ReasonPurged {
		t.Errorf("reset for %s", e.Reason)
	}
	w.untilHolds(map[string]string{"b": "2", "c": "3"})
}

// If nothing was ever removed the stream's counts prove it, however often the connection is cut
// and however busy the writers are.
func TestLossWhereNothingWasRemovedIsNoReset(t *testing.T) {
	t.Parallel()
	server := natstest.Start(t, natstest.Options{})
	proxy := natstest.StartProxy(t, server.Addr())
	l := newLabAt(t, server, proxy.URL(), feed.Options{})
	native := l.bucket(t, jetstream.KeyValueConfig{Bucket: "b", History: 64})
	put(t, native, "k", "0")
	w := l.watch(t, "b", feed.SubscribeOptions{})
	w.untilExact(1)
	var stop atomic.Bool
	written := make(chan kv.Revision)
	go func() {
		var last kv.Revision
		for n := 0; !stop.Load(); n++ {
			last = put(t, native, fmt.Sprintf("k%d", n/50), fmt.Sprint(n)) // no key is at its limit
		}
		written <- last
	}()
	const cuts = 8
	for range cuts {
		proxy.Cut()
		w.untilKind(feed.Stale)
		w.untilKind(feed.Live)
		w.pollFor(100 * time.Millisecond)
	}
	stop.Store(true)
	last := <-written
	w.untilExact(last)
	w.untilStored(native)
	l.hub.Stats().EachReset(func(reason string, n uint64) {
		if n > 0 {
			t.Errorf("%d resets for %s", n, reason)
		}
	})
}
