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

// resume subscribes at a point.
func (l *lab) resume(t *testing.T, bucket string, point *feed.Point) *watcher {
	t.Helper()
	return l.watch(t, bucket, feed.SubscribeOptions{Resume: point})
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
