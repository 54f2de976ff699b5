package bound

import (
	"context"
	"sync/atomic"
	"time"
)

// A Hold is what somebody holds of a bound. The zero value holds nothing; it can be used again after
// Release. Its methods may be called by several goroutines, but [Bound.Take] and Release not at once.
type Hold struct {
	owner    string
	evict    func()
	progress atomic.Int64 // when it made progress last; see now

	// bound is nil while nothing is held. It changes under the bound's mutex only.
	bound atomic.Pointer[Bound]

	// Guarded by the bound's mutex.
	size     int64
	listed   bool // it can be evicted, and was not yet
	leaving  bool // it was asked to give up what it holds
	insisted bool // see [Bound.Insist]
	// heir is the claim for which it was evicted, nil for none, while that claim's serial is
	// heirSerial.
	heir         *claim
	heirSerial   uint64
	next, before *Hold
}

// Progress notes that whoever holds this goes on, such as a client that took a part of its answer.
func (h *Hold) Progress() { h.progress.Store(int64(now())) }

// Idle notes that whoever holds this has made no progress for d, where only a part of the time counts
// as such: a client is not to blame for the time that the gateway itself takes.
func (h *Hold) Idle(d time.Duration) { h.progress.Store(int64(now() - d)) }

// stalledSince returns when it made progress last; see now.
func (h *Hold) stalledSince() time.Duration { return time.Duration(h.progress.Load()) }

// Size returns how much is held.
func (h *Hold) Size() int64 {
	b := h.lock()
	if b == nil {
		return 0
	}
	defer b.mu.Unlock()
	return h.size
}

// Shrink gives back what is held beyond size, which must not be negative. It never takes more.
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
	b.grant()
}

// Grow takes more, up to size in all, if there is room for it at once and nobody waits.
func (h *Hold) Grow(size int64) bool {
	b := h.lock()
	if b == nil {
		return false
	}
	defer b.mu.Unlock()
	if size <= h.size {
		return true
	}
	if !b.goesFirst(h.size, size) || !b.fits(h.owner, h.size, size) {
		b.refused.Add(1)
		return false
	}
	b.resize(h, size)
	return true
}

// Extend takes more, up to size in all, and waits for room as Take does. The hold can be evicted
// meanwhile, which does not end the wait: whoever evicts ends the context. It returns what Take
// does, and what was held before is held in any case.
func (h *Hold) Extend(ctx context.Context, size int64) error {
	b := h.lock()
	if b == nil {
		return context.Cause(ctx) // it was released, and nobody waits for it any more
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
	c := b.claim(h, more)
	c.extends = true
	return b.await(ctx, c)
}

// Evictable says how to make the hold give up what it has from now on, as [Bound.Take] does with
// its evict; nil for not at all. So a hold can be evicted while it waits for its client, and not
// while it waits for something else. It counts as progress. An evict function that was called
// already goes on, perhaps after this.
func (h *Hold) Evictable(evict func()) {
	b := h.lock()
	if b == nil {
		return
	}
	defer b.mu.Unlock()
	b.unlist(h)
	if h.evict = evict; evict != nil && !h.leaving {
		b.list(h)
	}
}

// Release gives back all that is held. A second call does nothing.
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
	b.serveHeir(h)
	b.grant()
}

// lock locks the bound that the hold holds something of, and returns it; nil if there is none.
func (h *Hold) lock() *Bound {
	b := h.bound.Load()
	if b == nil {
		return nil
	}
	b.mu.Lock()
	if h.bound.Load() == b {
		return b
	}
	b.mu.Unlock() // released meanwhile
	return nil
}
