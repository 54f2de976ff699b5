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
	// Bytes counts bytes in memory.
	Bytes Unit = "bytes"
	// Places counts requests, streams, connections or other things.
	Places Unit = "places"
	// Seconds is a bound of time.
	Seconds Unit = "seconds"
	// Rate is a lower bound: a client that is slower loses what it holds.
	Rate Unit = "bytes per second"
	// PerSecond counts what begins in a second.
	PerSecond Unit = "per second"
)

// A Spec describes a bound. Name, Of, Unit, Limit and AtLimit are required.
type Spec struct {
	// Name identifies the bound in metrics and in the documentation, such as "read-bytes".
	Name string
	// Of says what is bounded, as a noun phrase without a full stop.
	Of string
	// Unit is what is counted.
	Unit Unit
	// Limit is how much may be held at once. A bound of [Seconds] has a Duration instead.
	Limit int64
	// Duration is the limit of a bound of [Seconds].
	Duration time.Duration
	// AtLimit says what happens at the limit, as a sentence without a full stop.
	AtLimit string
	// Setting is the flag that changes the limit, empty if there is none.
	Setting string

	// PerOwner is the share of one owner, so that nobody takes everything; 0 for no shares. The
	// owner "" is the gateway itself, which has no share. See [Part].
	PerOwner int64
	// OwnerIs says what an owner is, such as "bucket". It is empty for a client.
	OwnerIs string
	// PerPart is the share of each part of an owner, such as one connection of a client, within the
	// share of the owner; 0 for no such shares. See [Part].
	PerPart int64
	// PartKeeps says that a claim which waits for the share of its part evicts nothing, so that a
	// part keeps what it has.
	PartKeeps bool
	// PartIs says what a part is, such as "connection".
	PartIs string
	// Reserve is the part of the limit that is kept for holds of at most Small, and as large a part
	// of each owner's share is kept for them too. Such holds are charged to the reserve first.
	// While it has room, claims for them do not wait for larger ones, so that a few requests which
	// hold much do not keep out the many which hold little. Beyond it they take turns with the
	// larger ones, so that the many which hold little do not keep out those either.
	Reserve, Small int64

	// Wait is how long a claim waits for room; with 0 it is refused at once.
	Wait time.Duration
	// Queue is how many claims may wait. It is 0 only if none waits, or if QueuedBy says what else
	// bounds the claims that do.
	Queue int
	// QueuedBy names the bounds in which everybody who can claim here holds a place, if it is they
	// that bound the queue. It is for listings only.
	QueuedBy string
	// OwnerQueue is how many claims of one owner may wait, so that one client cannot fill the
	// queue. 0 stands for half of the queue if owners have shares, and else for all of it.
	OwnerQueue int
	// Patience is how long a hold may make no progress before it can be evicted in favour of a
	// claim that waits; with 0 it is never evicted. It applies to holds with an evict function
	// only, see [Bound.Take].
	Patience time.Duration
	// Lease is how long a hold counts at most; with 0 it counts until it is released. A bound with
	// a lease limits how much is begun at once, since what goes on for longer mostly waits for
	// something else. A bound of [PerSecond] has a lease of a second. There are no evictions from a
	// bound with a lease.
	Lease time.Duration
	// Drains says that the holds of a bound with a lease do not end each at a time of its own. What
	// is held is given back bit by bit, the oldest first, the limit in one lease. So after a burst
	// claims are granted at a steady pace. A claim is granted as soon as the bound is not full. If
	// it exceeds the limit, later claims wait until that part has drained. The owner that holds
	// least comes first, and does not wait if it holds less than an eighth of the limit. So such a
	// bound has no shares and no reserve.
	Drains bool
}

// A Bound limits how much is held at once. A claim that does not fit waits in the line of its
// owner, and the lines are served in turn. A Bound is safe for concurrent use.
//
// Whenever mu is free, used is the sum of the sizes of all holds. It is at most the limit, except
// for what [Turn.Resume] has forced, and for the room of holds that are leaving, which Insist gives
// away before they have left. Likewise promised and saved are the sums of those of all claims that
// wait; promised is at most leaving.
type Bound struct {
	// spec is what the bound was made from. Its Limit and PerOwner are guarded by mu, since
	// Adjust can change them; the rest does not change.
	spec Spec
	// refused counts the claims that were refused, and evicted the holds that were evicted.
	refused, evicted atomic.Uint64

	// mu guards the fields below, and those of holds and claims that say so.
	mu sync.Mutex
	// used is the sum of all holds, those being evicted included.
	used sum
	// owners has what each owner holds. It is nil without PerOwner and Drains.
	owners map[string]sum
	// parts has what each part of an owner holds. It is nil without PerPart.
	parts map[string]int64
	// first and last are the ends of a doubly linked list of the holds that can be evicted, or that
	// have a lease, the newest first.
	first, last *Hold
	// drained is when a bound that drains has given back something last.
	drained time.Duration
	// watching says that a timer for the end of the oldest lease runs.
	watching bool
	// leaving is the sum of the holds that were evicted and are not released yet.
	leaving int64
	// promised is how much of leaving was evicted for claims that wait.
	promised int64
	// saved is how much of that was given back already, and is kept for these claims. It is not a
	// part of used.
	saved int64
	// insisted is the sum of the holds granted by Insist that are not leaving, and insistedBy has
	// what of it each owner holds.
	insisted   int64
	insistedBy map[string]int64
	// waiting has the claims that wait.
	waiting queue
	// small has those of them that may use the reserve.
	small queue
	// spare keeps claims that no longer wait, for reuse.
	spare []*claim
}

// A FullError says that a claim was refused.
type FullError struct {
	// Bound describes the bound.
	Bound Spec
	// OfOwner says that the owner has used up its share, or a part of the owner its own, while
	// others still have room.
	OfOwner bool
	// OfPart says that the part of the owner has used up its share.
	OfPart bool
}

// Error names the bound and its limit, or the owner's share.
func (e *FullError) Error() string {
	if e.OfOwner {
		return fmt.Sprintf("one client's share of %s is used up (%d %s)",
			e.Bound.Name, e.Bound.PerOwner, e.Bound.Unit)
	}
	return fmt.Sprintf("%s is at its limit of %d %s", e.Bound.Name, e.Bound.Limit, e.Bound.Unit)
}

// Limit returns the bound's limit in its unit.
func (b *Bound) Limit() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.spec.Limit
}

// Adjust changes the limit, and the share of an owner, of a bound that has shares. What is held
// beyond them stays, and nothing more is granted until so much was given back.
func (b *Bound) Adjust(limit, perOwner int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.spec.Limit, b.spec.PerOwner = limit, perOwner
	b.grantWaiting()
}

// Duration returns the limit of a bound of time.
func (b *Bound) Duration() time.Duration { return b.spec.Duration }

// Used returns how much is held now.
func (b *Bound) Used() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.expire()
	return b.used.all
}

// Waiting returns how many claims wait now.
func (b *Bound) Waiting() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.waiting.length
}

// Refuse counts a refusal that the caller has decided on itself, as with bounds of time. It returns
// the error for it.
func (b *Bound) Refuse() *FullError {
	b.refused.Add(1)
	b.mu.Lock()
	defer b.mu.Unlock()
	return &FullError{Bound: b.spec}
}

// Refused returns how many claims were refused since the start.
func (b *Bound) Refused() uint64 { return b.refused.Load() }

// read returns how the bound stands.
func (b *Bound) read() Reading {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.expire()
	return Reading{Spec: b.spec, Used: b.used.all, Waiting: int64(b.waiting.length),
		Refused: b.refused.Load(), Evicted: b.evicted.Load()}
}

// Take claims size for a hold, which must hold nothing, and waits for room as the spec says. A
// claim of more than the limit, or than the owner's share, counts as all of it: it is granted
// alone.
//
// If evict is not nil, the hold can be evicted: once it has made no [Hold.Progress] for the spec's
// patience while another claim waits, evict is called, once, on a goroutine of its own. It must
// lead to [Hold.Release] soon. As many holds are evicted as the claim needs, and what they give
// back is saved for it. The largest of those that have stalled is evicted first, and of equal ones
// the one that has stalled for longest. A claim that waits for the share of its owner evicts holds
// of that owner only, and one that waits for the share of its part holds of that part only, or none
// with [Spec.PartKeeps].
//
// Take returns a *[FullError] if there is no room in time, and the context's error if it ends
// first.
func (b *Bound) Take(ctx context.Context, h *Hold, owner string, size int64, evict func()) error {
	b.mu.Lock()
	b.expire()
	size = b.clamp(owner, size)
	h.owner, h.evict = owner, evict
	if b.needNotWait(0, size) && b.fits(owner, 0, size) {
		b.assign(h, size)
		b.mu.Unlock()
		return nil
	}
	return b.await(ctx, b.newClaim(h, size))
}

// TakeFor is a [Bound.Take] for the owner of the context, of a hold that cannot be evicted. It is
// the way to take what a request needs; see [WithOwner].
func (b *Bound) TakeFor(ctx context.Context, h *Hold, size int64) error {
	return b.Take(ctx, h, OwnerOf(ctx), size, nil)
}

// Try is a [Bound.Take] that does not wait. It reports whether there was room. If there was none,
// that does not count as a refusal.
func (b *Bound) Try(h *Hold, owner string, size int64, evict func()) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	size = b.clamp(owner, size)
	if !b.needNotWait(0, size) || !b.fits(owner, 0, size) {
		return false
	}
	h.owner, h.evict = owner, evict
	b.assign(h, size)
	return true
}

// force grants a claim whether or not there is room. It is for what was held before.
func (b *Bound) force(h *Hold, owner string, size int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	h.owner, h.evict = owner, nil
	b.assign(h, size)
}
