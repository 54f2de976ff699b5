package feed_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"kvgateway/internal/feed"
	"kvgateway/internal/kv"
	"kvgateway/internal/kvclient"
	"kvgateway/internal/natstest"
)

// withCopies are options with copies in memory, which are compared with the store all the time.
func withCopies(t *testing.T) feed.Options {
	return feed.Options{
		Memory:      64 << 20,
		CheckCopies: 100 * time.Millisecond,
		CopyMismatch: func(_ kv.BucketName, key string) {
			t.Errorf("the copy disagrees with the store in %q", key)
		},
	}
}

// memory waits until the bucket is in memory.
func (l *lab) memory(t *testing.T, bucket string) feed.Memory {
	t.Helper()
	var m feed.Memory
	natstest.Eventually(t, patience, "a copy in memory", func() (ok bool) {
		m, ok = l.hub.Memory(bucketName(t, bucket))
		return ok
	})
	return m
}

// dropped returns how many copies were dropped for a reason.
func (l *lab) dropped(reason feed.Dropped) (n uint64) {
	l.hub.Stats().Copies.EachDrop(func(why feed.Dropped, count uint64) {
		if why == reason {
			n = count
		}
	})
	return n
}

// inMemory returns all entries of the bucket b in memory, by key.
func (l *lab) inMemory(t *testing.T) (entries map[string]kv.Entry, at kv.Revision) {
	t.Helper()
	entries = make(map[string]kv.Entry)
	m, ok := l.hub.Memory(bucketName(t, "b"))
	if !ok {
		return nil, 0
	}
	v, ok := m.View()
	if !ok {
		return nil, 0
	}
	v.Ascend(nil, "", func(e *kv.Entry) bool {
		entries[e.Key] = *e
		return true
	})
	return entries, v.Revision()
}

// inStore returns the last entries of all keys of the bucket b, as Bucket.Get returns them, and the
// stream's last revision. It returns false if something was written meanwhile.
func (l *lab) inStore(t *testing.T) (entries map[string]kv.Entry, last kv.Revision, ok bool) {
	t.Helper()
	bucket, before, err := l.client.State(t.Context(), bucketName(t, "b"))
	if err != nil {
		return nil, 0, false
	}
	stream, err := l.js.Stream(t.Context(), "KV_b")
	if err != nil {
		return nil, 0, false
	}
	info, err := stream.Info(t.Context(), jetstream.WithSubjectFilter("$KV.b.>"))
	if err != nil {
		return nil, 0, false
	}
	entries = make(map[string]kv.Entry)
	for subject := range info.State.Subjects {
		key, err := kv.ParseKey(subject[len("$KV.b."):])
		if err != nil {
			t.Fatal(err)
		}
		e, _, err := bucket.Get(t.Context(), key, kvclient.ReadOptions{})
		if deleted, ok := errors.AsType[*kv.KeyDeletedError](err); ok {
			e, err = deleted.Marker, nil
		}
		if err != nil {
			return nil, 0, false
		}
		entries[e.Key] = e
	}
	_, after, err := l.client.State(t.Context(), bucketName(t, "b"))
	same := err == nil && after.Last == before.Last && after.Messages == before.Messages
	return entries, after.Last, same
}

// untilCopyEqualsStore waits until the bucket b in memory is what the store has, in every field of
// every entry.
func (l *lab) untilCopyEqualsStore(t *testing.T) {
	t.Helper()
	difference := ""
	defer func() {
		if t.Failed() {
			t.Log(difference)
		}
	}()
	natstest.Eventually(t, patience, "the copy is what the store has", func() bool {
		stored, last, ok := l.inStore(t)
		kept, at := l.inMemory(t)
		difference = cmp.Diff(stored, kept, cmp.Transformer("time", time.Time.UnixNano),
			cmp.Comparer(bytes.Equal))
		return ok && kept != nil && last == at && difference == ""
	})
}

// bucketWithEverything returns the bucket b, which has times to live and transactions.
func (l *lab) bucketWithEverything(t *testing.T, history int64) *kvclient.Bucket {
	t.Helper()
	_, _, err := l.client.CreateBucket(t.Context(), bucketName(t, "b"), kv.BucketConfig{
		History: history, LimitMarkerTTL: kv.Duration(time.Second), AllowAtomic: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	bucket, err := l.client.Bucket(t.Context(), bucketName(t, "b"))
	if err != nil {
		t.Fatal(err)
	}
	return bucket
}

func keyOf(t *testing.T, name string) kv.Key {
	t.Helper()
	key, err := kv.ParseKey(name)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// everyKind stores an entry of each kind.
func everyKind(t *testing.T, l *lab, bucket *kvclient.Bucket) {
	t.Helper()
	ctx := t.Context()
	write := func(w kvclient.Write) {
		t.Helper()
		if _, err := bucket.Put(ctx, w); err != nil {
			t.Fatal(err)
		}
	}
	key := func(name string) kv.Key { return keyOf(t, name) }
	write(kvclient.Write{Key: key("plain"), Value: []byte("v")})
	write(kvclient.Write{Key: key("empty")})
	write(kvclient.Write{Key: key("typed"), Value: []byte("{}"),
		ContentType: "application/json", ContentEncoding: "gzip"})
	write(kvclient.Write{Key: key("ttl"), Value: []byte("v"), TTL: time.Hour})
	write(kvclient.Write{Key: key("idempotent"), Value: []byte("v"), TTL: time.Hour,
		Idempotency: kvclient.Idempotency{Key: "k", Caller: "c"}})
	for _, name := range []string{"deleted", "purged", "purged-ttl"} {
		write(kvclient.Write{Key: key(name), Value: []byte("v")})
	}
	for _, d := range []kvclient.Deletion{
		{Key: key("deleted")}, {Key: key("purged"), Purge: true},
		{Key: key("purged-ttl"), Purge: true, TTL: time.Hour},
	} {
		if _, err := bucket.Delete(ctx, d); err != nil {
			t.Fatal(err)
		}
	}
	_, err := bucket.Transact(ctx, kvclient.Transaction{Steps: []kvclient.Step{
		{Key: key("t.1"), Value: []byte("v"), ContentType: "text/plain"},
		{Key: key("t.2"), Value: []byte("v"), TTL: time.Hour},
		{Kind: kvclient.DeleteStep, Key: key("t.3")},
		{Kind: kvclient.PurgeStep, Key: key("t.4")},
	}})
	if err != nil {
		t.Fatal(err)
	}
	for name, header := range map[string]nats.Header{
		"native.never": {"Nats-TTL": {"never"}}, "native.ttl": {"Nats-TTL": {"2h"}},
		"native.marker": {"Nats-Marker-Reason": {"Purge"}},
		"native.odd":    {"Status": {"404"}, "Content-Type": {"a\tb"}},
	} {
		msg := &nats.Msg{Subject: "$KV.b." + name, Data: []byte("v"), Header: header}
		if _, err := l.js.PublishMsg(ctx, msg); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	write(kvclient.Write{Key: key("expires"), Value: []byte("v"), TTL: time.Second})
}

// For entries of every kind, the copy has in each field what a read of the store returns, whether
// the entry was there when the copy was loaded or arrived since.
func TestCopyHasEveryFieldOfEveryEntry(t *testing.T) {
	t.Parallel()
	for _, loaded := range []bool{true, false} {
		for _, history := range []int64{1, 8} {
			t.Run(fmt.Sprintf("loaded=%v,history=%d", loaded, history), func(t *testing.T) {
				t.Parallel()
				l := newLab(t, withCopies(t))
				bucket := l.bucketWithEverything(t, history)
				if loaded {
					everyKind(t, l, bucket)
				}
				l.watch(t, "b", feed.SubscribeOptions{})
				l.memory(t, "b")
				if !loaded {
					everyKind(t, l, bucket)
				}
				l.untilCopyEqualsStore(t)
				natstest.Eventually(t, patience, "the marker of an expired entry", func() bool {
					kept, _ := l.inMemory(t)
					return kept["expires"].Operation == kv.Expire
				})
				l.untilCopyEqualsStore(t)
			})
		}
	}
}

// writeNatively changes random keys of a bucket.
func writeNatively(t *testing.T, r *rand.Rand, native jetstream.KeyValue, changes int) {
	t.Helper()
	for i := range changes {
		key := fmt.Sprintf("k.%d", r.IntN(30))
		var err error
		switch r.IntN(6) {
		case 0:
			err = native.Delete(t.Context(), key)
		case 1:
			err = native.Purge(t.Context(), key)
		default:
			_, err = native.PutString(t.Context(), key, fmt.Sprint(i))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// The copy is what the store has after any writes, restarts of the server, purges by other tools,
// and a new bucket of the same name.
func TestCopyFollowsTheStore(t *testing.T) {
	t.Parallel()
	for _, history := range []uint8{1, 5} {
		t.Run(fmt.Sprintf("history=%d", history), func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(uint64(history), 18))
			config := jetstream.KeyValueConfig{Bucket: "b", History: history}
			l := newLab(t, withCopies(t))
			native := l.bucket(t, config)
			writeNatively(t, r, native, 100)
			l.watch(t, "b", feed.SubscribeOptions{})
			writeNatively(t, r, native, 300)
			l.untilCopyEqualsStore(t)

			put(t, native, "gone", "1")
			l.untilCopyEqualsStore(t)
			l.purgeKey(t, "gone")
			l.untilCopyEqualsStore(t)

			all := jetstream.DeleteMarkersOlderThan(-1)
			if err := native.PurgeDeletes(t.Context(), all); err != nil {
				t.Fatal(err)
			}
			writeNatively(t, r, native, 20)
			natstest.Eventually(t, patience, "nothing but purged markers differs", func() bool {
				stored, _, ok := l.inStore(t)
				kept, _ := l.inMemory(t)
				for key, e := range kept {
					if e.IsMarker() && stored[key].Revision == 0 {
						m, _ := l.hub.Memory(bucketName(t, "b"))
						found, _, _ := m.Get(keyOf(t, key))
						if !found.Unsure {
							return false
						}
						delete(kept, key)
					}
				}
				return ok && cmp.Equal(stored, kept, cmp.Comparer(time.Time.Equal))
			})

			l.server.Restart()
			natstest.Eventually(t, patience, "the server is back", func() bool {
				_, err := native.Put(t.Context(), "after", nil)
				return err == nil
			})
			writeNatively(t, r, native, 50)
			natstest.Eventually(t, patience, "a copy after the restart", func() bool {
				stored, last, ok := l.inStore(t)
				kept, at := l.inMemory(t)
				return ok && last == at && cmp.Equal(stored["after"], kept["after"],
					cmp.Comparer(time.Time.Equal))
			})

			if err := l.js.DeleteKeyValue(t.Context(), "b"); err != nil {
				t.Fatal(err)
			}
			natstest.Eventually(t, patience, "no copy without a bucket", func() bool {
				_, ok := l.hub.Memory(bucketName(t, "b"))
				return !ok
			})
			native = l.bucket(t, config)
			writeNatively(t, r, native, 30)
			l.untilCopyEqualsStore(t)
		})
	}
}

// A view never has a half of a transaction, however fast they come.
func TestViewHasWholeTransactions(t *testing.T) {
	t.Parallel()
	for _, history := range []int64{1, 64} {
		t.Run(fmt.Sprint("history=", history), func(t *testing.T) {
			t.Parallel()
			l := newLab(t, withCopies(t))
			bucket := l.bucketWithEverything(t, history)
			l.watch(t, "b", feed.SubscribeOptions{})
			m := l.memory(t, "b")
			keys := make([]kv.Key, 5)
			for i := range keys {
				keys[i] = keyOf(t, fmt.Sprint("k", i))
			}
			ctx, stop := context.WithCancel(t.Context())
			writers := make(chan error, 2)
			for range cap(writers) {
				go func() {
					for i := 0; ctx.Err() == nil; i++ {
						value := fmt.Append(nil, i, time.Now())
						steps := make([]kvclient.Step, len(keys))
						for j := range steps {
							steps[j] = kvclient.Step{Key: keys[j], Value: value}
						}
						_, err := bucket.Transact(t.Context(), kvclient.Transaction{Steps: steps})
						if err != nil {
							writers <- err
							return
						}
					}
					writers <- nil
				}()
			}
			states := make(map[string]bool)
			deadline := time.Now().Add(patience)
			for len(states) < 20 && time.Now().Before(deadline) {
				v, ok := m.View()
				if !ok {
					t.Fatal("the copy is gone")
				}
				first := ""
				v.Ascend(nil, "", func(e *kv.Entry) bool {
					if first == "" {
						first = string(e.Value)
					}
					if string(e.Value) != first {
						t.Errorf("%s has %q beside %q at %d", e.Key, e.Value, first, v.Revision())
					}
					return true
				})
				states[first] = true
			}
			stop()
			for range cap(writers) {
				if err := <-writers; err != nil {
					t.Error(err)
				}
			}
			if len(states) < 20 {
				t.Errorf("only %d states were seen", len(states))
			}
		})
	}
}

// An entry leaves the copy at its end, whether or not a marker takes its place.
func TestEntryLeavesTheCopyAtItsEnd(t *testing.T) {
	t.Parallel()
	l := newLab(t, withCopies(t))
	native := l.bucket(t, jetstream.KeyValueConfig{Bucket: "b", TTL: time.Second})
	l.watch(t, "b", feed.SubscribeOptions{})
	m := l.memory(t, "b")
	revision := put(t, native, "k", "v")
	var end time.Time
	natstest.Eventually(t, patience, "the value is there", func() bool {
		found, at, ok := m.Get(keyOf(t, "k"))
		if ok && found.Entry != nil {
			end = found.Entry.Expires
		}
		return at.Revision == revision
	})
	natstest.Eventually(t, patience, "the value is gone", func() bool {
		found, _, ok := m.Get(keyOf(t, "k"))
		return ok && found.Entry == nil
	})
	if since := time.Since(end); since < -10*time.Millisecond || since > 5*time.Second {
		t.Errorf("the value was there until %v after its end", since)
	}
	if _, size := l.hub.MemorySize(); size.Entries != 0 {
		natstest.Eventually(t, patience, "its memory is given back", func() bool {
			m.View()
			_, size = l.hub.MemorySize()
			return size.Entries == 0
		})
	}
}

// fill stores values of 64 KiB.
func fill(t *testing.T, native jetstream.KeyValue, values int) {
	t.Helper()
	for i := range values {
		if _, err := native.Put(t.Context(), fmt.Sprint("k", i), make([]byte, 64<<10)); err != nil {
			t.Fatal(err)
		}
	}
}

// Where the memory does not suffice, before a load, in the middle of one or after it, a bucket has
// no copy, and its streams go on.
func TestBucketWithoutMemoryHasNoCopy(t *testing.T) {
	t.Parallel()
	o := withCopies(t)
	o.Memory = 4 << 20
	l := newLab(t, o)
	small := l.bucket(t, jetstream.KeyValueConfig{Bucket: "small"})
	fill(t, small, 32)
	l.watch(t, "small", feed.SubscribeOptions{})
	m := l.memory(t, "small")

	large := l.bucket(t, jetstream.KeyValueConfig{Bucket: "large"})
	fill(t, large, 80) // more than all copies may have
	w := l.watch(t, "large", feed.SubscribeOptions{})
	w.untilKind(feed.Synced)
	natstest.Eventually(t, patience, "the copy is not loaded", func() bool {
		return l.dropped("memory") == 1
	})

	middle := l.bucket(t, jetstream.KeyValueConfig{Bucket: "middle"})
	fill(t, middle, 40) // more than the first one leaves
	w = l.watch(t, "middle", feed.SubscribeOptions{})
	w.untilKind(feed.Synced)
	natstest.Eventually(t, patience, "the load is given up", func() bool {
		return l.dropped("memory") == 2
	})
	if _, ok := l.hub.Memory(bucketName(t, "middle")); ok {
		t.Error("a copy is shown that was given up")
	}
	w.untilRevision(put(t, middle, "k", "v"))

	natstest.Eventually(t, patience, "the copy outgrows the memory", func() bool {
		fill(t, small, 80)
		return l.dropped("memory") == 3
	})
	if _, _, ok := m.Get(keyOf(t, "k1")); ok {
		t.Error("a copy is read that was given up")
	}
	if _, size := l.hub.MemorySize(); size.Bytes > o.Memory {
		t.Errorf("the copies take %d bytes", size.Bytes)
	}
}

// A copy that is wrong is found, counted and dropped, and another one is loaded.
func TestWrongCopyIsDropped(t *testing.T) {
	t.Parallel()
	wrong := make(chan string, 10)
	o := withCopies(t)
	o.CopyMismatch = func(_ kv.BucketName, key string) { wrong <- key }
	l := newLab(t, o)
	native := l.bucket(t, jetstream.KeyValueConfig{Bucket: "b"})
	put(t, native, "a", "1")
	put(t, native, "b", "2")
	l.watch(t, "b", feed.SubscribeOptions{})
	m := l.memory(t, "b")
	natstest.Eventually(t, patience, "comparisons that find nothing", func() bool {
		return l.hub.Stats().Copies.Checks.Load() > 1
	})
	found, _, _ := m.Get(keyOf(t, "b"))
	found.Entry.Expires = time.Now().Add(time.Hour) // nobody may do that
	l.hub.MemorySize()                              // by its lock, comparisons from now on see it
	select {
	case key := <-wrong:
		if key != "b" {
			t.Errorf("the first difference is said to be in %q", key)
		}
	case <-time.After(patience):
		t.Fatal("the difference was not found")
	}
	l.untilCopyEqualsStore(t)
	if n := l.hub.Stats().Copies.Mismatches.Load(); n != 1 || l.dropped(feed.DroppedMismatch) != 1 {
		t.Errorf("%d mismatches are counted", n)
	}
}

// The age of what is in memory stays small while the source is there, also beside a writer, and
// grows from the moment at which it is lost.
func TestAgeSaysWhenTheCopyWasCurrent(t *testing.T) {
	t.Parallel()
	server := natstest.Start(t, natstest.Options{})
	proxy := natstest.StartProxy(t, server.Addr())
	l := newLabAt(t, server, proxy.URL(), withCopies(t))
	native := l.bucket(t, jetstream.KeyValueConfig{Bucket: "b"})
	put(t, native, "k", "1")
	l.watch(t, "b", feed.SubscribeOptions{})
	m := l.memory(t, "b")
	age := func() time.Duration {
		age, ok := m.Age()
		if !ok {
			return time.Hour
		}
		return age
	}
	natstest.Eventually(t, patience, "the copy is current", func() bool {
		return age() < time.Second
	})
	put(t, native, "k", "2")
	m.Refresh()
	natstest.Eventually(t, patience, "the copy is current again", func() bool {
		found, _, _ := m.Get(keyOf(t, "k"))
		m.Refresh()
		return string(found.Entry.Value) == "2" && age() < 500*time.Millisecond
	})
	proxy.Pause()
	lost := time.Now()
	natstest.Holds(t, 2*time.Second, "the age counts from the loss", func() bool {
		since := time.Since(lost) // before the age is asked
		return age() >= since-50*time.Millisecond
	})
	put(t, native, "k", "3")
	proxy.Resume()
	natstest.Eventually(t, patience, "the copy is current after the loss", func() bool {
		m, ok := l.hub.Memory(bucketName(t, "b"))
		if !ok {
			return false
		}
		age, known := m.Age()
		found, _, ok := m.Get(keyOf(t, "k"))
		return ok && known && age < time.Second && string(found.Entry.Value) == "3"
	})
}

// The buckets that are chosen are in memory without a watcher, from the start on and as soon as
// they are created, and do not give way to others.
func TestChosenBucketsAreKeptInMemory(t *testing.T) {
	t.Parallel()
	server := natstest.Start(t, natstest.Options{})
	js := server.JetStream(t)
	before := natstest.CreateBucket(t, js, jetstream.KeyValueConfig{Bucket: "kept-1"})
	put(t, before, "k", "v")
	natstest.CreateBucket(t, js, jetstream.KeyValueConfig{Bucket: "other"})
	o := withCopies(t)
	o.Linger = time.Millisecond
	o.Keep = func(name kv.BucketName) bool { return name.String()[0] == 'k' }
	l := newLabAt(t, server, server.URL(), o)
	if found, _, ok := l.memory(t, "kept-1").Get(keyOf(t, "k")); !ok || found.Entry == nil {
		t.Fatal("the bucket that was there is not in memory")
	}
	later := l.bucket(t, jetstream.KeyValueConfig{Bucket: "kept-2"})
	m := l.memory(t, "kept-2")
	put(t, later, "k", "v")
	natstest.Eventually(t, patience, "the copy follows", func() bool {
		found, _, ok := m.Get(keyOf(t, "k"))
		return ok && found.Entry != nil
	})
	l.watch(t, "kept-2", feed.SubscribeOptions{}).Close()
	l.watch(t, "other", feed.SubscribeOptions{}).Close()
	natstest.Eventually(t, patience, "the other feed is gone", func() bool {
		feeds, _ := l.hub.Size()
		return feeds == 2
	})
	if err := l.js.DeleteKeyValue(t.Context(), "kept-2"); err != nil {
		t.Fatal(err)
	}
	natstest.Eventually(t, patience, "the feed of the deleted bucket is gone", func() bool {
		feeds, _ := l.hub.Size()
		return feeds == 1
	})
	l.memory(t, "kept-1")
}
