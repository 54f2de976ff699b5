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

// inMemory are the options of hubs that have copies.
var inMemory = feed.Options{Memory: 64 << 20}

// getFresh reads the key k of the bucket b from memory, as new as the leader has it. It returns the
// entry's revision, 0 for none.
func (l *lab) getFresh(ctx context.Context, t testing.TB) (kv.Revision, feed.Fallback) {
	t.Helper()
	name, err := kv.ParseBucketName("b")
	if err != nil {
		t.Fatal(err)
	}
	key, err := kv.ParseKey("k")
	if err != nil {
		t.Fatal(err)
	}
	m, ok := l.hub.Memory(name)
	if !ok {
		return 0, feed.Absent
	}
	found, _, why, err := m.GetFresh(ctx, key)
	if err != nil {
		t.Error(err)
	}
	if found.Entry == nil {
		return 0, why
	}
	return found.Entry.Revision, why
}

// untilFresh waits until the key k can be read from memory as new as the leader has it.
func (l *lab) untilFresh(t *testing.T, want kv.Revision) {
	t.Helper()
	natstest.Eventually(t, patience, "an answer from memory", func() bool {
		revision, why := l.getFresh(t.Context(), t)
		if why == feed.Answered && revision != want {
			t.Fatalf("revision %d is called fresh, want %d", revision, want)
		}
		return why == feed.Answered
	})
}

// However fast a key is overwritten, whoever reads it from memory is given no entry that is older
// than one that was acknowledged before, and the leader is asked at most once a millisecond.
func TestFreshReadHasEveryAcknowledgedWrite(t *testing.T) {
	l := newLab(t, inMemory)
	native := l.bucket(t, jetstream.KeyValueConfig{Bucket: "b", Storage: jetstream.MemoryStorage})
	l.watch(t, "b", feed.SubscribeOptions{})
	l.untilFresh(t, put(t, native, "k", "0"))
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
				revision, why := l.getFresh(t.Context(), t)
				if all.Add(1); why != feed.Answered {
					if _, err := native.Get(t.Context(), "k"); err != nil {
						t.Error(err)
					}
					continue
				}
				answered.Add(1)
				if revision < before {
					t.Errorf("%d is called fresh, %d was acknowledged", revision, before)
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
	l := newLabAt(t, server, proxy.URL(), inMemory)
	native := l.bucket(t, jetstream.KeyValueConfig{Bucket: "b"})
	l.watch(t, "b", feed.SubscribeOptions{})
	l.untilFresh(t, put(t, native, "k", "1"))

	proxy.Pause("(feeds)")
	put(t, native, "k", "2")
	asked := l.hub.Stats().Questions.Load()
	if revision, why := l.getFresh(t.Context(), t); why != feed.Late {
		t.Errorf("told %v at %d, want that it takes too long", why, revision)
	}
	if l.hub.Stats().Questions.Load() == asked {
		t.Error("the leader was not asked, so that nothing was held back")
	}
	last := put(t, native, "k", "3")
	proxy.Resume()
	l.untilFresh(t, last)
}

// Where what a feed has cannot be known to be what the leader has, nothing is read from memory.
func TestNothingIsFreshWhereItCannotBeKnown(t *testing.T) {
	t.Parallel()
	bucketOf := func(config jetstream.KeyValueConfig) func(*testing.T, *lab) {
		return func(t *testing.T, l *lab) {
			l.bucket(t, jetstream.KeyValueConfig{Bucket: "origin"})
			l.bucket(t, config)
		}
	}
	plain := bucketOf(jetstream.KeyValueConfig{Bucket: "b"})
	mirror := bucketOf(jetstream.KeyValueConfig{
		Bucket: "b", Mirror: &jetstream.StreamSource{Name: "KV_origin"},
	})
	hearing := func(t *testing.T) *lab { return newLab(t, inMemory) }
	for name, test := range map[string]struct {
		start  func(*testing.T) *lab
		create func(*testing.T, *lab)
	}{
		"a mirror":      {hearing, mirror},
		"no advisories": {func(t *testing.T) *lab { return newDeafLab(t, inMemory) }, plain},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := test.start(t)
			test.create(t, l)
			l.watch(t, "b", feed.SubscribeOptions{})
			var why feed.Fallback
			natstest.Eventually(t, patience, "the copy is loaded", func() bool {
				_, why = l.getFresh(t.Context(), t)
				return why != feed.Absent
			})
			if why != feed.Unsuited {
				t.Errorf("told %v", why)
			}
		})
	}
}

// A purge of which no advisory comes shows in the counts: the bucket is not read from memory until
// the gateway's copy has the same entries as the stream.
func TestPurgeWithoutAnAdvisoryIsNotFresh(t *testing.T) {
	server := natstest.Start(t, natstest.Options{})
	proxy := natstest.StartProxy(t, server.Addr())
	l := newLabAt(t, server, proxy.URL(), inMemory)
	native := l.bucket(t, jetstream.KeyValueConfig{Bucket: "b"})
	l.watch(t, "b", feed.SubscribeOptions{})
	put(t, native, "other", "1")
	l.untilFresh(t, put(t, native, "k", "1"))

	proxy.Pause("(feeds)")
	l.purgeKey(t, "k")
	if revision, why := l.getFresh(t.Context(), t); why != feed.Unexplained {
		t.Errorf("told %v of revision %d, which is gone", why, revision)
	}
	proxy.Resume()
	l.untilFresh(t, 0)
}
