package bound

import (
	"slices"
	"time"
)

// isSmall reports whether a claim may use the reserve.
func (b *Bound) isSmall(size int64) bool { return b.spec.Reserve > 0 && size <= b.spec.Small }

// room is how much may be held in all once a claim of that size is granted.
func (b *Bound) room(size int64) int64 {
	if b.spec.Reserve > 0 && size > b.spec.Small {
		return b.spec.Limit - b.spec.Reserve
	}
	return b.spec.Limit
}

// grantSmall serves the claims that fit into the reserve, whoever's turn it is. b.mu must be held.
func (b *Bound) grantSmall() {
	if b.small == 0 {
		return
	}
	for _, l := range slices.Clone(b.turns) {
		for _, c := range slices.Clone(l.claims) {
			if b.isSmall(c.size) && b.fits(l.owner, c.size) {
				b.dequeue(c)
				b.give(c.hold, c.size)
				close(c.granted)
			}
		}
	}
}

// Try is [Bound.Take] that does not wait. It reports whether there was room, and does not count as
// a refusal if there was none.
func (b *Bound) Try(h *Hold, owner string, size int64, evict func()) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	size = b.clamp(owner, size)
	if b.length > 0 && !b.isSmall(size) || !b.fits(owner, size) {
		return false
	}
	h.owner, h.evict = owner, evict
	b.give(h, size)
	return true
}

// Insist claims at once what is in memory already and cannot wait, such as what the client of a
// stream did not take. It may use the reserve. If there is no room it evicts others and takes their
// place while they leave: the largest that has stalled for the spec's patience, or else the
// largest that has insisted too, since the client of a stream can resume it.
//
// It reports whether there was room, or will be. If not, the claim itself is the largest, and
// whoever made it has to give up what it holds.
func (b *Bound) Insist(h *Hold, owner string, size int64, evict func()) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	size = min(size, b.spec.Limit)
	for b.used-b.leaving+size > b.spec.Limit {
		victim := b.stalled()
		if victim == nil {
			victim = b.largest(func(other *Hold) bool { return other.insisted && other.size >= size })
		}
		if victim == nil {
			b.refused.Add(1)
			return false
		}
		go b.dismiss(victim)()
	}
	h.owner, h.evict, h.insisted = owner, evict, true
	b.give(h, size)
	if victim := b.stalled(); victim != nil && b.used-b.leaving > b.spec.Limit-b.spec.Reserve {
		go b.dismiss(victim)() // or little by little the reserve would fill with what has stalled
	}
	return true
}

// stalled returns the largest hold that has made no progress for the spec's patience, nil if there
// is none. b.mu must be held.
func (b *Bound) stalled() *Hold {
	since := time.Now().Add(-b.spec.Patience).UnixNano()
	return b.largest(func(h *Hold) bool { return b.spec.Patience > 0 && h.progress.Load() <= since })
}
