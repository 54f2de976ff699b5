package kvclient_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"kvgateway/internal/kv"
	"kvgateway/internal/kvclient"
	"kvgateway/internal/natstest"
)

// With several writers of one key, a replicated stream refuses a write without naming the current
// revision (error 10164). The gateway must find out the revision and report it all the same.
func TestClusterRacesLoseNothing(t *testing.T) {
	_, _, b, js := cluster(t)
	native := native(t, js, "shop")
	const writers, increments = 6, 15
	put(t, b, "n", "0")
	inParallel(writers, func(i int) {
		for range increments {
			if i%2 == 0 {
				incrementNatively(t, native)
			} else {
				increment(t, b)
			}
		}
	})
	if e, err := get(t, b, "n"); err != nil || string(e.Value) != strconv.Itoa(writers*increments) {
		t.Errorf("counter %s, %v; want %d", e.Value, err, writers*increments)
	}
	for round := range 20 {
		k := "create" + strconv.Itoa(round)
		if round%2 == 1 {
			put(t, b, k, "old")
			remove(t, b, k, false)
		}
		var mu sync.Mutex
		won := 0
		inParallel(6, func(i int) {
			_, err := create(t, b, k, strconv.Itoa(i))
			mismatch, ok := errors.AsType[*kv.RevisionMismatchError](err)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				won++
			case !ok || !mismatch.KeyExists || mismatch.Current.Revision == 0:
				t.Errorf("create: %v (%+v)", err, mismatch)
			}
		})
		if won != 1 {
			t.Errorf("%d creates of %s succeeded", won, k)
		}
	}
}

// interleavedTests are writes that read first, each with what another writer does between the read
// and the write.
var interleavedTests = map[string]struct {
	before    func(t *testing.T, b *kvclient.Bucket)
	meanwhile func(t *testing.T, native jetstream.KeyValue) error
	request   func(t *testing.T, b *kvclient.Bucket) error
	want      string // the entries afterwards
	refused   bool   // whether the request fails with a RevisionMismatchError
}{
	"replace what is deleted": {
		before: putOne,
		meanwhile: func(t *testing.T, native jetstream.KeyValue) error {
			return native.Delete(t.Context(), "k")
		},
		request: replaceAny,
		want:    "put 1 delete  ",
		refused: true,
	},
	"replace what is replaced": {
		before:    putOne,
		meanwhile: putNatively,
		request:   replaceAny,
		want:      "put 1 put theirs put ours ",
	},
	"delete what is replaced": {
		before:    putOne,
		meanwhile: putNatively,
		request: func(t *testing.T, b *kvclient.Bucket) error {
			_, err := b.Delete(t.Context(), kvclient.Deletion{Key: key(t, "k")})
			return err
		},
		want: "put 1 put theirs delete  ",
	},
	"delete of one revision": {
		before:    putOne,
		meanwhile: putNatively,
		request: func(t *testing.T, b *kvclient.Bucket) error {
			_, err := b.Delete(t.Context(), kvclient.Deletion{
				Key: key(t, "k"), Precondition: ifRevision(1),
			})
			return err
		},
		want:    "put 1 put theirs ",
		refused: true,
	},
	"create what is created": {
		before: func(t *testing.T, b *kvclient.Bucket) {
			put(t, b, "k", "1")
			remove(t, b, "k", false)
		},
		meanwhile: putNatively,
		request: func(t *testing.T, b *kvclient.Bucket) error {
			_, err := create(t, b, "k", "ours")
			return err
		},
		want:    "put 1 delete  put theirs ",
		refused: true,
	},
	"put unless a revision": {
		before:    func(*testing.T, *kvclient.Bucket) {},
		meanwhile: putNatively,
		request: func(t *testing.T, b *kvclient.Bucket) error {
			one := kv.Condition{Positions: []kv.Position{{Revision: 1}}}
			_, err := b.Put(t.Context(), kvclient.Write{
				Key:          key(t, "k"),
				Value:        []byte("ours"),
				Precondition: kv.Precondition{IfNoneMatch: one},
			})
			return err
		},
		want:    "put theirs ",
		refused: true,
	},
}

func TestWriterBetweenReadAndWriteIsNoticed(t *testing.T) {
	for name, tc := range interleavedTests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := natstest.Start(t, natstest.Options{})
			p := natstest.StartProxy(t, s.Addr())
			b := shop(t, connect(t, kvclient.Options{URL: p.URL()}), history(5))
			native := native(t, s.JetStream(t), "shop")
			tc.before(t, b)
			p.Hold("PUB $KV.shop.k ", func() {
				if err := tc.meanwhile(t, native); err != nil {
					t.Error(err)
				}
			})
			err := tc.request(t, b)
			_, refused := errors.AsType[*kv.RevisionMismatchError](err)
			if refused != tc.refused || err != nil && !refused {
				t.Errorf("error %v, want refused: %v", err, tc.refused)
			}
			var left string
			entries, err := b.HistoryOf(t.Context(), key(t, "k"), true)
			for _, e := range entries {
				left += e.Operation.String() + " " + string(e.Value) + " "
			}
			if err != nil || left != tc.want {
				t.Errorf("left %q, %v; want %q", left, err, tc.want)
			}
		})
	}
}

func putOne(t *testing.T, b *kvclient.Bucket) { put(t, b, "k", "1") }

// putNatively stores a value that is another writer's.
func putNatively(t *testing.T, native jetstream.KeyValue) error {
	_, err := native.PutString(t.Context(), "k", "theirs")
	return err
}

// replaceAny stores a value if the key has one.
func replaceAny(t *testing.T, b *kvclient.Bucket) error {
	_, err := b.Put(t.Context(), kvclient.Write{
		Key: key(t, "k"), Value: []byte("ours"), Precondition: ifPresent,
	})
	return err
}

func TestCountersOfBothLoseNothing(t *testing.T) {
	overBoth(t, func(t *testing.T, c *kvclient.Client, js jetstream.JetStream) {
		const writers, increments = 4, 40
		b := shop(t, c, nil)
		native := native(t, js, "shop")
		put(t, b, "n", "0")
		inParallel(2*writers, func(i int) {
			for range increments {
				if i%2 == 0 {
					incrementNatively(t, native)
				} else {
					increment(t, b)
				}
			}
		})
		e, err := get(t, b, "n")
		const sum = 2 * writers * increments
		if err != nil || string(e.Value) != strconv.Itoa(sum) || e.Revision != 1+sum {
			t.Errorf("counter %s at %d, %v; want %d", e.Value, e.Revision, err, sum)
		}
	})
}

// increment adds one to the value of the key "n". It tries again whenever another writer was
// first.
func increment(t *testing.T, b *kvclient.Bucket) {
	for {
		e, err := get(t, b, "n")
		if err != nil {
			t.Error(err)
			return
		}
		_, err = b.Put(t.Context(), kvclient.Write{Key: key(t, "n"), Value: plusOne(e.Value),
			Precondition: ifMatch(e.Position)})
		mismatch, ok := errors.AsType[*kv.RevisionMismatchError](err)
		if err == nil || !ok {
			if err != nil {
				t.Error(err)
			}
			return
		}
		if mismatch.Current.Revision <= e.Revision {
			t.Errorf("refused %d for the older %d", e.Revision, mismatch.Current.Revision)
		}
	}
}

// incrementNatively does the same with nats.go.
func incrementNatively(t *testing.T, native jetstream.KeyValue) {
	for {
		e, err := native.Get(t.Context(), "n")
		if err != nil {
			t.Error(err)
			return
		}
		_, err = native.Update(t.Context(), "n", plusOne(e.Value()), e.Revision())
		if err == nil {
			return
		}
		if !errors.Is(err, jetstream.ErrKeyRevisionMismatch) {
			t.Error(err)
			return
		}
	}
}

func plusOne(value []byte) []byte {
	n, _ := strconv.Atoi(string(value))
	return []byte(strconv.Itoa(n + 1))
}

func TestOneOfManyCreatesWins(t *testing.T) {
	overBoth(t, func(t *testing.T, c *kvclient.Client, js jetstream.JetStream) {
		b := shop(t, c, history(2))
		native := native(t, js, "shop")
		for round := range 60 {
			k := fmt.Sprintf("k%d", round)
			switch round % 3 {
			case 1:
				put(t, b, k, "old")
				remove(t, b, k, false)
			case 2:
				put(t, b, k, "old")
				remove(t, b, k, true)
			}
			var won atomic.Int32
			var winner atomic.Int64
			inParallel(8, func(i int) {
				var err error
				if i%2 == 0 {
					_, err = native.Create(t.Context(), k, []byte(strconv.Itoa(i)))
					if err != nil && !errors.Is(err, jetstream.ErrKeyExists) {
						t.Errorf("native create: %v", err)
					}
				} else {
					_, err = create(t, b, k, strconv.Itoa(i))
					mismatch, ok := errors.AsType[*kv.RevisionMismatchError](err)
					exists := ok && mismatch.KeyExists && mismatch.Current.Revision != 0
					if err != nil && !exists {
						t.Errorf("create: %v", err)
					}
				}
				if err == nil {
					won.Add(1)
					winner.Store(int64(i))
				}
			})
			e, err := get(t, b, k)
			last := strconv.FormatInt(winner.Load(), 10)
			if won.Load() != 1 || err != nil || string(e.Value) != last {
				t.Fatalf("round %d: %d winners, the last is %s, stored is %q, %v",
					round, won.Load(), last, e.Value, err)
			}
		}
	})
}

// A journal records by revision what all writers of one key did. Its methods are safe for
// concurrent use.
type journal struct {
	mu  sync.Mutex
	ops map[kv.Revision]step
}

// A step is one write in a journal.
type step struct {
	value bool   // whether the write left a value rather than a marker
	by    string // the operation, such as "create" or "native put"
}

func (j *journal) add(rev kv.Revision, s step) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.ops[rev] = s
}

// check walks through the journal. Each conditional write must have met the state of the key that
// its condition asks for.
func (j *journal) check(t *testing.T) {
	t.Helper()
	revisions := make([]kv.Revision, 0, len(j.ops))
	for rev := range j.ops {
		revisions = append(revisions, rev)
	}
	slices.Sort(revisions)
	hadValue := false
	for _, rev := range revisions {
		s := j.ops[rev]
		if s.by == "create" && hadValue || (s.by == "replace" || s.by == "delete") && !hadValue {
			t.Errorf("revision %d: %s succeeded where the key had a value: %v", rev, s.by, hadValue)
		}
		hadValue = s.value
	}
	t.Logf("%d steps", len(revisions))
}

// Writers that read before they write compete with native writers. They may give up, but what they
// do is never wrong. This test does not run beside others, since it takes both cores.
func TestRacesAreBoundedAndNeverWrong(t *testing.T) {
	c, s := gateway(t)
	b := shop(t, c, nil)
	js := s.JetStream(t)
	j := &journal{ops: make(map[kv.Revision]step)}
	ctx, stop := context.WithCancel(t.Context())
	var natives sync.WaitGroup
	for range 2 {
		natives.Go(func() { storm(ctx, t, js, j) })
	}
	before, operations := sentMessages(t, c, s), atomic.Uint64{}
	var contended atomic.Int32
	inParallel(6, func(i int) {
		for range 150 {
			operations.Add(1)
			if err := raceOnce(t, b, j, i%3); errors.Is(err, kv.ErrContention) {
				contended.Add(1)
			}
		}
	})
	sent := sentMessages(t, c, s) - before
	stop()
	natives.Wait()
	j.check(t)
	t.Logf("%d of %d gave up, %d messages", contended.Load(), operations.Load(), sent)
	if limit := operations.Load()*2*kvclient.MaxTries + 20; sent > limit {
		t.Errorf("%d messages for %d operations", sent, operations.Load())
	}
}

// storm stores and deletes a key natively until the context ends. It publishes what nats.go would
// publish, since nats.go does not return the revision of a marker.
func storm(ctx context.Context, t *testing.T, js jetstream.JetStream, j *journal) {
	for ctx.Err() == nil {
		ack, err := js.Publish(t.Context(), "$KV.shop.hot", []byte("native"))
		if err != nil {
			t.Error(err)
			return
		}
		j.add(kv.Revision(ack.Sequence), step{value: true, by: "native put"})
		marker := nats.NewMsg("$KV.shop.hot")
		marker.Header.Set("KV-Operation", "DEL")
		if ack, err = js.PublishMsg(t.Context(), marker); err != nil {
			t.Error(err)
			return
		}
		j.add(kv.Revision(ack.Sequence), step{by: "native delete"})
	}
}

// raceOnce tries one write that reads first, adds it to the journal if it succeeds, and returns
// its error. kind is 0 for a create, 1 for a replacement, and 2 for a deletion.
func raceOnce(t *testing.T, b *kvclient.Bucket, j *journal, kind int) error {
	var w kvclient.Written
	var err error
	done := step{value: true}
	switch kind {
	case 0:
		done.by = "create"
		w, err = create(t, b, "hot", "created")
	case 1:
		done.by = "replace"
		w, err = b.Put(t.Context(), kvclient.Write{Key: key(t, "hot"), Value: []byte("replaced"),
			Precondition: ifPresent})
	case 2:
		done = step{by: "delete"}
		w, err = b.Delete(t.Context(), kvclient.Deletion{Key: key(t, "hot")})
	}
	_, mismatch := errors.AsType[*kv.RevisionMismatchError](err)
	_, deleted := errors.AsType[*kv.KeyDeletedError](err)
	switch {
	case err == nil:
		j.add(w.Revision, done)
	case mismatch && kind != 2, deleted && kind == 2, errors.Is(err, kv.ErrContention),
		kind == 2 && errors.Is(err, kv.ErrKeyNotFound):
	default:
		t.Errorf("%s: %v", done.by, err)
	}
	return err
}
