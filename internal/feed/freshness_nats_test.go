package feed_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"kvgateway/internal/feed"
	"kvgateway/internal/kv"
	"kvgateway/internal/natstest"
)

// awaitFresh waits for a fresh position of the bucket b.
func (l *lab) awaitFresh(ctx context.Context, t testing.TB) (feed.Fresh, feed.Fallback) {
	t.Helper()
	name, err := kv.ParseBucketName("b")
	if err != nil {
		t.Fatal(err)
	}
	fresh, why, err := l.hub.AwaitFresh(ctx, name)
	if err != nil {
		t.Error(err)
	}
	return fresh, why
}

// untilFresh waits until a position is fresh that is at or beyond a revision.
func (l *lab) untilFresh(t *testing.T, at kv.Revision) {
	t.Helper()
	natstest.Eventually(t, patience, "a fresh position", func() bool {
		fresh, why := l.awaitFresh(t.Context(), t)
		if why == feed.Answered && fresh.Revision < at {
			t.Fatalf("revision %d is called fresh, %d was acknowledged", fresh.Revision, at)
		}
		return why == feed.Answered
	})
}

// However fast a key is overwritten, whoever asks is told a position that has all that was
// acknowledged before, and the leader is asked at most once a millisecond.
func TestFreshPositionHasEveryAcknowledgedWrite(t *testing.T) {
	l := newLab(t, feed.Options{})
	native := l.bucket(t, jetstream.KeyValueConfig{Bucket: "b", Storage: jetstream.MemoryStorage})
	w := l.watch(t, "b", feed.SubscribeOptions{})
	w.untilExact(put(t, native, "k", "0"))
	var acknowledged atomic.Uint64
	stop := make(chan struct{})
	var writer, readers sync.WaitGroup
	writer.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			revision, err := native.PutString(t.Context(), "k", "v")
			if err != nil {
				t.Error(err)
				return
			}
			acknowledged.Store(revision)
		}
	})
	began := time.Now()
	var answered, all atomic.Int64
	for range 16 {
		readers.Go(func() {
			for time.Since(began) < 2*time.Second {
				before := kv.Revision(acknowledged.Load())
				fresh, why := l.awaitFresh(t.Context(), t)
				if all.Add(1); why != feed.Answered {
					if _, err := native.Get(t.Context(), "k"); err != nil {
						t.Error(err)
					}
					continue
				}
				answered.Add(1)
				if fresh.Revision < before {
					t.Errorf("%d is called fresh, %d was acknowledged", fresh.Revision, before)
				}
			}
		})
	}
	readers.Wait()
	took := time.Since(began)
	close(stop)
	writer.Wait()
	asked := l.hub.Stats().Questions.Load()
	t.Logf("%d of %d were answered beside %d writes, by %d questions in %v",
		answered.Load(), all.Load(), acknowledged.Load(), asked, took)
	l.hub.Stats().EachFallback(func(why feed.Fallback, count uint64) {
		if count > 0 {
			t.Logf("%d were not: %v", count, why)
		}
	})
	if answered.Load() == 0 {
		t.Error("nobody was answered")
	}
	if most := uint64(took/time.Millisecond) + 1; asked > most {
		t.Errorf("%d questions in %v", asked, took)
	}
}

// The answer to a question comes over another connection than the messages. While these are held
// back, a position that the feed has reached is not fresh, whatever the leader answers.
func TestFreshReadWaitsForAFeedThatIsHeldBack(t *testing.T) {
	server := natstest.Start(t, natstest.Options{})
	proxy := natstest.StartProxy(t, server.Addr())
	l := newLabAt(t, server, proxy.URL(), feed.Options{})
	native := l.bucket(t, jetstream.KeyValueConfig{Bucket: "b"})
	w := l.watch(t, "b", feed.SubscribeOptions{})
	first := put(t, native, "k", "1")
	w.untilExact(first)
	l.untilFresh(t, first)

	proxy.Pause("(feeds)")
	put(t, native, "k", "2")
	asked := l.hub.Stats().Questions.Load()
	if fresh, why := l.awaitFresh(t.Context(), t); why != feed.Late {
		t.Errorf("told %v at %d, want that it takes too long", why, fresh.Revision)
	}
	if l.hub.Stats().Questions.Load() == asked {
		t.Error("the leader was not asked, so that nothing was held back")
	}
	last := put(t, native, "k", "3")
	proxy.Resume()
	l.untilFresh(t, last)
}

// Where what a feed has cannot be known to be what the leader has, nobody waits for it.
func TestFreshPositionsAreRefusedWhereTheyCannotBe(t *testing.T) {
	t.Parallel()
	mirror := func(t *testing.T, l *lab) {
		l.bucket(t, jetstream.KeyValueConfig{Bucket: "origin"})
		l.bucket(t, jetstream.KeyValueConfig{
			Bucket: "b", Mirror: &jetstream.StreamSource{Name: "KV_origin"},
		})
	}
	discarding := func(t *testing.T, l *lab) {
		l.bucketOnStream(t, jetstream.StreamConfig{
			Name: "KV_b", Subjects: []string{"$KV.b.>"}, MaxMsgsPerSubject: 1,
			MaxMsgs: 10, Discard: jetstream.DiscardOld,
		})
	}
	for name, create := range map[string]func(*testing.T, *lab){
		"a mirror": mirror, "a stream that discards": discarding,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t, feed.Options{})
			create(t, l)
			w := l.watch(t, "b", feed.SubscribeOptions{})
			w.untilKind(feed.Synced)
			if _, why := l.awaitFresh(t.Context(), t); why != feed.Unsuited {
				t.Errorf("told %v", why)
			}
		})
	}
	t.Run("no feed", func(t *testing.T) {
		t.Parallel()
		l := newLab(t, feed.Options{})
		l.bucket(t, jetstream.KeyValueConfig{Bucket: "b"})
		if _, why := l.awaitFresh(t.Context(), t); why != feed.Absent {
			t.Errorf("told %v", why)
		}
	})
	t.Run("no advisories", func(t *testing.T) {
		t.Parallel()
		l := newDeafLab(t)
		l.bucket(t, jetstream.KeyValueConfig{Bucket: "b"})
		w := l.watch(t, "b", feed.SubscribeOptions{})
		w.untilKind(feed.Synced)
		if _, why := l.awaitFresh(t.Context(), t); why != feed.Unsuited {
			t.Errorf("told %v", why)
		}
	})
}
