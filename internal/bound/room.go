package bound

// A sum is how much is held, by everybody or by one owner.
//
// Small holds are charged to the reserve first. As long as it has room for them, they take nothing
// from the larger holds, so those may have the limit less the reserve in any case. What the small
// holds have beyond the reserve counts against that.
type sum struct {
	// all is how much is held in all.
	all int64
	// small is how much of it is charged to the reserve first.
	small int64
}

// excess returns by how much a sum exceeds a limit, of which reserve is a part, for a hold that is
// small or larger. It is 0 or less if the sum is within the limit.
func (s sum) excess(limit, reserve int64, small bool) int64 {
	if small {
		return s.all - limit
	}
	return s.all - min(s.small, reserve) - (limit - reserve)
}

// resized returns the sum after a hold in it has changed its size. fromSmall and toSmall say
// whether the hold is charged to the reserve before and after.
func (s sum) resized(from, to int64, fromSmall, toSmall bool) sum {
	s.all += to - from
	if fromSmall {
		s.small -= from
	}
	if toSmall {
		s.small += to
	}
	return s
}

// needNotWait reports whether a claim that changes the size of a hold from one to the other may be
// granted before those that wait. b.mu must be held.
func (b *Bound) needNotWait(from, to int64) bool {
	return b.waiting.length == 0 || b.fitsReserve(from, to)
}

// fitsReserve reports whether the reserve has room for a hold whose size changes. A small claim for
// which it has none takes turns with the larger ones. b.mu must be held.
func (b *Bound) fitsReserve(from, to int64) bool {
	return b.isSmall(to) && b.used.small+to-from <= b.spec.Reserve
}

// clamp returns the size of a claim, reduced to what can be granted at all.
func (b *Bound) clamp(owner string, size int64) int64 {
	if b.spec.PerOwner > 0 && whole(owner) != "" {
		size = min(size, b.spec.PerOwner)
		if !b.isSmall(size) {
			size = min(size, b.spec.PerOwner-b.ownReserve())
		}
	}
	if b.parts != nil && owner != "" {
		size = min(size, b.spec.PerPart)
	}
	if !b.isSmall(size) {
		size = min(size, b.spec.Limit-b.spec.Reserve)
	}
	return min(size, b.spec.Limit)
}

// isSmall reports whether a hold of that size may use the reserve.
func (b *Bound) isSmall(size int64) bool { return b.spec.Reserve > 0 && size <= b.spec.Small }

// ownReserve returns the part of an owner's share that is kept for its small holds.
func (b *Bound) ownReserve() int64 { return b.spec.Reserve * b.spec.PerOwner / b.spec.Limit }

// missing returns how much must be given back, by anybody, before the size of a hold can change so;
// it is 0 or less if there is room. What is saved for claims counts as held, except for saved,
// which is saved for the claim of this hold. b.mu must be held.
func (b *Bound) missing(from, to, saved int64) int64 {
	after := b.used.resized(from, to, b.isSmall(from), b.isSmall(to))
	after.all += b.saved - saved
	return after.excess(b.spec.Limit, b.spec.Reserve, b.isSmall(to))
}

// missingShare returns how much the owner of the hold, all its parts together, must give back
// before. b.mu must be held.
func (b *Bound) missingShare(owner string, from, to int64) int64 {
	owner = whole(owner)
	if b.spec.PerOwner == 0 || owner == "" {
		return 0
	}
	after := b.owners[owner].resized(from, to, b.isSmall(from), b.isSmall(to))
	return after.excess(b.spec.PerOwner, b.ownReserve(), b.isSmall(to))
}

// missingPart returns how much the part of an owner must give back before. b.mu must be held.
func (b *Bound) missingPart(part string, from, to int64) int64 {
	if b.parts == nil || part == "" {
		return 0
	}
	return b.parts[part] + to - from - b.spec.PerPart
}

// fits reports whether there is room. b.mu must be held.
func (b *Bound) fits(owner string, from, to int64) bool {
	if b.spec.Drains {
		return b.hasDrained(owner)
	}
	return b.missing(from, to, 0) <= 0 && b.fitsOwner(owner, from, to)
}

// modestPart is the part of the limit of a bound that drains which an owner may hold, and get more
// at once although the bound is full.
const modestPart = 8

// hasDrained reports whether an owner gets more of a bound that drains: if it is not full, or the
// owner holds little. The second cannot go on for long, since the bound is never twice as full.
// b.mu must be held.
func (b *Bound) hasDrained(owner string) bool {
	modest := owner != "" && b.owners[whole(owner)].all < b.spec.Limit/modestPart
	return b.used.all < b.spec.Limit || modest && b.used.all < 2*b.spec.Limit
}

// fitsOwner reports whether there is room in the shares of the owner and of its part. b.mu must be
// held.
func (b *Bound) fitsOwner(owner string, from, to int64) bool {
	return b.fitsPart(owner, from, to) && b.missingShare(owner, from, to) <= 0
}

// fitsPart reports whether there is room in the share of a part of an owner. b.mu must be held.
func (b *Bound) fitsPart(part string, from, to int64) bool {
	return b.missingPart(part, from, to) <= 0
}

// full counts a refusal and returns the error for it. b.mu must be held.
func (b *Bound) full(owner string, from, to int64) *FullError {
	b.refused.Add(1)
	return &FullError{Bound: b.spec, OfPart: !b.fitsPart(owner, from, to),
		OfOwner: !b.fitsOwner(owner, from, to) && b.missing(from, to, 0) <= 0}
}

// assign lets a hold have size. b.mu must be held.
func (b *Bound) assign(h *Hold, size int64) {
	h.bound.Store(b)
	h.size = 0
	b.resize(h, size)
	if h.evict != nil || b.spec.Lease > 0 {
		b.list(h)
	}
}

// resize changes how much is held. What an evicted hold gives back is saved for the claim for which
// it was evicted. b.mu must be held.
func (b *Bound) resize(h *Hold, size int64) {
	b.count(h, size)
	switch {
	case h.leaving:
		b.leaving += size - h.size
		b.save(h, h.size-size)
	case h.insisted:
		b.countInsisted(h.owner, size-h.size)
	}
	h.size = size
}

// countInsisted adds to what an owner holds by Insist. b.mu must be held.
func (b *Bound) countInsisted(owner string, more int64) {
	b.insisted += more
	if b.insistedBy[owner] += more; b.insistedBy[owner] <= 0 {
		delete(b.insistedBy, owner)
	}
}

// count adds the change of a hold's size to what is held. Holds that were granted by Insist are not
// charged to the reserve, or it would fill little by little with those that have stalled. b.mu must
// be held.
func (b *Bound) count(h *Hold, size int64) {
	fromSmall, toSmall := b.isSmall(h.size) && !h.insisted, b.isSmall(size) && !h.insisted
	b.used = b.used.resized(h.size, size, fromSmall, toSmall)
	if h.insisted {
		return // what an owner insists on is compared with what others do, see victimOf
	}
	if b.parts != nil && h.owner != "" {
		if b.parts[h.owner] += size - h.size; b.parts[h.owner] <= 0 {
			delete(b.parts, h.owner)
		}
	}
	owner := whole(h.owner)
	if b.owners == nil || owner == "" {
		return
	}
	own := b.owners[owner].resized(h.size, size, fromSmall, toSmall)
	b.owners[owner] = own
	if own.all <= 0 {
		delete(b.owners, owner)
	}
}
