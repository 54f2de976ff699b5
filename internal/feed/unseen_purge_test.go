package feed_test

import (
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"kvgateway/internal/feed"
	"kvgateway/internal/kvclient"
	"kvgateway/internal/natstest"
)

// A marker that was stored and purged while the connection was lost is never read. The feed knows
// of the loss by the end of its source; the report of it comes another way and may come late, or
// as here not at all.
func TestMarkerPurgedWhileTheConnectionWasLostIsAReset(t *testing.T) {
	t.Parallel()
	server := natstest.Start(t, natstest.Options{})
	proxy := natstest.StartProxy(t, server.Addr())
	l := newLabAt(t, server, proxy.URL(), feed.Options{})
	kv := l.bucket(t, jetstream.KeyValueConfig{Bucket: "b"})
	put(t, kv, "a", "1")
	w := l.watch(t, "b", feed.SubscribeOptions{})
	w.untilExact(put(t, kv, "b", "2"))
	l.client.Observe(func(kvclient.Advisory) {})
	proxy.Cut()
	if err := kv.Delete(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	if err := kv.PurgeDeletes(t.Context(), jetstream.DeleteMarkersOlderThan(-1)); err != nil {
		t.Fatal(err)
	}
	w.untilExact(put(t, kv, "c", "3"))
	w.wantState(map[string]string{"b": "2", "c": "3"})
}

// A connection can die alone and unnoticed. The other connections then show that something was
// purged, but not what, and that must not be taken for a purge that was reported before.
func TestPurgeBehindADeadConnectionIsAReset(t *testing.T) {
	t.Parallel()
	server := natstest.Start(t, natstest.Options{})
	proxy := natstest.StartProxy(t, server.Addr())
	l := newLabAt(t, server, proxy.URL(), feed.Options{})
	kv := l.bucket(t, jetstream.KeyValueConfig{Bucket: "b", History: 5})
	put(t, kv, "a", "1")
	w := l.watch(t, "b", feed.SubscribeOptions{})
	w.untilExact(put(t, kv, "b", "2"))
	proxy.Strand("(feeds)")
	if err := kv.Delete(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	if err := kv.PurgeDeletes(t.Context(), jetstream.DeleteMarkersOlderThan(-1)); err != nil {
		t.Fatal(err)
	}
	w.untilKind(feed.Stale)
	w.untilKind(feed.Live)
	w.untilExact(put(t, kv, "c", "3"))
	w.wantState(map[string]string{"b": "2", "c": "3"})
}
