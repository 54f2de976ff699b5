package feed_test

import (
	"fmt"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"kvgateway/internal/feed"
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
		resumed := l.watch(t, name, feed.SubscribeOptions{Resume: &point})
		resumed.untilKind(feed.BucketDeleted)
		w.untilKind(feed.BucketDeleted)
		resumed.Close()
		w.Close()
	}
}
