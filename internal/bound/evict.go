package bound

import (
	"cmp"
	"slices"
	"time"
)

// list adds a hold to those that can be evicted, or whose lease ends. b.mu must be held.
func (b *Bound) list(h *Hold) {
	h.next, h.before = b.first, nil
	if b.first != nil {
		b.first.before = h
	} else {
		b.last = h
	}
	b.first, h.listed = h, true
	h.Progress()
}

// unlist takes a hold out of that list. b.mu must be held.
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
	} else {
		b.last = h.before
	}
	h.next, h.before, h.listed = nil, nil, false
}

// evictFor makes stalled holds give up what a claim needs, if it still waits. It returns after what
// time to look again. The first claim of a line does it for those behind, since to look is to go
// through all that is held.
func (b *Bound) evictFor(c *claim) (again time.Duration) {
	if b.spec.Patience <= 0 {
		return time.Hour
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if !c.has && c.among.line.end.next == &c.among {
		b.makeRoom(c)
		return lookEvery * time.Duration(1+len(b.waiting.lines)/lookers)
	}
	return min(lookEvery*time.Duration(1+b.waiting.length/lookers), lookAtLeast)
}

// makeRoom makes as many holds give up as the claim needs, of those that have made no progress for
// the spec's patience; the largest first. If they are enough, what they give back is kept for the
// claim, or others would take it one after the other. b.mu must be held.
//
// A claim that waits for its owner's share is helped by holds of that owner only, and one that waits
// for what a part of it may hold by those of that part, or by none.
func (b *Bound) makeRoom(c *claim) {
	owner, from, to := c.hold.owner, c.from(), c.to()
	part, share := b.missingPart(owner, from, to), b.missingShare(owner, from, to)
	if part > 0 && b.spec.PartKeeps {
		return
	}
	need := max(part, share, b.missing(from, to, c.saved))
	need -= c.promised + b.leaving - b.promised // what leaves for nobody in particular is for all
	if need <= 0 {
		return
	}
	eligible := func(string) bool { return true }
	switch {
	case part > 0:
		eligible = func(other string) bool { return other == owner }
	case share > 0:
		eligible = func(other string) bool { return whole(other) == whole(owner) }
	}
	victims, sum := b.victims(c, eligible, need)
	for _, victim := range victims {
		if sum >= need {
			victim.heir, victim.heirSerial = c, c.serial
			c.promised += victim.size
			b.promised += victim.size
		}
		go b.dismiss(victim)()
	}
}

// victims returns holds of eligible owners that can be evicted for a claim, in their order, until they
// are enough, and what they hold. b.mu must be held.
func (b *Bound) victims(
	c *claim, eligible func(owner string) bool, need int64,
) (victims []*Hold, sum int64) {
	since := now() - b.spec.Patience
	// As long as the reserve has room for them, small holds are in the way of small claims only.
	small := b.isSmall(c.to()) || b.used.small > b.spec.Reserve
	for h := b.first; h != nil; h = h.next {
		if h == c.hold || h.stalledSince() > since ||
			!eligible(h.owner) ||
			!small && b.isSmall(h.size) && !h.insisted {
			continue
		}
		victims = append(victims, h)
	}
	slices.SortFunc(victims, func(x, y *Hold) int {
		return cmp.Or(cmp.Compare(y.size, x.size), cmp.Compare(x.stalledSince(), y.stalledSince()))
	})
	for i, victim := range victims {
		if sum += victim.size; sum >= need {
			return victims[:i+1], sum
		}
	}
	return victims, sum
}

// save keeps what an evicted hold gives back for the claim that evicted it, if that still waits.
// b.mu must be held.
func (b *Bound) save(h *Hold, freed int64) {
	c := h.heir
	if c == nil || c.serial != h.heirSerial {
		return
	}
	freed = max(0, min(freed, c.promised))
	c.promised -= freed
	b.promised -= freed
	c.saved += freed
	b.saved += freed
}

// serveHeir serves the claim for which a hold was evicted that has given back all, if there is room
// for it by now, whosever turn it is. b.mu must be held.
func (b *Bound) serveHeir(h *Hold) {
	c := h.heir
	h.heir = nil
	if c != nil && c.serial == h.heirSerial && b.fitsOwner(c.hold.owner, c.from(), c.to()) &&
		b.missing(c.from(), c.to(), c.saved) <= 0 {
		b.waiting.last(c.among.line) // that was its line's turn
		b.serve(c)
	}
}

// largest returns the largest hold that can be evicted and is eligible, nil if there is none.
// b.mu must be held.
func (b *Bound) largest(eligible func(*Hold) bool) *Hold {
	var largest *Hold
	for h := b.first; h != nil; h = h.next {
		if eligible(h) && (largest == nil || h.size > largest.size) {
			largest = h
		}
	}
	return largest
}

// dismiss notes that a hold has to give up what it has, and returns how to make it do so.
// b.mu must be held.
func (b *Bound) dismiss(victim *Hold) (evict func()) {
	b.unlist(victim) // it is asked once
	victim.leaving = true
	b.leaving += victim.size
	if victim.insisted {
		b.insisted -= victim.size
	}
	b.evicted.Add(1)
	return victim.evict
}

// stalled returns the largest hold that has made no progress for the spec's patience, nil if there
// is none; if insisted is set, of those that were insisted on. b.mu must be held.
func (b *Bound) stalled(insisted bool) *Hold {
	since := now() - b.spec.Patience
	return b.largest(func(h *Hold) bool {
		return b.spec.Patience > 0 && h.stalledSince() <= since && (h.insisted || !insisted)
	})
}

// Insist claims at once what is in memory already and cannot wait, such as what the client of a
// stream did not take. It may use the reserve. If there is no room it evicts others and takes their
// place while they leave: the largest that has stalled for the spec's patience, or else the
// largest that has insisted too, since the client of a stream can resume it. All that insist have at
// most half of the limit, so that those who wait for their turn get one.
//
// It reports whether there was room, or will be. If not, the claim itself is the largest, and
// whoever made it has to give up what it holds.
func (b *Bound) Insist(h *Hold, owner string, size int64, evict func()) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	half := b.spec.Limit / 2
	size = min(size, half)
	for b.used.all+b.saved+b.promised-b.leaving+size > b.spec.Limit || b.insisted+size > half {
		victim := b.stalled(b.insisted+size > half)
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
	if b.used.beyond(b.spec.Limit, b.spec.Reserve, false) > b.leaving {
		// Or little by little the reserve would fill with what has stalled.
		if victim := b.stalled(false); victim != nil {
			go b.dismiss(victim)()
		}
	}
	return true
}
