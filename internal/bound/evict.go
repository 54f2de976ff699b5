package bound

import "time"

// list adds a hold to the list of those that can be evicted, or whose lease ends. b.mu must be
// held.
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

// evictFor evicts the largest hold that has made no progress for the spec's patience, if the claim
// still waits, and if the holds that are leaving do not make enough room for it. It returns the
// time after which to call it again.
//
// A claim that waits for its owner's share can use the room of the same owner's holds only. The
// first claim of a line does this for those behind it, since it means to go through all holds.
func (b *Bound) evictFor(c *claim) (again time.Duration) {
	if b.spec.Patience <= 0 {
		return time.Hour
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if c.isGranted || b.lines[c.hold.owner].claims[0] != c || b.leaving >= c.size {
		return b.lookAgain()
	}
	if victim := b.victim(c); victim != nil {
		go b.dismiss(victim)()
	}
	return b.lookAgain()
}

// lookAgain returns after what time a claim that waits calls evictFor again. b.mu must be held.
func (b *Bound) lookAgain() time.Duration { return lookEvery * time.Duration(1+b.length/lookers) }

// victim returns the hold that evictFor evicts, nil if there is none. b.mu must be held.
func (b *Bound) victim(c *claim) *Hold {
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
		if eligible(h) && (largest == nil || h.size > largest.size) {
			largest = h
		}
	}
	return largest
}

// dismiss notes that a hold is evicted, and returns its evict function, which must be called
// without b.mu. b.mu must be held.
func (b *Bound) dismiss(victim *Hold) (evict func()) {
	b.unlist(victim) // so that it is evicted once
	victim.leaving = true
	b.leaving += victim.size
	if victim.insisted {
		b.insisted -= victim.size
	}
	b.evicted.Add(1)
	return victim.evict
}

// stalled returns the largest hold that has made no progress for the spec's patience, nil if there
// is none. If insisted is set, it considers only the holds that were granted by Insist. b.mu must
// be held.
func (b *Bound) stalled(insisted bool) *Hold {
	since := time.Now().Add(-b.spec.Patience).UnixNano()
	return b.largest(func(h *Hold) bool {
		return b.spec.Patience > 0 && h.progress.Load() <= since && (h.insisted || !insisted)
	})
}

// Insist claims room at once for bytes that are in memory already and cannot wait, such as those
// that the client of a stream did not take. The claim may use the reserve. If there is no room,
// Insist evicts other holds and takes their place while they leave: first the largest that has
// stalled for the spec's patience, then the largest that was granted by Insist too, since the
// client of a stream can resume it. All holds that were granted by Insist have at most half of the
// limit together, so that claims which wait are served.
//
// It reports whether there is room, or will be. If it returns false, the claim itself is the
// largest, and whoever made it has to give up the bytes.
func (b *Bound) Insist(h *Hold, owner string, size int64, evict func()) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	half := b.spec.Limit / 2
	size = min(size, half)
	for b.used-b.leaving+size > b.spec.Limit || b.insisted+size > half {
		victim := b.stalled(b.insisted+size > half)
		if victim == nil {
			victim = b.largest(func(other *Hold) bool {
				return other.insisted && other.size >= size
			})
		}
		if victim == nil {
			b.refused.Add(1)
			return false
		}
		go b.dismiss(victim)()
	}
	h.owner, h.evict, h.insisted = owner, evict, true
	b.assign(h, size)
	b.insisted += size
	if victim := b.stalled(false); victim != nil && b.used-b.leaving > b.spec.Limit-b.spec.Reserve {
		// Else the reserve would fill little by little with holds that have stalled.
		go b.dismiss(victim)()
	}
	return true
}
