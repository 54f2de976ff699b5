// Package bound makes the limits on what requests can hold: bytes, places and time.
//
// Every such limit is made by [Set.New], which names it and says what happens when it is reached.
// So all of them can be listed: as metrics for operators, and as the table in docs/bounds.md, which
// a test generates. The architecture test forbids limits that are made in any other way.
//
// The package knows nothing of HTTP or NATS.
package bound

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// A Unit is what a bound counts.
type Unit string

// The units.
const (
	Bytes   Unit = "bytes"
	Places  Unit = "places" // requests, streams, connections, or other things that are counted
	Seconds Unit = "seconds"
	Rate    Unit = "bytes per second" // a lower bound: who is slower gives up what it holds
)

// A Spec describes a bound. Name, Of, Unit, Limit and AtLimit are required.
type Spec struct {
	// Name identifies the bound in metrics and in the documentation, such as "read-bytes".
	Name string
	// Of says what is bounded, as a noun phrase without a full stop.
	Of   string
	Unit Unit
	// Limit is how much may be held at once; a Seconds bound is given by Duration.
	Limit int64
	// Duration is the limit of a Seconds bound.
	Duration time.Duration
	// AtLimit says what happens at the limit, as a sentence without a full stop.
	AtLimit string
	// Setting is the flag that changes the limit, "" if nothing does.
	Setting string

	// PerOwner is how much one owner may hold, so that nobody takes everything; 0 for no such
	// limit. The owner "" is the gateway itself, which has none.
	PerOwner int64
	// Wait is how long a claim waits for room, 0 to refuse it at once.
	Wait time.Duration
	// Queue is how many claims may wait, 0 for any number: then something else must bound them.
	Queue int
	// OwnerQueue is how many claims of one owner may wait, 0 for as many as of all. It keeps one
	// client from filling the queue.
	OwnerQueue int
	// Patience is how long a hold may make no progress before it can be evicted in favour of a
	// claim that waits. It applies to holds with an evict function only; see [Bound.Take].
	Patience time.Duration
}

// A Set has the bounds of one gateway. Its methods may be called by several goroutines.
type Set struct {
	mu     sync.Mutex
	bounds []*Bound
}

// NewSet returns a set without bounds.
func NewSet() *Set { return &Set{} }

// New makes a bound. The same name may be used for several bounds of the same kind, such as those
// of each connection: a listing sums them up until they are dropped with [Set.Drop].
// It panics if the spec lacks what is required, since that is a mistake in the program.
func (s *Set) New(spec Spec) *Bound {
	if spec.Unit == Seconds {
		spec.Limit = int64(spec.Duration / time.Second)
	}
	if spec.Name == "" || spec.Of == "" || spec.Unit == "" || spec.AtLimit == "" {
		panic(fmt.Sprintf("bound: incomplete spec %+v", spec))
	}
	b := &Bound{spec: spec, lines: make(map[string]*line)}
	if spec.PerOwner > 0 {
		b.owners = make(map[string]int64)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bounds = append(s.bounds, b)
	return b
}

// Find returns the first bound of that name, nil if there is none.
func (s *Set) Find(name string) *Bound {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, b := range s.bounds {
		if b.spec.Name == name {
			return b
		}
	}
	return nil
}

// Drop takes a bound out of the listing, when what it belonged to has ended. What it has refused
// remains counted by the first bound of its name, if that is another.
func (s *Set) Drop(b *Bound) {
	s.mu.Lock()
	s.bounds = slices.DeleteFunc(s.bounds, func(other *Bound) bool { return other == b })
	s.mu.Unlock()
	if first := s.Find(b.spec.Name); first != nil {
		first.refused.Add(b.refused.Load())
		first.evicted.Add(b.evicted.Load())
	}
}

// A Reading is how a bound stands.
type Reading struct {
	Spec
	Used    int64  // now
	Waiting int64  // claims that wait for room now
	Refused uint64 // claims that were refused since the start
	Evicted uint64 // holds that had to give up what they held, since the start
}

// Read returns how each bound stands, sorted by name. Bounds of one name are one reading, with the
// limit of the first.
func (s *Set) Read() []Reading {
	s.mu.Lock()
	bounds := slices.Clone(s.bounds)
	s.mu.Unlock()
	byName := make(map[string]int)
	var readings []Reading
	for _, b := range bounds {
		r := b.read()
		i, seen := byName[r.Name]
		if !seen {
			byName[r.Name] = len(readings)
			readings = append(readings, r)
			continue
		}
		readings[i].Used += r.Used
		readings[i].Waiting += r.Waiting
		readings[i].Refused += r.Refused
		readings[i].Evicted += r.Evicted
	}
	slices.SortFunc(readings, func(a, b Reading) int {
		if a.Name < b.Name {
			return -1
		}
		return 1
	})
	return readings
}

// A Bound limits how much is held at once. A claim that does not fit waits in the line of its owner,
// and the owners take turns, so that who asks for much delays itself and not the others.
type Bound struct {
	spec    Spec
	refused atomic.Uint64
	evicted atomic.Uint64

	mu      sync.Mutex
	used    int64
	owners  map[string]int64 // what each owner holds; nil without PerOwner
	first   *Hold            // the holds that can be evicted, a doubly linked list
	leaving int64            // what those hold that were evicted and have not given it back
	lines   map[string]*line // of the owners that wait
	turns   []*line          // the same, in the order of their turns
	length  int              // claims that wait
	spare   []*claim         // that do not wait
}

// A FullError says that a claim was refused.
type FullError struct {
	Bound Spec
	// OfOwner reports whether the owner holds its share, while others still have room.
	OfOwner bool
}

func (e *FullError) Error() string {
	if e.OfOwner {
		return fmt.Sprintf("one client's share of %s is used up (%d %s)",
			e.Bound.Name, e.Bound.PerOwner, e.Bound.Unit)
	}
	return fmt.Sprintf("%s is at its limit of %d %s", e.Bound.Name, e.Bound.Limit, e.Bound.Unit)
}

// Limit returns the bound's limit in its unit.
func (b *Bound) Limit() int64 { return b.spec.Limit }

// Duration returns the limit of a bound of time.
func (b *Bound) Duration() time.Duration { return b.spec.Duration }

// Used returns how much is held now.
func (b *Bound) Used() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.used
}

// Refuse counts a refusal that the caller decided on by itself, as with bounds of time.
func (b *Bound) Refuse() { b.refused.Add(1) }

func (b *Bound) read() Reading {
	b.mu.Lock()
	defer b.mu.Unlock()
	return Reading{Spec: b.spec, Used: b.used, Waiting: int64(b.length),
		Refused: b.refused.Load(), Evicted: b.evicted.Load()}
}

// Take claims size for a hold, which must hold nothing, and waits for room as the spec says. A claim
// of more than the limit, or the owner's share, counts as all of it: it gets its turn alone.
//
// If evict is not nil, the hold can lose what it has: once it has made no [Hold.Progress] for the
// spec's patience while another claim waits, evict is called, once, on a goroutine of its own. It
// must lead to [Hold.Release] soon. Of the holds that can be evicted the largest goes first.
//
// Take returns a *[FullError] if there is no room in time, and the context's error if it ends first.
func (b *Bound) Take(ctx context.Context, h *Hold, owner string, size int64, evict func()) error {
	b.mu.Lock()
	size = b.clamp(owner, size)
	h.owner, h.evict = owner, evict
	if b.length == 0 && b.fits(owner, size) {
		b.give(h, size)
		b.mu.Unlock()
		return nil
	}
	if b.spec.Wait <= 0 || b.spec.Queue > 0 && b.length >= b.spec.Queue || b.lineIsFull(owner) {
		err := b.full(owner, size)
		b.mu.Unlock()
		return err
	}
	c := b.claim(h, size)
	b.enqueue(owner, c)
	b.grant() // other owners may wait for their own shares only
	b.mu.Unlock()
	defer b.unclaim(c)
	return b.wait(ctx, c)
}

// clamp makes a claim one that can be granted at all.
func (b *Bound) clamp(owner string, size int64) int64 {
	if b.owners != nil && owner != "" {
		size = min(size, b.spec.PerOwner)
	}
	return min(size, b.spec.Limit)
}

// fits reports whether there is room. b.mu must be held.
func (b *Bound) fits(owner string, size int64) bool {
	return b.used+size <= b.spec.Limit && b.fitsOwner(owner, size)
}

func (b *Bound) fitsOwner(owner string, size int64) bool {
	return b.owners == nil || owner == "" || b.owners[owner]+size <= b.spec.PerOwner
}

// lineIsFull reports whether as many claims of the owner wait as may. b.mu must be held.
func (b *Bound) lineIsFull(owner string) bool {
	l := b.lines[owner]
	return b.spec.OwnerQueue > 0 && l != nil && len(l.claims) >= b.spec.OwnerQueue
}

// full counts a refusal and returns its error. b.mu must be held.
func (b *Bound) full(owner string, size int64) error {
	b.refused.Add(1)
	return &FullError{Bound: b.spec, OfOwner: !b.fitsOwner(owner, size) || b.lineIsFull(owner)}
}

// give lets a hold have size. b.mu must be held.
func (b *Bound) give(h *Hold, size int64) {
	h.bound.Store(b)
	h.size = size
	b.count(h.owner, size)
	if h.evict == nil {
		return
	}
	h.next, h.before = b.first, nil
	if b.first != nil {
		b.first.before = h
	}
	b.first, h.listed = h, true
	h.progress.Store(time.Now().UnixNano())
}

// count adds to what is held, or takes from it. b.mu must be held.
func (b *Bound) count(owner string, size int64) {
	b.used += size
	if b.owners == nil || owner == "" {
		return
	}
	if b.owners[owner] += size; b.owners[owner] <= 0 {
		delete(b.owners, owner)
	}
}
