package feed_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"kvgateway/internal/feed"
	"kvgateway/internal/kv"
	"kvgateway/internal/natstest"
)

// A writer that never rests keeps a subscription from being exact only for moments, though each of
// its values overwrites the one before. With many writers an exact point is rare, and none is
// wrong. Where the stream's last number had to be the feed's own, 1 % of the bookmarks were exact
// beside one writer, and half of all waits for an exact one took more than 0.1 s.
func TestExactPointsComeBesideBusyWriters(t *testing.T) {
	for writers, share := range map[int]float64{1: 0.3, 8: 0} {
		t.Run(fmt.Sprintf("%d writers", writers), func(t *testing.T) {
			l := newLab(t, feed.Options{})
			config := jetstream.KeyValueConfig{Bucket: "b", Storage: jetstream.MemoryStorage}
			native := l.bucket(t, config)
			put(t, native, "k", "0")
			w := l.watch(t, "b", feed.SubscribeOptions{})
			w.untilExact(1)
			stop, work, stored := overwrite(t, native, writers)
			bookmarks, claims := 0, make(map[kv.Revision]string)
			exact := 0
			for began := time.Now(); time.Since(began) < time.Second; time.Sleep(time.Millisecond) {
				for more := true; more; {
					var events []feed.Event
					events, more = w.Poll(nil, 1000)
					for _, e := range events {
						w.fold(e)
					}
				}
				bookmarks++
				if point, isExact, _, ok := w.Bookmark(); ok && isExact {
					exact++
					claims[point.Revision] = w.state["k"]
				}
			}
			stop.Store(true)
			work.Wait()
			t.Logf("%d of %d bookmarks were exact", exact, bookmarks)
			if float64(exact) < share*float64(bookmarks) {
				t.Errorf("%d of %d bookmarks were exact", exact, bookmarks)
			}
			for revision, value := range claims {
				if want, known := stored.Load(revision); known && want != value {
					t.Errorf("at %d, which was called exact, it had %q; stored is %q",
						revision, value, want)
				}
			}
		})
	}
}

// overwrite lets writers put values under one key until stop is set. stored has them by revision.
func overwrite(t *testing.T, native jetstream.KeyValue, writers int) (
	stop *atomic.Bool, work *sync.WaitGroup, stored *sync.Map,
) {
	stop, work, stored = new(atomic.Bool), new(sync.WaitGroup), new(sync.Map)
	for writer := range writers {
		work.Go(func() {
			for n := 0; !stop.Load(); n++ {
				value := fmt.Sprintf("%d.%d", writer, n)
				revision, err := native.PutString(t.Context(), "k", value)
				if err != nil {
					t.Error(err)
					return
				}
				stored.Store(kv.Revision(revision), value)
			}
		})
	}
	return stop, work, stored
}

// A bookmark that is not exact is followed by an event as soon as the state is, though nobody asks
// again and the writer never rests.
func TestExactPointFollowsABookmarkThatIsNotExact(t *testing.T) {
	l := newLab(t, feed.Options{})
	native := l.bucket(t, jetstream.KeyValueConfig{Bucket: "b", Storage: jetstream.MemoryStorage})
	put(t, native, "k", "0")
	w := l.watch(t, "b", feed.SubscribeOptions{})
	w.untilExact(1)
	stop, work, stored := overwrite(t, native, 1)
	defer work.Wait()
	defer stop.Store(true)
	natstest.Eventually(t, patience, "a bookmark that is not exact", func() bool {
		w.pollAll()
		_, exact, _, ok := w.Bookmark()
		return ok && !exact
	})
	e := w.untilKind(feed.BecameExact)
	natstest.Eventually(t, patience, "what was stored there is known", func() bool {
		want, known := stored.Load(e.Point.Revision)
		if known && want != w.state["k"] {
			t.Fatalf("exact at %d with %q, stored is %q", e.Point.Revision, w.state["k"], want)
		}
		return known
	})
}
