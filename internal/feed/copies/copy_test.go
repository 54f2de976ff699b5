package copies_test

import (
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/tidwall/btree"

	"kvgateway/internal/bound"
	"kvgateway/internal/feed/copies"
	"kvgateway/internal/kv"
)

// put returns an entry with a value.
func put(key string, revision kv.Revision) kv.Entry {
	return kv.Entry{Key: key, Position: position(revision), Value: fmt.Append(nil, key, revision)}
}

// inTransaction makes an entry a part of a transaction.
func inTransaction(e kv.Entry, index uint64, last bool) kv.Entry {
	e.Transaction = &kv.TransactionPart{ID: fmt.Sprint(uint64(e.Revision) - index), Index: index,
		Last: last}
	return e
}

// complete returns a complete copy with these entries, at revision 10.
func complete(t *testing.T, o copies.Options, entries ...kv.Entry) *copies.Copy {
	t.Helper()
	c := copies.New(o, position(10))
	for _, e := range entries {
		c.Load(e)
	}
	if !c.Complete() {
		t.Fatal("the copy is not complete")
	}
	return c
}

// has fails the test unless the copy shows these revisions of keys, and nothing else.
func has(t *testing.T, c *copies.Copy, at kv.Revision, want ...string) {
	t.Helper()
	v, ok := c.View(time.Time{})
	if !ok || v.Revision() != at {
		t.Fatalf("the copy is at %d (%v), want %d", v.Revision(), ok, at)
	}
	var got []string
	v.Ascend(nil, "", func(e *kv.Entry) bool {
		got = append(got, fmt.Sprint(e.Key, e.Revision))
		return true
	})
	if !slices.Equal(got, want) {
		t.Errorf("at %d the copy has %v, want %v", at, got, want)
	}
}

// Nobody sees a half of a transaction, also where a part of it was overwritten before it was
// delivered: then everything waits until the feed's position is exact.
func TestTransactionIsSeenWhole(t *testing.T) {
	t.Parallel()
	c := complete(t, copies.Options{}, put("a", 1), put("b", 2))
	c.Apply(inTransaction(put("a", 11), 0, false), true)
	has(t, c, 10, "a1", "b2")
	c.Apply(inTransaction(put("b", 12), 1, true), true)
	has(t, c, 12, "a11", "b12")

	// The last entry, 14, was overwritten by 16.
	c.Apply(inTransaction(put("a", 13), 0, false), true)
	c.Apply(put("c", 15), false)
	has(t, c, 12, "a11", "b12")
	c.Apply(put("b", 16), false)
	has(t, c, 12, "a11", "b12")
	c.BecameExact()
	has(t, c, 16, "a13", "b16", "c15")

	// The first, 17, was overwritten by 19.
	c.Apply(inTransaction(put("b", 18), 1, true), false)
	has(t, c, 16, "a13", "b16", "c15")
	c.Apply(put("a", 19), true)
	has(t, c, 19, "a19", "b18", "c15")

	// The one in the middle, 21, was, and the position is exact before the last has come.
	c.Apply(inTransaction(put("a", 20), 0, false), true)
	c.Apply(inTransaction(put("c", 22), 2, false), false)
	c.BecameExact()
	has(t, c, 19, "a19", "b18", "c15")
	c.Apply(inTransaction(put("d", 23), 3, true), false)
	has(t, c, 19, "a19", "b18", "c15")
	c.Apply(put("b", 24), true)
	has(t, c, 24, "a20", "b24", "c22", "d23")

	// All that follows the first is gone.
	c.Apply(inTransaction(put("a", 25), 0, false), true)
	c.Pass(position(27), false)
	has(t, c, 24, "a20", "b24", "c22", "d23")
	c.BecameExact()
	has(t, c, 27, "a25", "b24", "c22", "d23")
}

// What waits behind a torn transaction is bounded.
func TestCopyIsGivenUpWhereTooMuchWaits(t *testing.T) {
	t.Parallel()
	c := complete(t, copies.Options{})
	c.Apply(inTransaction(put("a", 11), 0, false), true)
	r := kv.Revision(13)
	for ; c.Apply(put("b", r), false); r++ {
		if r > 10_000 {
			t.Fatal("nothing bounds what waits")
		}
	}
	if _, ok := c.View(time.Time{}); ok || c.Lost() != copies.LostTorn {
		t.Errorf("shown %v, lost for %q", ok, c.Lost())
	}
}

// A marker that may have been purged is not known, and neither is what comes after the end of an
// entry that may have lain over an older one.
func TestUnsureKeysAreNotKnown(t *testing.T) {
	t.Parallel()
	end := time.Unix(100, 0)
	marker, short, rolled := put("m", 1), put("s", 2), put("r", 3)
	marker.Operation, marker.Value = kv.Delete, nil
	short.Expires, rolled.Expires, rolled.RolledUp = end, end, true
	c := complete(t, copies.Options{Resurfaces: true}, marker, short, rolled, put("v", 4))
	find := func(key string, now time.Time) copies.Found {
		t.Helper()
		found, _, ok := c.Get(key, now)
		v, viewed := c.View(now)
		if !ok || !viewed || v.Get(key) != found {
			t.Fatalf("%s: the view has %+v, the copy %+v (%v)", key, v.Get(key), found, ok)
		}
		return found
	}
	if e := find("m", time.Time{}).Entry; e == nil || !e.IsMarker() {
		t.Fatalf("the marker is %v", e)
	}
	c.DoubtMarker("m", 1)
	c.DoubtMarker("v", 4) // a value is no marker
	for key, want := range map[string]bool{"m": true, "s": true, "r": false, "v": false} {
		if got := find(key, end); got.Unsure != want || (got.Entry != nil) != (key == "v") {
			t.Errorf("%s is %+v", key, got)
		}
	}
	if v, _ := c.View(end); !v.IsUnsure() {
		t.Error("the view does not say that a value may be missing")
	}
	c.Apply(put("m", 11), true)
	c.Apply(put("s", 12), true)
	if v, _ := c.View(end); v.IsUnsure() || v.Get("m").Entry == nil || v.Get("s").Entry == nil {
		t.Errorf("later entries do not settle it: %v", v.IsUnsure())
	}
}

// A copy that is read stays, and one that nobody reads gives way to another that needs the memory.
// Without memory a copy gives up, in the middle of a load as well as afterwards.
func TestCopiesShareTheirMemory(t *testing.T) {
	t.Parallel()
	memory := bound.NewSet().New(bound.Spec{Name: "m", Of: "m", Unit: bound.Bytes, Limit: 4 << 20,
		AtLimit: "m", Patience: time.Millisecond})
	evicted := make(chan struct{})
	var first *copies.Copy
	first = copies.New(copies.Options{Memory: memory, Evict: func() {
		first.End()
		close(evicted)
	}}, position(0))
	fill := func(c *copies.Copy, mib int) (lost copies.Lost) {
		for i := range kv.Revision(mib) {
			e := put(fmt.Sprint("k", i), i+1)
			e.Value = make([]byte, 1<<20)
			if !c.Load(e) {
				return c.Lost()
			}
		}
		return ""
	}
	if lost := fill(first, 3); lost != "" {
		t.Fatalf("the first copy is lost for %q", lost)
	}
	if lost := fill(copies.New(copies.Options{Memory: memory}, position(0)), 9); lost != "memory" {
		t.Errorf("a copy that is too large is lost for %q", lost)
	}
	deadline := time.Now().Add(20 * time.Second)
	second := copies.New(copies.Options{Memory: memory}, position(0))
	for fill(second, 3) != "" && time.Now().Before(deadline) {
		second = copies.New(copies.Options{Memory: memory}, position(0))
	}
	<-evicted
	if first.Lost() != "" || first.Size() != (copies.Size{}) || first.Load(put("a", 1)) {
		t.Error("the copy that was evicted goes on")
	}
	if held := memory.Used(); held < second.Size().Bytes || held > second.Size().Bytes+1<<20 {
		t.Errorf("%d bytes are held for %d", held, second.Size().Bytes)
	}
	second.End()
	if held := memory.Used(); held != 0 {
		t.Errorf("%d bytes are held at the end", held)
	}
}

// The bytes that a copy counts are about those that it takes.
func TestMemoryOfAnEntryIsCounted(t *testing.T) {
	const entries = 100_000
	heap := func() int64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before := heap()
	c := copies.New(copies.Options{}, position(0))
	for i := range kv.Revision(entries) {
		c.Apply(put(fmt.Sprintf("orders.%d.%d", i*7919%entries, i), i+1), true)
	}
	c.Complete()
	took, counted := heap()-before, c.Size().Bytes
	t.Logf("%d bytes for each entry, %d counted", took/entries, counted/entries)
	if counted < took || counted > took*3/2 {
		t.Errorf("%d bytes are counted, and %d are taken", counted, took)
	}
	runtime.KeepAlive(c)
}

// A view that is read while a writer goes on stays as it was (run with -race). This holds since a
// tree of tidwall/btree and its copy never change a node that the other one can see.
func TestViewsAreReadWhileTheCopyChanges(t *testing.T) {
	t.Parallel()
	c := complete(t, copies.Options{})
	var readers sync.WaitGroup
	for i := range 20_000 {
		r := kv.Revision(11 + i)
		c.Apply(put(fmt.Sprint("k", i*31%997), r), true)
		c.Prune(r - min(r, 100))
		if i%1000 != 0 {
			continue
		}
		v, _ := c.View(time.Time{})
		pinned, ok := v.At(r - min(r-10, 50))
		if !ok {
			t.Fatal("the view cannot be pinned")
		}
		readers.Go(func() {
			for range 20 {
				last, keys := "", 0
				v.Ascend(nil, "", func(e *kv.Entry) bool {
					if e.Revision > r || e.Key <= last {
						t.Errorf("%s@%d comes after %s, at %d", e.Key, e.Revision, last, r)
					}
					last = e.Key
					keys++
					return true
				})
				if keys != min(997, i+1) {
					t.Errorf("%d keys at %d", keys, r)
				}
				pinned.Ascend(nil, "", func(e *kv.Entry) bool {
					if e.Revision > pinned.Revision() && pinned.Holds() {
						t.Errorf("%s@%d is shown at %d", e.Key, e.Revision, pinned.Revision())
					}
					return true
				})
			}
		})
	}
	readers.Wait()
}

// A copy of a tree is what the tree was, and takes constant time.
func TestTreeIsCopiedOnWrite(t *testing.T) {
	less := func(a, b int) bool { return a < b }
	tree := btree.NewBTreeGOptions(less, btree.Options{NoLocks: true})
	for i := range 10_000 {
		tree.Set(i)
	}
	before := tree.Copy()
	if allocated := testing.AllocsPerRun(10, func() { tree.Copy() }); allocated > 2 {
		t.Errorf("a copy allocates %v times", allocated)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range 10_000 {
			if i%2 == 0 {
				tree.Delete(i)
			} else {
				tree.Set(i + 10_000)
			}
		}
	}()
	for range 20 {
		next := 0
		before.Scan(func(i int) bool {
			if i != next {
				t.Fatalf("%d comes in the place of %d", i, next)
			}
			next++
			return true
		})
		if next != 10_000 || before.Len() != next {
			t.Fatalf("the copy has %d", next)
		}
	}
	<-done
}
