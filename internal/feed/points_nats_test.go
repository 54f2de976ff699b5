package feed_test

import (
	"fmt"
	"maps"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"kvgateway/internal/feed"
	"kvgateway/internal/kv"
)

// A purge leaves the revision as it is, so that an id can be from before it. A client that was
// away at the purge is reset, however it came by its id.
func TestResumeAtTheRevisionOfAPurgeIsReset(t *testing.T) {
	t.Parallel()
	l := newLab(t, feed.Options{})
	native := l.bucket(t, jetstream.KeyValueConfig{Bucket: "b"})
	put(t, native, "a", "1")
	put(t, native, "b", "1")
	w := l.watch(t, "b", feed.SubscribeOptions{})
	point, stamp := w.untilKind(feed.Synced).Point, w.Stamp()
	w.Close()
	stays := l.watch(t, "b", feed.SubscribeOptions{})
	stays.untilKind(feed.Synced)
	l.purgeKey(t, "a")
	stays.untilKind(feed.Reset)
	w = l.watch(t, "b", feed.SubscribeOptions{Resume: &point, Stamp: stamp})
	w.untilKind(feed.Reset)
	w.untilKind(feed.Synced)
	w.wantState(map[string]string{"b": "1"})
}

// A client that was given a point by this feed may come back with it, even if nothing was written
// since the feed began.
func TestResumeWhereTheFeedBeganIsNoReset(t *testing.T) {
	t.Parallel()
	l := newLab(t, feed.Options{})
	native := l.bucket(t, jetstream.KeyValueConfig{Bucket: "b"})
	put(t, native, "a", "1")
	put(t, native, "a", "2") // the first one is gone, so the stream proves nothing
	w := l.watch(t, "b", feed.SubscribeOptions{})
	point, stamp := w.untilKind(feed.Synced).Point, w.Stamp()
	w.Close()
	last := put(t, native, "b", "1")
	w = l.watch(t, "b", feed.SubscribeOptions{Resume: &point, Stamp: stamp})
	w.untilExact(last)
	w.wantState(map[string]string{"b": "1"}) // only what came since then
	l.hub.Stats().EachReset(func(reason string, n uint64) {
		if n > 0 {
			t.Errorf("reset for %s", reason)
		}
	})
}

// A backup that is restored undoes a purge. The stream is then whole, as if nothing had ever been
// removed from it; but a client that was told of the purge lacks what is there again.
func TestIDFromAfterAPurgeThatABackupUndoesIsReset(t *testing.T) {
	t.Parallel()
	l := newLab(t, feed.Options{})
	kv := l.bucket(t, jetstream.KeyValueConfig{Bucket: "b", History: 5})
	put(t, kv, "x", "v")
	put(t, kv, "a", "v")
	last := put(t, kv, "z", "v")
	saved := l.server.Save()

	other := newLabAt(t, l.server, l.server.URL(), feed.Options{})
	w := other.watch(t, "b", feed.SubscribeOptions{})
	w.untilKind(feed.Synced)
	l.purgeKey(t, "x")
	stamp := w.untilKind(feed.Reset).Stamp
	w.untilKind(feed.Synced)
	point := w.untilExact(last)
	w.wantState(map[string]string{"a": "v", "z": "v"})

	l.server.Restore(saved)
	g := newLabAt(t, l.server, l.server.URL(), feed.Options{})
	r := g.watch(t, "b", feed.SubscribeOptions{Resume: &point, Stamp: stamp})
	first := r.until("news", func(e feed.Event) bool {
		return e.Kind != feed.Live && e.Kind != feed.Stale
	})
	if first.Kind != feed.Reset {
		t.Fatalf("first told kind %d, want a reset", first.Kind)
	}
	r.untilKind(feed.Synced)
	r.wantState(map[string]string{"x": "v", "a": "v", "z": "v"})
}

// A point from before a change of the configuration is not accepted, even if nothing was ever
// removed and the revision is the same: what its client holds has another end now.
func TestPointFromBeforeAConfigurationChangeIsReset(t *testing.T) {
	t.Parallel()
	l := newLab(t, feed.Options{})
	native := l.bucket(t, jetstream.KeyValueConfig{Bucket: "b", TTL: time.Hour})
	put(t, native, "a", "1")
	w := l.watch(t, "b", feed.SubscribeOptions{})
	point := w.untilExact(1)
	name, _ := kv.ParseBucketName("b")
	if _, err := l.client.UpdateBucket(t.Context(), name, []byte(`{"ttl":"0s"}`)); err != nil {
		t.Fatal(err)
	}
	w.untilKind(feed.Reset)
	w.untilExact(1)
	resumed := l.resume(t, "b", &point)
	if e := resumed.untilKind(feed.Reset); e.Reason != feed.ReasonHorizon {
		t.Errorf("reset for %s", e.Reason)
	}
	resumed.untilExact(1)
	want := map[string]string{"a": "1"}
	if !maps.Equal(resumed.unexpired(), want) || !resumed.ends["1"].IsZero() {
		t.Errorf("holds %v until %v, want %v for ever",
			resumed.unexpired(), fmt.Sprint(resumed.ends), want)
	}
}
