package bound

import "time"

// list adds a hold to those that can be evicted, or whose lease ends. b.mu must be held.
func (b *Bound) list(h *Hold) {
	h.next, h.before = b.first, nil
	if b.first != nil {
		b.first.before = h
	} else {
		b.last = h
	}
	b.first, h.listed = h, true
	h.progress.Store(time.Now().UnixNano())
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

// evictFor makes the largest hold give up that has made no progress for the spec's patience, if the
// claim still waits and what was evicted before, and is not given back yet, will not do. It returns
// after what time to look again.
//
// A claim that waits for its owner's share is helped by a hold of that owner only. The first claim
// of a line does it for those behind, since to look is to go through all that is held.
func (b *Bound) evictFor(c *claim) (again time.Duration) {
	if b.spec.Patience <= 0 {
		return time.Hour
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if c.has || c.among.line.end.next != &c.among || b.leaving >= c.size {
		return b.lookAgain()
	}
	if victim := b.victim(c); victim != nil {
		go b.dismiss(victim)()
	}
	return b.lookAgain()
}

func (b *Bound) lookAgain() time.Duration {
	return lookEvery * time.Duration(1+b.waiting.length/lookers)
}

// victim returns the hold that evictFor is about, nil if there is none. b.mu must be held.
func (b *Bound) victim(c *claim) *Hold {
	if !b.fitsPart(c.hold.owner, c.size) {
		return nil
	}
	ownShare, owner := !b.fitsOwner(c.hold.owner, c.size), whole(c.hold.owner)
	since := time.Now().Add(-b.spec.Patience).UnixNano()
	return b.largest(func(h *Hold) bool {
		return h != c.hold && h.progress.Load() <= since && !(ownShare && whole(h.owner) != owner)
	})
}

// largest returns the largest hold that can be evicted and is eligible, nil if there is none.
// b.mu must be held.
func (b *Bound) largest(eligible func(*Hold) bool) *Hold {
	var largest *Hold
	for h := b.first; h != nil; h = h.next {
		if eligible(h) && (largest == nil || h.size > largest.size ||
			h.size == largest.size && h.progress.Load() < largest.progress.Load()) {
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
	since := time.Now().Add(-b.spec.Patience).UnixNano()
	return b.largest(func(h *Hold) bool {
		return b.spec.Patience > 0 && h.progress.Load() <= since && (h.insisted || !insisted)
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
	for b.used-b.leaving+size > b.spec.Limit || b.insisted+size > half {
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
	b.insisted += size
	if victim := b.stalled(false); victim != nil && b.used-b.leaving > b.spec.Limit-b.spec.Reserve {
		go b.dismiss(victim)() // or little by little the reserve would fill with what has stalled
	}
	return true
}
