package bound

import (
	"context"
	"sync/atomic"
	"time"
)

// A Hold is what somebody holds of a bound. The zero value holds nothing; it can be used again after
// Release. Its methods may be called by several goroutines, but Take and Release not at once.
type Hold struct {
	owner    string
	evict    func()
	progress atomic.Int64 // when it made progress last, in Unix nanoseconds

	// Guarded by the bound's mutex.
	bound        *Bound // nil while nothing is held
	size         int64
	listed       bool // it can be evicted, and was not yet
	leaving      bool // it was asked to give up what it holds
	next, before *Hold
}

// Progress notes that whoever holds this goes on, such as a client that took a part of its answer.
func (h *Hold) Progress() { h.progress.Store(time.Now().UnixNano()) }

// Idle notes that whoever holds this has made no progress for d, where only a part of the time counts
// as such: a client is not to blame for the time that the gateway itself takes.
func (h *Hold) Idle(d time.Duration) { h.progress.Store(time.Now().Add(-d).UnixNano()) }

// Size returns how much is held.
func (h *Hold) Size() int64 {
	if h.bound == nil {
		return 0
	}
	h.bound.mu.Lock()
	defer h.bound.mu.Unlock()
	return h.size
}

// Shrink gives back what is held beyond size, which must not be negative. It never takes more.
func (h *Hold) Shrink(size int64) {
	b := h.bound
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if size >= h.size {
		return
	}
	h.resize(size)
	b.grant()
}

// resize changes what is held. The bound's mutex must be held.
func (h *Hold) resize(size int64) {
	h.bound.count(h.owner, size-h.size)
	if h.leaving {
		h.bound.leaving += size - h.size
	}
	h.size = size
}

// Grow takes more, up to size in all, if there is room for it at once and nobody waits.
func (h *Hold) Grow(size int64) bool {
	b := h.bound
	if b == nil {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	more := size - h.size
	if more <= 0 {
		return true
	}
	if b.length > 0 || !b.fits(h.owner, more) {
		b.refused.Add(1)
		return false
	}
	h.resize(size)
	return true
}

// Extend takes more, up to size in all, and waits for room as Take does. The hold can be evicted
// meanwhile, which does not end the wait: the one who evicts ends the context. It returns what Take
// does, and what was held before is held in any case.
func (h *Hold) Extend(ctx context.Context, size int64) error {
	b := h.bound
	b.mu.Lock()
	more := b.clamp(h.owner, size) - h.size
	if more <= 0 {
		b.mu.Unlock()
		return nil
	}
	if b.length == 0 && b.fits(h.owner, more) {
		h.resize(h.size + more)
		b.mu.Unlock()
		return nil
	}
	return b.await(ctx, &claim{hold: h, size: more, extends: true, granted: make(chan struct{})})
}

// Pin makes the hold one that cannot be evicted any more, since nothing is waited for but the gateway
// itself. An evict function that runs already goes on.
func (h *Hold) Pin() {
	b := h.bound
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	h.unlist()
}

// Release gives back all that is held. A second call does nothing.
func (h *Hold) Release() {
	b := h.bound
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	h.resize(0)
	h.unlist()
	h.bound, h.evict, h.leaving = nil, nil, false
	b.grant()
}

// unlist takes the hold out of the list of those that can be evicted. The bound's mutex must be held.
func (h *Hold) unlist() {
	if !h.listed {
		return
	}
	if h.before != nil {
		h.before.next = h.next
	} else {
		h.bound.first = h.next
	}
	if h.next != nil {
		h.next.before = h.before
	}
	h.next, h.before, h.listed = nil, nil, false
}

// evictFor makes the largest hold give up that has made no progress for the spec's patience, if the
// claim still waits and what was evicted before, and is not given back yet, will not do.
// A claim that waits for its owner's share is helped by a hold of that owner only. The first claim
// of a line does it for those behind, since to look is to go through all that is held.
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
	if c.isGranted() || b.lines[c.hold.owner].claims[0] != c {
		return nil
	}
	victim := b.victim(c)
	if victim == nil || b.leaving >= c.size {
		return nil
	}
	victim.unlist() // it is asked once
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
		if h == c.hold || h.progress.Load() > stalled ||
			ownShare && whole(h.owner) != whole(c.hold.owner) {
			continue
		}
		if victim == nil || h.size > victim.size {
			victim = h
		}
	}
	return victim
}
