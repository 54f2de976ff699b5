package bound

import (
	"sync/atomic"
	"time"
)

// A Hold is what somebody holds of a bound. The zero value holds nothing; it can be used again after
// Release. Its methods may be called by several goroutines, but Take and Release not at once.
type Hold struct {
	owner    string
	evict    func()
	progress atomic.Int64 // when it made progress last, in Unix nanoseconds

	// bound is nil while nothing is held. It changes under the bound's mutex only.
	bound atomic.Pointer[Bound]

	// Guarded by the bound's mutex.
	size         int64
	listed       bool // it can be evicted, and was not yet
	leaving      bool // it was asked to give up what it holds
	next, before *Hold
}

// Progress notes that whoever holds this goes on, such as a client that took a part of its answer.
func (h *Hold) Progress() { h.progress.Store(time.Now().UnixNano()) }

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

// resize changes what is held. b.mu must be held.
func (b *Bound) resize(h *Hold, size int64) {
	b.count(h.owner, size-h.size)
	if h.leaving {
		b.leaving += size - h.size
	}
	h.size = size
}

// Grow takes more, up to size in all, if there is room for it at once and nobody waits.
func (h *Hold) Grow(size int64) bool {
	b := h.lock()
	if b == nil {
		return false
	}
	defer b.mu.Unlock()
	more := size - h.size
	if more <= 0 {
		return true
	}
	if b.length > 0 || !b.fits(h.owner, more) {
		b.refused.Add(1)
		return false
	}
	b.resize(h, size)
	return true
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
	h.evict, h.leaving = nil, false
	b.grant()
}

// unlist takes the hold out of the list of those that can be evicted. b.mu must be held.
func (b *Bound) unlist(h *Hold) {
	if !h.listed {
		return
	}
	if h.before != nil {
		h.before.next = h.next
	} else {
		b.first = h.next
	}
	if h.next != nil {
		h.next.before = h.before
	}
	h.next, h.before, h.listed = nil, nil, false
}

// evictFor makes the largest hold give up that has made no progress for the spec's patience, if the
// claim still waits and what was evicted before, and is not given back yet, will not do.
// A claim that waits for its owner's share is helped by a hold of that owner only.
func (b *Bound) evictFor(c *claim) {
	if b.spec.Patience <= 0 {
		return
	}
	if evict := b.chooseVictim(c); evict != nil {
		go evict()
	}
}

// chooseVictim returns how to evict the hold that evictFor is about, nil if there is none.
func (b *Bound) chooseVictim(c *claim) (evict func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if c.has {
		return nil
	}
	victim := b.victim(c)
	if victim == nil || b.leaving >= c.size {
		return nil
	}
	b.unlist(victim) // it is asked once
	victim.leaving = true
	b.leaving += victim.size
	b.evicted.Add(1)
	return victim.evict
}

// victim returns the largest hold that has stalled, nil if there is none. b.mu must be held.
func (b *Bound) victim(c *claim) *Hold {
	ownShare := !b.fitsOwner(c.hold.owner, c.size)
	stalled := time.Now().Add(-b.spec.Patience).UnixNano()
	var victim *Hold
	for h := b.first; h != nil; h = h.next {
		if h.progress.Load() > stalled || ownShare && h.owner != c.hold.owner {
			continue
		}
		if victim == nil || h.size > victim.size {
			victim = h
		}
	}
	return victim
}
