package bound

import (
	"context"
	"sync/atomic"
	"time"
)

// A Hold is what somebody holds of a bound. The zero value holds nothing, and a Hold can be used
// again after Release. Its methods may be called by several goroutines, but [Bound.Take] and
// Release must not be called at the same time. The package documentation has its states.
type Hold struct {
	// owner is for whom it was claimed.
	owner string
	// evict makes whoever has the hold release it. It is nil if the hold cannot be evicted.
	evict func()
	// progress is when the hold made progress last, in nanoseconds of now; in a bound with a lease,
	// when it was granted.
	progress atomic.Int64

	// bound is the bound of which something is held, nil if nothing is. It changes under the mutex
	// of the bound only.
	bound atomic.Pointer[Bound]

	// The mutex of the bound guards the fields below.

	// size is how much is held.
	size int64
	// listed says that the hold is in the bound's list of those that can be evicted or have a
	// lease.
	listed bool
	// leaving says that the hold was evicted and is not released yet.
	leaving bool
	// insisted says that the hold was granted by [Bound.Insist].
	insisted bool
	// evictedFor is the claim for which the hold was evicted, nil if there is none. It applies only
	// as long as the serial of that claim is evictedForSerial, since claims are used again.
	evictedFor       *claim
	evictedForSerial uint64
	// next and before are the neighbours in that list.
	next, before *Hold
}

// Progress notes that whoever has the hold goes on, such as a client that took a part of its
// answer.
func (h *Hold) Progress() { h.progress.Store(int64(now())) }

// Idle notes that whoever has the hold has made no progress for d. It is for callers with whom only
// a part of the time counts: a client is not to blame for the time that the gateway itself takes.
func (h *Hold) Idle(d time.Duration) { h.progress.Store(int64(now() - d)) }

// lastProgress returns when the hold made progress last, as a time of now.
func (h *Hold) lastProgress() time.Duration { return time.Duration(h.progress.Load()) }

// Size returns how much is held.
func (h *Hold) Size() int64 {
	b := h.lock()
	if b == nil {
		return 0
	}
	defer b.mu.Unlock()
	return h.size
}

// Shrink gives back what is held beyond size, which must not be negative. If less is held, it has
// no effect.
func (h *Hold) Shrink(size int64) {
	b := h.lock()
	if b == nil {
		return
	}
	defer b.mu.Unlock()
	if size >= h.size {
		return
	}
	b.resize(h, size)
	b.grantWaiting()
}

// Grow takes more, up to size in all, if there is room at once and nobody waits. It reports whether
// size is held now.
func (h *Hold) Grow(size int64) bool {
	b := h.lock()
	if b == nil {
		return false
	}
	defer b.mu.Unlock()
	if size <= h.size {
		return true
	}
	if !b.needNotWait(h.size, size) || !b.fits(h.owner, h.size, size) {
		b.refused.Add(1)
		return false
	}
	b.resize(h, size)
	return true
}

// Extend takes more, up to size in all, and waits for room as Take does. The hold can be evicted
// meanwhile; that does not end the wait, so the evict function has to end the context. It returns
// the same errors as [Bound.Take], and then the hold still has what it had before.
func (h *Hold) Extend(ctx context.Context, size int64) error {
	b := h.lock()
	if b == nil {
		return context.Cause(ctx) // it was released, so nobody needs it any more
	}
	more := b.clamp(h.owner, size) - h.size
	if more <= 0 {
		b.mu.Unlock()
		return nil
	}
	if b.waiting.length == 0 && b.fits(h.owner, h.size, h.size+more) {
		b.resize(h, h.size+more)
		b.mu.Unlock()
		return nil
	}
	c := b.newClaim(h, more)
	c.extends = true
	return b.await(ctx, c)
}

// Evictable sets the evict function of the hold, see [Bound.Take]; with nil it cannot be evicted.
// So a hold can be evicted while it waits for its client, and not while it waits for something
// else. The call counts as progress. An evict function that was called before may still be running
// afterwards.
func (h *Hold) Evictable(evict func()) {
	b := h.lock()
	if b == nil {
		return
	}
	defer b.mu.Unlock()
	b.unlist(h)
	h.evict = evict
	if evict != nil && !h.leaving {
		b.list(h)
	}
}

// HandTo makes another owner the one who insisted on the hold, such as another of the clients that
// wait with a shared frame. It has no effect on a hold that was not granted by [Bound.Insist].
func (h *Hold) HandTo(owner string) {
	b := h.lock()
	if b == nil {
		return
	}
	defer b.mu.Unlock()
	if !h.insisted {
		return
	}
	if !h.leaving {
		b.countInsisted(h.owner, -h.size)
		b.countInsisted(owner, h.size)
	}
	h.owner = owner
}

// Release gives back all that is held. A second call has no effect.
func (h *Hold) Release() {
	b := h.lock()
	if b == nil {
		return
	}
	defer b.mu.Unlock()
	b.resize(h, 0)
	b.unlist(h)
	h.bound.Store(nil)
	h.evict, h.leaving, h.insisted = nil, false, false
	b.grantEvictor(h)
	b.grantWaiting()
}

// lock locks the bound of which something is held, and returns it. It returns nil, and locks
// nothing, if nothing is held.
func (h *Hold) lock() *Bound {
	b := h.bound.Load()
	if b == nil {
		return nil
	}
	b.mu.Lock()
	if h.bound.Load() == b {
		return b
	}
	b.mu.Unlock() // the hold was released meanwhile
	return nil
}
