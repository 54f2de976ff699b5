package bound

import (
	"cmp"
	"container/heap"
	"slices"
	"time"
)

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

// evictFor evicts what a claim needs, if it still waits and is the first of its line. The first
// claim does this for those behind it, since it means to go through all holds. It returns the time
// after which to call it again.
func (b *Bound) evictFor(c *claim) (again time.Duration) {
	if b.spec.Patience <= 0 && b.spec.Unit == Places {
		return time.Hour // nothing is evicted, and all claims are for one place
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if !c.isGranted && c.ticket.line.end.next == &c.ticket {
		if b.spec.Patience > 0 {
			b.makeRoom(c)
		}
		if c.holdsUpSince != 0 {
			b.grantWaiting() // it may have held up the others for long enough
			return lookEvery
		}
		return lookEvery * time.Duration(1+len(b.waiting.lines)/lookers)
	}
	return min(lookEvery*time.Duration(1+b.waiting.length/lookers), lookAtLeast)
}

// makeRoom evicts as many holds as a claim needs, of those that have made no progress for the
// spec's patience, the largest first. If they are enough, what they give back is saved for the
// claim, since other claims would take it one after the other else. b.mu must be held.
//
// A claim that waits for its owner's share can only use the room of holds of that owner. A claim
// that waits for the share of its part can only use the room of holds of that part, and none at all
// if the spec sets PartKeeps.
func (b *Bound) makeRoom(c *claim) {
	owner, from, to := c.hold.owner, c.from(), c.to()
	part, share := b.missingPart(owner, from, to), b.missingShare(owner, from, to)
	if part > 0 && b.spec.PartKeeps {
		return
	}
	need := max(part, share, b.missing(from, to, c.saved))
	// What is leaving for no claim in particular is there for all.
	need -= c.promised + b.leaving - b.promised
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
	victims, size := b.victims(c, eligible, need)
	for _, victim := range victims {
		if size >= need {
			victim.evictedFor, victim.evictedForSerial = c, c.serial
			c.promised += victim.size
			b.promised += victim.size
		}
		go b.dismiss(victim)()
	}
}

// victims returns the holds that makeRoom evicts, and how much they have. They are stalled holds of
// eligible owners, the largest first, and of equal ones the one that has stalled for longest, until
// they have what is needed. b.mu must be held.
func (b *Bound) victims(
	c *claim, eligible func(owner string) bool, need int64,
) (victims []*Hold, size int64) {
	since := now() - b.spec.Patience
	// Holds within the reserve take nothing from larger ones.
	small := b.isSmall(c.to()) || b.used.small > b.spec.Reserve
	for h := b.first; h != nil; h = h.next {
		if h == c.hold || h.lastProgress() > since ||
			!eligible(h.owner) ||
			!small && b.isSmall(h.size) && !h.insisted {
			continue
		}
		victims = append(victims, h)
	}
	// Mostly a few are enough, so they are not all sorted: with 20,000 that took 1.5 ms each time.
	rest := byVictim(victims)
	heap.Init(&rest)
	victims = nil
	for size < need && len(rest) > 0 {
		victim := heap.Pop(&rest).(*Hold)
		victims = append(victims, victim)
		size += victim.size
	}
	return victims, size
}

// byVictim is a heap of holds with the one on top that is evicted first.
type byVictim []*Hold

// Len is for [heap.Interface].
func (v byVictim) Len() int { return len(v) }

// Less reports whether one is larger than the other, or as large and has stalled for longer.
func (v byVictim) Less(i, j int) bool {
	if v[i].size != v[j].size {
		return v[i].size > v[j].size
	}
	return v[i].lastProgress() < v[j].lastProgress()
}

// Swap is for [heap.Interface].
func (v byVictim) Swap(i, j int) { v[i], v[j] = v[j], v[i] }

// Push is for [heap.Interface].
func (v *byVictim) Push(x any) { *v = append(*v, x.(*Hold)) }

// Pop is for [heap.Interface].
func (v *byVictim) Pop() any {
	last := (*v)[len(*v)-1]
	*v = (*v)[:len(*v)-1]
	return last
}

// save keeps what an evicted hold gives back for the claim for which it was evicted, if that still
// waits. b.mu must be held.
func (b *Bound) save(h *Hold, freed int64) {
	c := h.evictedFor
	if c == nil || c.serial != h.evictedForSerial {
		return
	}
	freed = max(0, min(freed, c.promised))
	c.promised -= freed
	b.promised -= freed
	c.saved += freed
	b.saved += freed
}

// grantEvictor grants the claim for which a hold was evicted that has given everything back, if
// there is room for it now. That claim does not wait for its turn, but its line is the last of the
// rotation then. Else the line could stay the first one, and hold up the others with its next
// claim. b.mu must be held.
func (b *Bound) grantEvictor(h *Hold) {
	c := h.evictedFor
	h.evictedFor = nil
	if c != nil && c.serial == h.evictedForSerial &&
		b.fitsOwner(c.hold.owner, c.from(), c.to()) &&
		b.missing(c.from(), c.to(), c.saved) <= 0 {
		b.waiting.moveToEnd(c.ticket.line)
		b.grant(c)
	}
}

// Displace makes a hold have size, which is more than it has, if anything. If there is no room, it
// evicts the largest of the holds that would have more than this one, and takes their place while
// they leave. So the holds share the bound evenly, however many of them one client has made: nobody
// takes anything from a hold that has an equal share or less.
//
// It is for bounds without owners and a reserve. It reports whether size is held; if the hold is
// leaving itself, it is not.
func (b *Bound) Displace(h *Hold, size int64, evict func()) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if h.leaving {
		return false
	}
	more := size - h.size
	for b.used.all+b.saved+b.promised-b.leaving+more > b.spec.Limit {
		victim := b.largest(func(other *Hold) bool { return other != h && other.size > size })
		if victim == nil {
			b.refused.Add(1)
			return false
		}
		go b.dismiss(victim)()
	}
	if h.size > 0 {
		b.resize(h, size)
		return true
	}
	h.owner, h.evict = "", evict
	b.assign(h, size)
	return true
}

// Supplant makes a hold have size, which is more than it has, if anything. If there is no room, it
// evicts holds that have made no progress for the spec's patience, the one that has stalled for
// longest first, and takes their place while they leave. So what is in use stays, whatever its
// size, and what nobody has used for longest gives way. A hold without an evict function stays in
// any case.
//
// It is for bounds without owners and a reserve. It reports whether size is held; if the hold is
// leaving itself, or the others that can give way have too little, it is not.
func (b *Bound) Supplant(h *Hold, size int64, evict func()) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	lack := b.used.all + b.saved + b.promised - b.leaving + size - h.size - b.spec.Limit
	victims, enough := b.idlest(h, lack)
	if h.leaving || !enough {
		b.refused.Add(1)
		return false
	}
	for _, victim := range victims {
		go b.dismiss(victim)()
	}
	if h.size > 0 {
		b.resize(h, size)
		return true
	}
	h.owner, h.evict = "", evict
	b.assign(h, size)
	return true
}

// idlest returns the stalled holds beside h that Supplant evicts for what it lacks, the one that
// has stalled for longest first, and whether they have as much. b.mu must be held.
func (b *Bound) idlest(h *Hold, lack int64) (victims []*Hold, enough bool) {
	if lack <= 0 {
		return nil, true
	}
	since := now() - b.spec.Patience
	for other := b.first; other != nil; other = other.next {
		if other != h && other.lastProgress() <= since {
			victims = append(victims, other)
		}
	}
	slices.SortFunc(victims, func(a, b *Hold) int {
		return cmp.Compare(a.lastProgress(), b.lastProgress())
	})
	for i, victim := range victims {
		if lack -= victim.size; lack <= 0 {
			return victims[:i+1], true
		}
	}
	return nil, false
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
		b.countInsisted(victim.owner, -victim.size)
	}
	b.evicted.Add(1)
	return victim.evict
}

// stalled returns the largest hold that has made no progress for the spec's patience and is
// eligible, nil if there is none. b.mu must be held.
func (b *Bound) stalled(eligible func(*Hold) bool) *Hold {
	since := now() - b.spec.Patience
	return b.largest(func(h *Hold) bool {
		return b.spec.Patience > 0 && h.lastProgress() <= since && eligible(h)
	})
}

// Insist claims room at once for bytes that are in memory already and cannot wait, such as those
// that the client of a stream did not take. The claim may use the reserve. If there is no room,
// Insist evicts other holds and takes their place while they leave: see victimOf. All holds that
// were granted by Insist have at most half of the limit together, so that claims which wait are
// served.
//
// It reports whether there is room, or will be. If it returns false, the owner would hold most of
// all who insist, and nothing of its own that is as large; whoever made the claim has to give up
// the bytes.
func (b *Bound) Insist(h *Hold, owner string, size int64, evict func()) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	half := b.spec.Limit / 2
	size = min(size, half)
	for {
		beyondHalf := b.insisted+size > half
		if !beyondHalf && b.used.all+b.saved+b.promised-b.leaving+size <= b.spec.Limit {
			break
		}
		victim := b.victimOf(owner, size, beyondHalf)
		if victim == nil {
			b.refused.Add(1)
			return false
		}
		go b.dismiss(victim)()
	}
	h.owner, h.evict, h.insisted = owner, evict, true
	b.assign(h, size)
	if b.used.excess(b.spec.Limit, b.spec.Reserve, false) > b.leaving {
		if victim := b.stalled(anyHold); victim != nil {
			// Else the reserve would fill little by little with holds that have stalled.
			go b.dismiss(victim)()
		}
	}
	return true
}

// anyHold is eligible for everything.
func anyHold(*Hold) bool { return true }

// victimOf returns the hold that has to make room for a claim of Insist; nil if the claim itself
// has to. Unless those who insist have more than their half, it is the largest hold that has
// stalled.
//
// Else it is one of the owner who insists on most, with this claim, since a client can hold much in
// many streams and take a little of each, so that none of them stalls
// (TestInsistentClaimEvictsOfTheOwnerWithMost). Of that owner's holds it is the largest that has
// stalled, or the largest of all, since the client of a stream can resume it. If the claim is that
// owner's, it is none that is smaller than the claim. b.mu must be held.
func (b *Bound) victimOf(owner string, size int64, ofInsisted bool) *Hold {
	if !ofInsisted {
		if victim := b.stalled(anyHold); victim != nil {
			return victim
		}
	}
	most, sum := owner, b.insistedBy[owner]+size
	for other, n := range b.insistedBy {
		if n > sum {
			most, sum = other, n
		}
	}
	theirs := func(h *Hold) bool { return h.insisted && h.owner == most }
	if victim := b.stalled(theirs); victim != nil {
		return victim
	}
	return b.largest(func(h *Hold) bool { return theirs(h) && (most != owner || h.size >= size) })
}
