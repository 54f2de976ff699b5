package feed_test

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"kvgateway/internal/feed"
)

// Between the moment at which a feed begins anew and the reset that a subscription is sent, there
// is no bookmark: it would promise what came in between.
func TestBookmarkWaitsForTheReset(t *testing.T) {
	t.Parallel()
	for name, upset := range map[string]func(*testing.T, *lab) error{
		"purged": func(t *testing.T, l *lab) error {
			l.purgeKey(t, "a")
			return nil
		},
		"created again": func(t *testing.T, l *lab) error {
			if err := l.js.DeleteKeyValue(t.Context(), "b"); err != nil {
				return err
			}
			l.bucket(t, jetstream.KeyValueConfig{Bucket: "b"})
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t, feed.Options{})
			kv := l.bucket(t, jetstream.KeyValueConfig{Bucket: "b"})
			put(t, kv, "a", "1")
			w := l.watch(t, "b", feed.SubscribeOptions{})
			before := w.untilExact(put(t, kv, "b", "2"))
			for len(w.wake) > 0 {
				<-w.wake
				w.Poll(nil, 1)
			}
			if err := upset(t, l); err != nil {
				t.Fatal(err)
			}
			select {
			case <-w.wake:
			case <-time.After(patience):
				t.Fatal("not woken")
			}
			if p, exact, _, ok := w.Bookmark(); ok && (exact || p != before) {
				t.Errorf("before the reset the position is %v, exact %t; it was %v",
					p, exact, before)
			}
			w.untilKind(feed.Reset)
		})
	}
}
