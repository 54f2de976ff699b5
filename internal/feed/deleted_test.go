package feed_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"kvgateway/internal/feed"
	"kvgateway/internal/kvclient"
	"kvgateway/internal/natstest"
)

// Who resumes in the moment between a bucket's deletion and the feed's learning of it is told that it is deleted, and not refused.
func TestResumeWhileTheBucketIsDeleted(t *testing.T) {
	t.Parallel()
	l := start(t, feed.Options{})
	for i := range 20 {
		name := fmt.Sprint("b", i)
		kv := l.bucket(t, jetstream.KeyValueConfig{Bucket: name, Storage: jetstream.MemoryStorage})
		w := l.watch(t, name, feed.SubscribeOptions{})
		w.untilKind(feed.Synced)
		point := w.untilExact(put(t, kv, "a", "1"))
		if err := l.js.DeleteKeyValue(t.Context(), name); err != nil {
			t.Fatal(err)
		}
		resumed := l.resume(t, name, &point)
		resumed.untilKind(feed.BucketDeleted)
		w.untilKind(feed.BucketDeleted)
		resumed.Close()
		w.Close()
	}
}

// resume subscribes at a point. In the moment in which the feed has lost its source and not yet asked why, that is refused for a cause that
// passes.
func (l *lab) resume(t *testing.T, bucket string, point *feed.Point) *watcher {
	t.Helper()
	name, err := kvclient.ParseBucketName(bucket)
	if err != nil {
		t.Fatal(err)
	}
	w := &watcher{t: t, wake: make(chan struct{}, 1), state: make(map[string]string)}
	natstest.Eventually(t, patience, "a subscription", func() bool {
		w.Subscription, err = l.hub.Subscribe(t.Context(), name, feed.SubscribeOptions{Resume: point}, feed.Token(w.wake))
		if err != nil && !errors.Is(err, kvclient.ErrUnavailable) {
			t.Fatalf("subscribe: %v", err)
		}
		return err == nil
	})
	t.Cleanup(w.Close)
	return w
}
