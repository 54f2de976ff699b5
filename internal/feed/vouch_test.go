package feed_test

import (
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"kvgateway/internal/feed"
)

// A backup that is restored undoes a purge. The stream is then whole, and shows that nothing was ever
// removed from it; but a client that was told of the purge lacks what is there again.
func TestIDFromAfterAPurgeThatABackupUndoesIsReset(t *testing.T) {
	t.Parallel()
	l := start(t, feed.Options{})
	kv := l.bucket(t, jetstream.KeyValueConfig{Bucket: "b", History: 5})
	put(t, kv, "x", "v")
	put(t, kv, "a", "v")
	last := put(t, kv, "z", "v")
	saved := l.server.Save()

	w := startAt(t, l.server, l.server.URL(), feed.Options{}).watch(t, "b", feed.SubscribeOptions{})
	w.untilKind(feed.Synced)
	s, err := l.js.Stream(t.Context(), "KV_b")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Purge(t.Context(), jetstream.WithPurgeSubject("$KV.b.x")); err != nil {
		t.Fatal(err)
	}
	stamp := w.untilKind(feed.Reset).Stamp
	w.untilKind(feed.Synced)
	point := w.untilExact(last)
	w.want(map[string]string{"a": "v", "z": "v"})

	l.server.Restore(saved)
	g := startAt(t, l.server, l.server.URL(), feed.Options{})
	r := g.watch(t, "b", feed.SubscribeOptions{Resume: &point, Stamp: stamp})
	first := r.until("news", func(e feed.Event) bool { return e.Kind != feed.Live && e.Kind != feed.Stale })
	if first.Kind != feed.Reset {
		t.Fatalf("first told kind %d, want a reset", first.Kind)
	}
	r.untilKind(feed.Synced)
	r.want(map[string]string{"x": "v", "a": "v", "z": "v"})
}
