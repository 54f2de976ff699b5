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
	// PerSecond is how many may begin in a second.
	PerSecond Unit = "per second"
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
	// Where owners have shares, the claims of one owner may use half of it.
	Queue int
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

// Drop takes a bound out of the listing, when what it belonged to has ended.
func (s *Set) Drop(b *Bound) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bounds = slices.DeleteFunc(s.bounds, func(other *Bound) bool { return other == b })
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
}

// A line has the claims of one owner that wait, the oldest first.
type line struct {
	owner  string
	claims []*claim
}

// A claim waits for room.
type claim struct {
	hold    *Hold
	size    int64
	extends bool          // the hold has something already, and is to have size more
	granted chan struct{} // closed when the hold has what was claimed
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

// Refused returns how many claims were refused since the start.
func (b *Bound) Refused() uint64 { return b.refused.Load() }

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
	return b.await(ctx, &claim{hold: h, size: size, granted: make(chan struct{})})
}

// lookEvery is how often a claim that waits looks for a hold that can be evicted, if few others wait.
// Where many do, each looks less often, and all of them together as often as lookers do.
const (
	lookEvery = 50 * time.Millisecond
	lookers   = 16
)

func (b *Bound) wait(ctx context.Context, c *claim) error {
	end := time.NewTimer(b.spec.Wait)
	defer end.Stop()
	look := new(time.Ticker)
	if b.spec.Patience > 0 {
		b.mu.Lock()
		every := lookEvery * time.Duration(1+b.length/lookers)
		b.mu.Unlock()
		look = time.NewTicker(every)
		defer look.Stop()
	}
	var err error
	for err == nil {
		b.evictFor(c)
		select {
		case <-c.granted:
			return nil
		case <-look.C:
			continue
		case <-ctx.Done():
			err = ctx.Err()
		case <-end.C:
		}
		if err == nil {
			b.mu.Lock()
			err = b.full(c.hold.owner, c.size)
			b.mu.Unlock()
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if c.isGranted() { // in the same moment
		return nil
	}
	b.dequeue(c)
	b.grant() // it may have been in the way of others
	return err
}

// clamp makes a claim one that can be granted at all.
func (b *Bound) clamp(owner string, size int64) int64 {
	if b.owners != nil && whole(owner) != "" {
		size = min(size, b.spec.PerOwner)
	}
	return min(size, b.spec.Limit)
}

// fits reports whether there is room. b.mu must be held.
func (b *Bound) fits(owner string, size int64) bool {
	return b.used+size <= b.spec.Limit && b.fitsOwner(owner, size)
}

func (b *Bound) fitsOwner(owner string, size int64) bool {
	owner = whole(owner)
	return b.owners == nil || owner == "" || b.owners[owner]+size <= b.spec.PerOwner
}

// full counts a refusal and returns its error. b.mu must be held.
func (b *Bound) full(owner string, size int64) *FullError {
	b.refused.Add(1)
	return &FullError{Bound: b.spec, OfOwner: !b.fitsOwner(owner, size) && b.used+size <= b.spec.Limit}
}

// give lets a hold have size. b.mu must be held.
func (b *Bound) give(h *Hold, size int64) {
	h.bound, h.size = b, size
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
	owner = whole(owner)
	if b.owners == nil || owner == "" {
		return
	}
	if b.owners[owner] += size; b.owners[owner] <= 0 {
		delete(b.owners, owner)
	}
}

// grant serves the claims that fit, owner by owner. A claim that does not fit in the whole holds up
// all that wait, or large claims would starve; one beyond its owner's share holds up its line only.
// b.mu must be held.
func (b *Bound) grant() {
	for skipped := 0; skipped < len(b.turns); {
		l := b.turns[0]
		c := l.claims[0]
		if b.fitsOwner(l.owner, c.size) && b.used+c.size > b.spec.Limit {
			return
		}
		b.turns = append(b.turns[1:], l) // its next turn comes after the others'
		if !b.fitsOwner(l.owner, c.size) {
			skipped++
			continue
		}
		skipped = 0
		b.dequeue(c)
		if c.extends {
			c.hold.resize(c.hold.size + c.size)
		} else {
			b.give(c.hold, c.size)
		}
		close(c.granted)
	}
}

// enqueue and dequeue move a claim into and out of its owner's line. One that extends a hold goes
// first in it: until it is granted, what the hold has already is of no use. b.mu must be held.
func (b *Bound) enqueue(c *claim) {
	owner := c.hold.owner
	l := b.lines[owner]
	if l == nil {
		l = &line{owner: owner}
		b.lines[owner] = l
		b.turns = append(b.turns, l)
	}
	if c.extends {
		l.claims = slices.Insert(l.claims, 0, c)
	} else {
		l.claims = append(l.claims, c)
	}
	b.length++
}

func (b *Bound) dequeue(c *claim) {
	l := b.lines[c.hold.owner]
	l.claims = slices.DeleteFunc(l.claims, func(other *claim) bool { return other == c })
	b.length--
	if len(l.claims) == 0 {
		delete(b.lines, l.owner)
		b.turns = slices.DeleteFunc(b.turns, func(other *line) bool { return other == l })
	}
}
