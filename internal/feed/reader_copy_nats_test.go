package feed_test

import (
	"fmt"
	"maps"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"kvgateway/internal/feed"
	"kvgateway/internal/feed/feedtest"
	"kvgateway/internal/kv"
	"kvgateway/internal/kvclient"
	"kvgateway/internal/natstest"
)

// comingBack is how many streams come back after a restart, and keysThere how many keys there are.
const (
	comingBack = 2000
	keysThere  = 1000
)

// bucketOfThousand makes the bucket b with keysThere keys, of which some have been overwritten and
// some deleted, so that nobody can vouch for what was read before.
func bucketOfThousand(t *testing.T, l *lab) jetstream.KeyValue {
	t.Helper()
	native := l.bucket(t, jetstream.KeyValueConfig{
		Bucket: "b", History: 1, Storage: jetstream.MemoryStorage,
	})
	for i := range keysThere + 100 {
		key := fmt.Sprintf("%c.%d", "ab"[i%2], i%keysThere)
		if _, err := l.js.PublishAsync("$KV.b."+key, fmt.Append(nil, i)); err != nil {
			t.Fatal(err)
		}
	}
	<-l.js.PublishAsyncComplete()
	for i := range 50 {
		if err := native.Delete(t.Context(), fmt.Sprintf("a.%d", 2*i)); err != nil {
			t.Fatal(err)
		}
	}
	return native
}

// countConsumers counts the consumers that are made on the bucket b from now on.
func countConsumers(t *testing.T, server *natstest.Server) *atomic.Int64 {
	t.Helper()
	made := new(atomic.Int64)
	nc := server.Conn(t)
	_, err := nc.Subscribe("$JS.EVENT.ADVISORY.CONSUMER.CREATED.KV_b.*",
		func(*nats.Msg) { made.Add(1) })
	if err == nil {
		err = nc.Flush()
	}
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// delivered returns how many messages the server has sent.
func delivered(t *testing.T, server *natstest.Server) int64 {
	t.Helper()
	v, err := server.NATS().Varz(nil)
	if err != nil {
		t.Fatal(err)
	}
	return v.OutMsgs
}

// Two thousand streams that come back to another gateway cost NATS one read of the bucket, and each
// has the state of the store.
func TestStreamsThatComeBackReadTheBucketOnce(t *testing.T) {
	t.Parallel()
	for name, patternsOf := range map[string]func(i int) []string{
		"few filters": func(i int) []string {
			return [][]string{nil, {"a.>"}, {"b.*", "a.1"}}[i%3]
		},
		"their filters": func(i int) []string { return []string{fmt.Sprintf("a.%d", i), "b.1"} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t, withCopies(t))
			native := bucketOfThousand(t, l)
			first := l.watch(t, "b", feed.SubscribeOptions{})
			point, stamp := first.untilExact(0), first.Stamp()
			l.hub.Close()
			put(t, native, "a.1", "written meanwhile")
			options := feed.Options{Memory: 64 << 20}
			_, l.hub = feedtest.Start(t, kvclient.Options{URL: l.server.URL()}, options)
			made, before := countConsumers(t, l.server), delivered(t, l.server)
			watchers := l.comeBack(t, patternsOf, point, stamp)
			stored := storedIn(t, native)
			for i, w := range watchers {
				w.untilKind(feed.Synced)
				want := maps.Clone(stored)
				fs := filters(t, patternsOf(i)...)
				maps.DeleteFunc(want, func(key, _ string) bool { return !fs.Matches(key) })
				if !maps.Equal(w.state, want) {
					t.Fatalf("stream %d has %d keys, not what is stored", i, len(w.state))
				}
			}
			stats := l.hub.Stats()
			t.Logf("%d messages, %d consumers, %d readings from memory, %d questions",
				delivered(t, l.server)-before, made.Load(), stats.MemorySnapshots.Load(),
				stats.Questions.Load())
			// One consumer is the source's, one the copy's, and one was made by this test.
			if n := made.Load(); n > 3 || stats.Snapshots.Load() > 0 {
				t.Errorf("%d consumers, and %d readings, want one read", n, stats.Snapshots.Load())
			}
			if n := delivered(t, l.server) - before; n > 2*keysThere+comingBack/2 {
				t.Errorf("NATS sent %d messages for a bucket of %d keys", n, keysThere)
			}
		})
	}
}

// comeBack subscribes comingBack times at once, every other time at a point.
func (l *lab) comeBack(
	t *testing.T, patternsOf func(i int) []string, point feed.Point, stamp string,
) []*watcher {
	t.Helper()
	watchers := make([]*watcher, comingBack)
	errs := make([]error, comingBack)
	var work sync.WaitGroup
	for i := range watchers {
		w := newWatcher(t)
		watchers[i] = w
		options := feed.SubscribeOptions{Filters: filters(t, patternsOf(i)...)}
		if i%2 == 0 {
			options.Resume, options.Stamp = &point, stamp
		}
		name := bucketName(t, "b")
		work.Go(func() {
			w.Subscription, errs[i] = l.hub.Subscribe(t.Context(), name, options,
				feed.WakeByToken(w.wake))
		})
	}
	work.Wait()
	for i, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(watchers[i].Close)
	}
	return watchers
}

// A stream that begins after a write was acknowledged has it in its snapshot, though the snapshot
// comes from memory and the write by another connection.
func TestSnapshotFromMemoryHasEarlierWrites(t *testing.T) {
	t.Parallel()
	l := newLab(t, withCopies(t))
	native := l.bucket(t, jetstream.KeyValueConfig{Bucket: "b", Storage: jetstream.MemoryStorage})
	put(t, native, "k", "first")
	l.watch(t, "b", feed.SubscribeOptions{})
	l.memory(t, "b")
	for i := range 300 {
		// Each has filters of its own, so that it shares no snapshot.
		w := l.watch(t, "b", feed.SubscribeOptions{Filters: filters(t, "k", fmt.Sprint("n.", i))})
		value := fmt.Sprint(i)
		w.Close()
		put(t, native, "k", value)
		w = l.watch(t, "b", feed.SubscribeOptions{Filters: filters(t, "k", fmt.Sprint("m.", i))})
		w.untilKind(feed.Synced)
		if w.state["k"] != value {
			t.Fatalf("the snapshot has %s after %s was stored", w.state["k"], value)
		}
		w.Close()
	}
	if n := l.hub.Stats().MemorySnapshots.Load(); n == 0 {
		t.Error("nothing was read from memory")
	}
}

// A snapshot comes from memory only once the feed has read what the leader had when the stream
// came.
func TestSnapshotFromMemoryWaitsForAFeedThatIsHeldBack(t *testing.T) {
	t.Parallel()
	server := natstest.Start(t, natstest.Options{})
	proxy := natstest.StartProxy(t, server.Addr())
	l := newLabAt(t, server, proxy.URL(), feed.Options{Memory: 64 << 20})
	native := l.bucket(t, jetstream.KeyValueConfig{Bucket: "b"})
	l.watch(t, "b", feed.SubscribeOptions{}).untilExact(put(t, native, "k", "1"))
	l.memory(t, "b")
	proxy.Pause("(feeds)")
	put(t, native, "k", "2")
	w := l.watch(t, "b", feed.SubscribeOptions{Filters: filters(t, "k")})
	natstest.Holds(t, 300*time.Millisecond, "nothing is told", func() bool {
		w.pollAll()
		return len(w.told) == 0
	})
	proxy.Resume()
	w.untilKind(feed.Synced)
	w.wantState(map[string]string{"k": "2"})
}

// A replay comes from memory where the bucket keeps one entry of each key, and from NATS where it
// keeps more, so that none that is stored is left out.
func TestReplayFromMemoryLeavesNothingOut(t *testing.T) {
	t.Parallel()
	for _, history := range []uint8{1, 64} {
		t.Run(fmt.Sprint("history ", history), func(t *testing.T) {
			t.Parallel()
			options := withCopies(t)
			options.LogChanges = 5
			l := newLab(t, options)
			native := l.bucket(t, jetstream.KeyValueConfig{Bucket: "b", History: history})
			w := l.watch(t, "b", feed.SubscribeOptions{})
			put(t, native, "a", "1")
			point := w.untilExact(put(t, native, "z", "1")) // which stays, and proves the history
			l.memory(t, "b")
			read := l.hub.Stats().Snapshots.Load()
			first := put(t, native, "a", "2")
			for i := range 20 {
				put(t, native, fmt.Sprint("k.", i), "v")
			}
			if err := native.Delete(t.Context(), "k.3"); err != nil {
				t.Fatal(err)
			}
			last := put(t, native, "a", "3")
			want := w.untilExact(last)
			back := l.resume(t, "b", &point)
			back.state = map[string]string{"a": "1", "z": "1"}
			told := back.untilExact(last)
			if told != want || !maps.Equal(back.state, w.state) {
				t.Errorf("%v at %v, want %v at %v", back.state, told, w.state, want)
			}
			var revisions []kv.Revision
			for _, e := range back.told {
				if e.Kind == feed.Reset {
					t.Fatalf("reset: %s", e.Reason)
				}
				if e.Kind == feed.Changed {
					revisions = append(revisions, e.Change.Revision)
				}
			}
			fromNATS := l.hub.Stats().Snapshots.Load() - read
			if (fromNATS == 0) != (history == 1) {
				t.Errorf("%d replays were read from NATS, %d from memory", fromNATS,
					l.hub.Stats().MemorySnapshots.Load())
			}
			if history > 1 && revisions[0] != first {
				t.Errorf("%v came, want all from %d on", revisions, first)
			}
		})
	}
}

// A marker that has expired is in memory no more than in NATS. A stream that comes back from before
// it, beyond what the log has, is reset and does not keep the key.
func TestReplayFromMemoryMissesAMarkerThatExpired(t *testing.T) {
	t.Parallel()
	options := withCopies(t)
	options.LogChanges = 5
	l := newLab(t, options)
	bucket := l.bucketWithEverything(t, 1)
	native, err := l.js.KeyValue(t.Context(), "b")
	if err != nil {
		t.Fatal(err)
	}
	w := l.watch(t, "b", feed.SubscribeOptions{})
	l.memory(t, "b")
	put(t, native, "k", "v")
	point := w.untilExact(put(t, native, "z", "1"))
	deletion := kvclient.Deletion{Key: keyOf(t, "k"), Purge: true, TTL: time.Second}
	if _, err := bucket.Delete(t.Context(), deletion); err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		put(t, native, fmt.Sprint("k.", i), "v")
	}
	natstest.Eventually(t, patience, "the end of the marker", func() bool {
		kept, _ := l.inMemory(t)
		_, there := kept["k"]
		return kept != nil && !there
	})
	back := l.resume(t, "b", &point)
	back.state = map[string]string{"k": "v", "z": "1"}
	back.untilStored(native)
	if l.hub.Stats().MemorySnapshots.Load() < 2 {
		t.Error("the replay was not read from memory")
	}
}
