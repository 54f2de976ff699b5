package feed_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"kvgateway/internal/feed"
	"kvgateway/internal/kv"
)

func TestResumeSendsOnlyWhatCameSince(t *testing.T) {
	t.Parallel()
	l := newLab(t, feed.Options{})
	native := l.bucket(t, jetstream.KeyValueConfig{Bucket: "b"})
	put(t, native, "a", "1")
	w := l.watch(t, "b", feed.SubscribeOptions{})
	point := w.untilKind(feed.Synced).Point
	w.Close()
	put(t, native, "a", "2")
	last := put(t, native, "c", "3")
	w = l.watch(t, "b", feed.SubscribeOptions{Resume: &point})
	w.untilKind(feed.Synced)
	w.wantState(map[string]string{"a": "2", "c": "3"})
	for name, tc := range map[string]struct {
		position kv.Position
		reason   string
	}{
		"epoch": {kv.Position{Epoch: "abc", Revision: 1}, feed.ReasonEpoch},
		"ahead": {kv.Position{Epoch: point.Epoch, Revision: last + 1}, feed.ReasonAhead},
		"bare":  {kv.Position{Revision: 1}, feed.ReasonUnknownID},
	} {
		w := l.watch(t, "b", feed.SubscribeOptions{Resume: &feed.Point{Position: tc.position}})
		if e := w.untilKind(feed.Reset); e.Reason != tc.reason {
			t.Errorf("%s: reset for %s", name, e.Reason)
		}
		w.untilKind(feed.Synced)
		w.wantState(map[string]string{"a": "2", "c": "3"})
	}
}

// A subscription that resumes in the moment between a bucket's deletion and the feed's learning of
// it is told that the bucket is deleted, and is neither refused nor reset.
func TestResumeDuringADeletionIsToldOfIt(t *testing.T) {
	t.Parallel()
	l := newLab(t, feed.Options{})
	for i := range 20 {
		name := fmt.Sprint("b", i)
		config := jetstream.KeyValueConfig{Bucket: name, Storage: jetstream.MemoryStorage}
		native := l.bucket(t, config)
		w := l.watch(t, name, feed.SubscribeOptions{})
		w.untilKind(feed.Synced)
		point := w.untilExact(put(t, native, "a", "1"))
		if err := l.js.DeleteKeyValue(t.Context(), name); err != nil {
			t.Fatal(err)
		}
		resumed := l.resume(t, name, &point)
		first := resumed.until("an event about the bucket", func(e feed.Event) bool {
			return e.Kind != feed.Stale && e.Kind != feed.Live
		})
		if first.Kind != feed.BucketDeleted {
			t.Errorf("the first event is of kind %d %s, want BucketDeleted",
				first.Kind, first.Reason)
		}
		w.untilKind(feed.BucketDeleted)
		resumed.Close()
		w.Close()
	}
}

// A subscription that comes in the moment in which the feed has lost its source, and has yet to
// ask why, waits for the answer.
func TestSubscribeWaitsWhileTheSourceIsLost(t *testing.T) {
	t.Parallel()
	l := newLab(t, feed.Options{})
	config := jetstream.KeyValueConfig{Bucket: "b", Storage: jetstream.MemoryStorage}
	l.bucket(t, config)
	l.watch(t, "b", feed.SubscribeOptions{}).untilKind(feed.Synced)
	name, err := kv.ParseBucketName("b")
	if err != nil {
		t.Fatal(err)
	}
	for range 50 {
		if err := l.js.DeleteKeyValue(t.Context(), "b"); err != nil {
			t.Fatal(err)
		}
		l.bucket(t, config)
		for again := time.Now().Add(50 * time.Millisecond); time.Now().Before(again); {
			s, err := l.hub.Subscribe(t.Context(), name, feed.SubscribeOptions{}, func() {})
			switch {
			case err == nil:
				s.Close()
			case !errors.Is(err, kv.ErrBucketNotFound): // it was missing a moment ago
				t.Fatal(err)
			}
		}
	}
}
