package copies

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tidwall/btree"

	"kvgateway/internal/bound"
	"kvgateway/internal/kv"
)

// A Lost says why a copy was given up.
type Lost string

// The reasons.
const (
	// LostMemory: there was no memory left for it, or another copy needed it.
	LostMemory Lost = "memory"
	// LostTorn: too much came behind a transaction of which a part was overwritten.
	LostTorn Lost = "torn"
)

// growStep is how many bytes a copy takes at once of those for all copies.
const growStep = 256 << 10

// Options say how a copy is kept.
type Options struct {
	// Memory is where the copy takes its bytes from; nil for no limit.
	Memory *bound.Bound
	// Evict is called, on a goroutine of its own, when another copy needs the memory; it must lead
	// to [Copy.End] soon. With nil the copy never gives way.
	Evict func()
	// Resurfaces says that a key may have an earlier revision that outlives a later one: the bucket
	// keeps a history, and its entries have times to live of their own.
	Resurfaces bool
}

// A Copy has the current entries of one bucket. The methods that change it are for the bucket's
// feed; all may be called by several goroutines.
//
// # Lives
//
//	loading   Load and Apply fill it, and it shows nothing
//	complete  Apply keeps it current
//	ended     it shows nothing, and has given back its memory; lost says why if it ended by itself
//
// # Invariants
//
// byKey and byRevision have the same versions, expiring those of them that have an end. Bytes is
// the sum of what they, their chains, what is held and forgotten take. A version in chained is
// above the horizon. Each version in a chain is older than the one that points to it.
type Copy struct {
	// options are those given.
	options Options
	// id is a random number by which the copy is told from others.
	id uint64
	// hold is what the copy takes of Options.Memory.
	hold bound.Hold
	// horizon is the revision from which on a view can be pinned. It is changed with mu held.
	horizon atomic.Uint64
	// current is the view that readers share; nil if something has changed since it was made. It is
	// changed with mu held.
	current atomic.Pointer[state]

	// mu guards all that follows.
	mu sync.Mutex
	// byKey and byRevision have the versions.
	byKey      *btree.BTreeG[keyed]
	byRevision *btree.BTreeG[numbered]
	// expiring has the versions with an end, in the order of their ends.
	expiring *btree.BTreeG[*version]
	// at is the position of the feed at which the copy is.
	at kv.Position
	// complete: the copy has all that the bucket has.
	complete bool
	// ended: the copy is given up.
	ended bool
	// lost is why it gave up by itself; "" if it did not.
	lost Lost
	// swept is the greatest time at which something had vanished.
	swept time.Time
	// hidden: there are keys outside the grammar.
	hidden bool
	// unsureValues and unsureMarkers count the versions with unsureValue and unsureMarker.
	unsureValues, unsureMarkers int
	// doubts is what Doubts returns.
	doubts uint64
	// values counts the entries that are no markers.
	values int
	// chained has the versions with an earlier one, in the order of their revisions.
	chained []*version
	// forgotten has the keys that were removed while the copy is loading, with the revision up to
	// which, so that the scan does not bring them back. doubted has those whose marker may be gone,
	// which the scan may have yet to bring. Both are nil once the copy is complete.
	forgotten, doubted map[string]kv.Revision
	// held is what waits behind a transaction; see apply.go.
	held held
	// bytes is what everything takes.
	bytes int64
	// room is how many bytes the hold has.
	room int64
	// digests are those that are kept.
	digests digests
}

// New returns an empty copy, which is loading. The feed's position is at.
func New(o Options, at kv.Position) *Copy {
	c := &Copy{
		options: o, at: at,
		forgotten: make(map[string]kv.Revision), doubted: make(map[string]kv.Revision),
	}
	c.id = rand.Uint64() // #nosec G404 -- it tells copies apart, and is no secret
	c.plant()
	return c
}

// plant makes empty trees. mu is held.
func (c *Copy) plant() {
	o := btree.Options{NoLocks: true}
	c.byKey = btree.NewBTreeGOptions(byKey, o)
	c.byRevision = btree.NewBTreeGOptions(byRevision, o)
	c.expiring = btree.NewBTreeGOptions(byEnd, o)
}

// NoteHidden notes that there is a key outside the grammar.
func (c *Copy) NoteHidden() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.hidden = true
	c.current.Store(nil)
}

// Remove takes away what the copy has of a key up to a revision, since it is gone from the store
// without a trace in the stream.
func (c *Copy) Remove(key string, upTo kv.Revision) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended {
		return
	}
	c.noteGone(key, upTo)
	found, ok := c.byKey.Get(keyed{key: key})
	ok = ok && found.entry.Revision <= upTo
	if c.held.isHolding() || ok && isDigested(&found.entry) {
		c.interrupt(key, max(c.at.Revision, c.held.at.Revision))
	}
	c.held.remove(c, key, upTo)
	if ok {
		c.drop(found.version)
	}
	c.goesOn()
}

// Prune lets go of the versions that only pages below the horizon could show.
func (c *Copy) Prune(horizon kv.Revision) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended || uint64(horizon) <= c.horizon.Load() {
		return
	}
	c.horizon.Store(uint64(horizon))
	n := 0
	for ; n < len(c.chained) && c.chained[n].entry.Revision <= horizon; n++ {
		c.cut(c.chained[n])
		c.dropIfSwept(c.chained[n])
		c.chained[n] = nil
	}
	c.chained = c.chained[n:]
	c.goesOn()
}

// End gives the copy up.
func (c *Copy) End() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.end("")
}

// Position returns the feed's position at which the copy is. It is behind that of the feed while a
// transaction is not complete.
func (c *Copy) Position() kv.Position {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

// Lost returns why the copy gave up by itself, "" if it did not.
func (c *Copy) Lost() Lost {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.lost
}

// A Size says how large a copy is.
type Size struct {
	// Bytes is what the copy takes in memory.
	Bytes int64
	// Entries is how many entries it has, markers included.
	Entries int
	// Values is how many of them are no markers.
	Values int
	// Unsure is how many of them are markers that the store may lack.
	Unsure int
	// Hidden says that the bucket has, or had, keys outside the grammar, which are not counted.
	Hidden bool
}

// Size returns how large the copy is.
func (c *Copy) Size() Size {
	c.mu.Lock()
	defer c.mu.Unlock()
	return Size{
		Bytes: c.bytes, Entries: c.byKey.Len(), Values: c.values, Unsure: c.unsureMarkers,
		Hidden: c.hidden,
	}
}

// set puts a version into the trees, unless the key has a newer one. mu is held.
func (c *Copy) set(v *version) {
	found, replaces := c.byKey.Get(keyed{key: v.entry.Key})
	old := found.version
	if replaces && old.entry.Revision >= v.entry.Revision {
		return
	}
	c.current.Store(nil)
	if replaces {
		c.unlist(old)
	}
	if replaces && c.complete && old.unsure != unsureValue {
		v.earlier.Store(old)
		c.chained = append(c.chained, v)
	} else if replaces {
		c.forget(old)
	}
	c.bytes += v.bytes()
	c.list(v)
}

// swap replaces a version by another one of the same revision, which takes over its chain. A view
// that has the old one still needs the chain, so it stays there too. mu is held.
func (c *Copy) swap(old, v *version) {
	c.current.Store(nil)
	c.unlist(old)
	if earlier := old.earlier.Load(); earlier != nil {
		v.earlier.Store(earlier)
		i, _ := slices.BinarySearchFunc(c.chained, v.entry.Revision,
			func(v *version, r kv.Revision) int { return cmp.Compare(v.entry.Revision, r) })
		c.chained[i] = v
	}
	c.bytes += v.bytes() - old.bytes()
	c.list(v)
}

// drop takes a version out of the trees, and with it those before it. mu is held.
func (c *Copy) drop(v *version) {
	c.current.Store(nil)
	c.byKey.Delete(keyed{key: v.entry.Key})
	c.unlist(v)
	c.forget(v)
}

// list enters a version in the trees and the counts. mu is held.
func (c *Copy) list(v *version) {
	c.byKey.Set(keyed{v.entry.Key, v})
	c.byRevision.Set(numbered{v.entry.Revision, v})
	if !v.entry.Expires.IsZero() && v.unsure != unsureValue {
		c.expiring.Set(v)
	}
	c.count(v, 1)
}

// unlist undoes list, but for byKey, where what takes its place is set. mu is held.
func (c *Copy) unlist(v *version) {
	c.byRevision.Delete(numbered{revision: v.entry.Revision})
	if !v.entry.Expires.IsZero() {
		c.expiring.Delete(v)
	}
	c.count(v, -1)
}

// count counts a version that is entered, or taken out. mu is held.
func (c *Copy) count(v *version, n int) {
	switch {
	case v.unsure == unsureValue:
		c.unsureValues += n
	case v.unsure == unsureMarker:
		c.unsureMarkers += n
	case !v.entry.IsMarker():
		c.values += n
		c.digest(v, n)
	}
}

// forget counts a version and those before it no more, and cuts the chain. mu is held.
func (c *Copy) forget(v *version) {
	c.cut(v)
	c.bytes -= v.bytes()
}

// goesOn takes the memory that the copy needs by now, and gives back what it does not. It reports
// whether the copy goes on; without the memory it ends. mu is held.
func (c *Copy) goesOn() bool {
	switch {
	case c.ended:
		return false
	case c.options.Memory == nil:
		return true
	case c.bytes > c.room:
		want := c.bytes + growStep
		if !c.options.Memory.Supplant(&c.hold, want, c.options.Evict) {
			c.end(LostMemory)
			return false
		}
		c.room = want
	case c.bytes < c.room/2-growStep:
		c.room = c.bytes + growStep
		c.hold.Shrink(c.room)
	}
	return true
}

// end gives the copy up, for a reason if it did not end before. mu is held.
func (c *Copy) end(why Lost) {
	if c.ended {
		return
	}
	c.ended, c.lost, c.complete = true, why, false
	c.current.Store(nil)
	c.plant() // views may still read the trees that there were
	c.held, c.chained, c.forgotten, c.doubted, c.digests = held{}, nil, nil, nil, digests{}
	c.bytes, c.room, c.values, c.unsureValues, c.unsureMarkers = 0, 0, 0, 0, 0
	c.hold.Release()
}
