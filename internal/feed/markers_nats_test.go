package feed_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"kvgateway/internal/feed"
	"kvgateway/internal/natstest"
)

// Removals without a trace in the stream are a reset, but markers that were delivered may go. A
// sweep of markers takes a while, and its advisories come one for each: if the stream is counted
// in between, messages are missing whose purge is reported a moment later.
func TestSweepOfDeliveredMarkersIsNoReset(t *testing.T) {
	t.Parallel()
	l := newLab(t, feed.Options{})
	native := l.bucket(t, jetstream.KeyValueConfig{Bucket: "b", Storage: jetstream.MemoryStorage})
	const markers = 400
	for i := range markers {
		put(t, native, fmt.Sprintf("k%d", i), "1")
	}
	w := l.watch(t, "b", feed.SubscribeOptions{})
	w.untilKind(feed.Synced)
	for i := range markers {
		if err := native.Delete(t.Context(), fmt.Sprintf("k%d", i)); err != nil {
			t.Fatal(err)
		}
	}
	w.untilRevision(2 * markers)
	if err := native.PurgeDeletes(t.Context(), jetstream.DeleteMarkersOlderThan(-1)); err != nil {
		t.Fatal(err)
	}
	w.untilRevision(put(t, native, "c", "1"))
	w.pollFor(300 * time.Millisecond)
	for _, e := range w.told {
		if e.Kind == feed.Reset {
			t.Fatal("reset for ", e.Reason)
		}
	}
}

// A value with an end of its own took the place of another, and has vanished without a marker
// since. A replay from the store does not have it, so a client that resumes from before it is
// reset.
func TestReplayPastAnEntryThatEndedUntoldIsReset(t *testing.T) {
	t.Parallel()
	l := newLab(t, feed.Options{LogChanges: 8})
	_, kv := l.bucketOnStream(t, jetstream.StreamConfig{
		Name:              "KV_b",
		Subjects:          []string{"$KV.b.>"},
		MaxMsgsPerSubject: 1,
		Discard:           jetstream.DiscardNew,
		AllowRollup:       true,
		AllowDirect:       true,
		AllowMsgTTL:       true,
	})
	put(t, kv, "k", "old")
	other := l.watch(t, "b", feed.SubscribeOptions{Filters: filters(t, "other")})
	other.untilKind(feed.Synced) // it keeps the feed
	w := l.watch(t, "b", feed.SubscribeOptions{})
	w.untilKind(feed.Synced)
	point := w.untilExact(put(t, kv, "later", "v"))
	w.wantState(map[string]string{"k": "old", "later": "v"})
	stamp := w.Stamp()
	w.Close()

	l.putTTL(t, "k", "short", "1s")
	for i := range 20 { // so that the log has moved on
		put(t, kv, fmt.Sprint("x", i), "v")
	}
	natstest.Eventually(t, patience, "the end of a value", func() bool {
		_, err := kv.Get(t.Context(), "k")
		return errors.Is(err, jetstream.ErrKeyNotFound)
	})
	r := l.watch(t, "b", feed.SubscribeOptions{Resume: &point, Stamp: stamp})
	r.state = map[string]string{"k": "old", "later": "v"}
	r.untilKind(feed.Synced)
	if _, held := r.state["k"]; held {
		t.Errorf("%s is held, and the bucket does not have it", r.state["k"])
	}
}
