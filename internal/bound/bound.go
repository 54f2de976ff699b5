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
	Rate    Unit = "bytes per second" // a lower bound: a slower client loses what it holds
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
	// limit. The owner "" is the gateway itself, which has none. See [Part].
	PerOwner int64
	// OwnerIs says what an owner is, such as "bucket"; "" for a client.
	OwnerIs string
	// PerPart is how much each part of an owner may hold, such as one connection of a client,
	// within the owner's share; 0 for no such limit. See [Part].
	PerPart int64
	// PartKeeps says that a part which has used up what it may hold evicts nothing of its own.
	PartKeeps bool
	// PartIs says what a part is, such as "connection".
	PartIs string
	// Reserve is a part of the limit that is kept for holds of at most Small, and as large a part
	// of each owner's share. They are charged to it first. As long as it has room for them, such
	// claims wait for no larger ones, so that a few requests which hold much do not keep out the
	// many which hold little; beyond it they take turns with the larger ones, so that many which
	// hold little do not keep out those either.
	Reserve, Small int64

	// Wait is how long a claim waits for room, 0 to refuse it at once.
	Wait time.Duration
	// Queue is how many claims may wait. It is 0 only where nothing waits, or where QueuedBy says
	// what else bounds the claims that do.
	Queue int
	// QueuedBy names the bounds of which everybody holds a place who can claim here, where they are
	// what bounds the queue. It is for listings only.
	QueuedBy string
	// OwnerQueue is how many claims of one owner may wait, so that one client cannot fill the
	// queue: 0 for half of the queue if owners have shares, and else for all of it.
	OwnerQueue int
	// Patience is how long a hold may make no progress before it can be evicted in favour of a
	// claim that waits. It applies to holds with an evict function only; see [Bound.Take].
	Patience time.Duration
	// Lease is how long a hold counts at most, 0 for until it is released. There are no evictions from
	// a bound with a lease. A bound of what may begin in a second has a lease of a second.
	Lease time.Duration
}

// A Bound limits how much is held at once. A claim that does not fit waits in the line of its owner,
// and the owners take turns, so that a client which asks for much delays itself and not the others.
type Bound struct {
	spec    Spec
	refused atomic.Uint64
	evicted atomic.Uint64

	mu sync.Mutex
	// used is the sum of all holds, those being evicted included.
	used sum
	// owners has what each owner holds. It is nil without PerOwner.
	owners map[string]sum
	// parts has what each part of an owner holds. It is nil without PerPart.
	parts map[string]int64
	// first and last are the ends of a doubly linked list of the holds that can be evicted, or that
	// have a lease, the newest first.
	first, last *Hold
	// watching reports whether a timer for the end of the oldest lease runs.
	watching bool
	// leaving is the sum of the holds that were evicted and are not released yet.
	leaving int64
	// promised is what of leaving was evicted for claims that wait, and saved is what was given
	// back of it and is kept for them.
	promised, saved int64
	// insisted is the sum of the holds taken by Insist that are not leaving.
	insisted int64
	// waiting has the claims that wait, and small those of them that may use the reserve.
	waiting, small queue
	// spare keeps claims that no longer wait, for reuse.
	spare []*claim
}

// A FullError says that a claim was refused.
type FullError struct {
	Bound Spec
	// OfOwner reports whether the owner has used up its share, or a part of it its own, while
	// others still have room.
	OfOwner bool
	// OfPart reports whether a part of the owner has used up what it may hold.
	OfPart bool
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
	return b.used.all
}

// Waiting returns how many claims wait for room now.
func (b *Bound) Waiting() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.waiting.length
}

// Refuse counts a refusal that the caller decided on by itself, as with bounds of time.
func (b *Bound) Refuse() { b.refused.Add(1) }

// Refused returns how many claims were refused since the start.
func (b *Bound) Refused() uint64 { return b.refused.Load() }

func (b *Bound) read() Reading {
	b.mu.Lock()
	defer b.mu.Unlock()
	return Reading{Spec: b.spec, Used: b.used.all, Waiting: int64(b.waiting.length),
		Refused: b.refused.Load(), Evicted: b.evicted.Load()}
}

// Take claims size for a hold, which must hold nothing, and waits for room as the spec says. A claim
// of more than the limit, or the owner's share, counts as all of it: it gets its turn alone.
//
// If evict is not nil, the hold can lose what it has: once it has made no [Hold.Progress] for the
// spec's patience while another claim waits, evict is called, once, on a goroutine of its own. It
// must lead to [Hold.Release] soon. As many are evicted as the claim needs, and what they give back
// is kept for it. Of the holds that can be evicted the largest goes first, and of equal ones the one
// without progress for longest. A claim that waits for its owner's share evicts holds of that owner
// only, and one that waits for what a part of it may hold those of that part.
//
// Take returns a *[FullError] if there is no room in time, and the context's error if it ends first.
func (b *Bound) Take(ctx context.Context, h *Hold, owner string, size int64, evict func()) error {
	b.mu.Lock()
	if b.spec.Lease > 0 {
		b.expire()
	}
	size = b.clamp(owner, size)
	h.owner, h.evict = owner, evict
	if b.goesFirst(0, size) && b.fits(owner, 0, size) {
		b.give(h, size)
		b.mu.Unlock()
		return nil
	}
	return b.await(ctx, b.claim(h, size))
}

// Try is [Bound.Take] that does not wait. It reports whether there was room, and does not count as
// a refusal if there was none.
func (b *Bound) Try(h *Hold, owner string, size int64, evict func()) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	size = b.clamp(owner, size)
	if !b.goesFirst(0, size) || !b.fits(owner, 0, size) {
		return false
	}
	h.owner, h.evict = owner, evict
	b.give(h, size)
	return true
}

// force claims whatever room there is. It is for a claim of what was held before.
func (b *Bound) force(h *Hold, owner string, size int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	h.owner, h.evict = owner, nil
	b.give(h, size)
}
