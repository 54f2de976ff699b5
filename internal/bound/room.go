package bound

// A sum is what is held, by everybody or by one owner.
type sum struct {
	all int64
	// small is what of it is held in holds that may use the reserve. They are charged to the
	// reserve first, so as long as it has room for them they take nothing from the larger ones.
	small int64
}

// beyond returns by how much a sum exceeds a limit, of which a part is the reserve, as it concerns
// a small hold or a larger one.
func (s sum) beyond(limit, reserve int64, small bool) int64 {
	if small {
		return s.all - limit
	}
	return s.all - min(s.small, reserve) - (limit - reserve)
}

// add returns the sum once a hold in it has grown or shrunk.
func (s sum) add(from, to int64, fromSmall, toSmall bool) sum {
	s.all += to - from
	if fromSmall {
		s.small -= from
	}
	if toSmall {
		s.small += to
	}
	return s
}

// goesFirst reports whether a claim that makes a hold so large need not wait for those that do.
// b.mu must be held.
func (b *Bound) goesFirst(from, to int64) bool {
	return b.waiting.length == 0 || b.fitsReserve(from, to)
}

// fitsReserve reports whether the reserve has room for a hold that becomes so large. What is small
// and finds no room there takes turns with the larger ones. b.mu must be held.
func (b *Bound) fitsReserve(from, to int64) bool {
	return b.isSmall(to) && b.used.small+to-from <= b.spec.Reserve
}

// clamp makes a claim one that can be granted at all.
func (b *Bound) clamp(owner string, size int64) int64 {
	if b.owners != nil && whole(owner) != "" {
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

// missing returns how much must be given back, by anybody, before a hold of an owner can become so
// large: 0 or less for nothing. What is saved for others counts as held; saved is what of that is
// saved for this claim. b.mu must be held.
func (b *Bound) missing(from, to, saved int64) int64 {
	after := b.used.add(from, to, b.isSmall(from), b.isSmall(to))
	after.all += b.saved - saved
	return after.beyond(b.spec.Limit, b.spec.Reserve, b.isSmall(to))
}

// missingShare returns how much the owner itself must give back, in all of its parts. b.mu must be
// held.
func (b *Bound) missingShare(owner string, from, to int64) int64 {
	owner = whole(owner)
	if b.owners == nil || owner == "" {
		return 0
	}
	after := b.owners[owner].add(from, to, b.isSmall(from), b.isSmall(to))
	return after.beyond(b.spec.PerOwner, b.ownReserve(), b.isSmall(to))
}

// missingPart is missingShare for what a part of an owner may hold. b.mu must be held.
func (b *Bound) missingPart(part string, from, to int64) int64 {
	if b.parts == nil || part == "" {
		return 0
	}
	return b.parts[part] + to - from - b.spec.PerPart
}

// fitsPart reports whether there is room in what a part of an owner may hold. b.mu must be held.
func (b *Bound) fitsPart(part string, from, to int64) bool {
	return b.missingPart(part, from, to) <= 0
}

// fitsOwner reports whether there is room in the owner's share. b.mu must be held.
func (b *Bound) fitsOwner(owner string, from, to int64) bool {
	return b.fitsPart(owner, from, to) && b.missingShare(owner, from, to) <= 0
}

// fits reports whether there is room. b.mu must be held.
func (b *Bound) fits(owner string, from, to int64) bool {
	return b.missing(from, to, 0) <= 0 && b.fitsOwner(owner, from, to)
}

// full counts a refusal and returns its error. b.mu must be held.
func (b *Bound) full(owner string, from, to int64) *FullError {
	b.refused.Add(1)
	return &FullError{Bound: b.spec, OfPart: !b.fitsPart(owner, from, to),
		OfOwner: !b.fitsOwner(owner, from, to) && b.missing(from, to, 0) <= 0}
}

// give lets a hold have size. b.mu must be held.
func (b *Bound) give(h *Hold, size int64) {
	h.bound.Store(b)
	h.size = 0
	b.resize(h, size)
	if h.evict != nil || b.spec.Lease > 0 {
		b.list(h)
	}
}

// resize changes what is held. What an evicted hold gives back is saved for the claim that evicted
// it. b.mu must be held.
func (b *Bound) resize(h *Hold, size int64) {
	b.count(h, size)
	switch {
	case h.leaving:
		b.leaving += size - h.size
		b.save(h, h.size-size)
	case h.insisted:
		b.insisted += size - h.size
	}
	h.size = size
}

// count takes a hold that gets another size into the sums. What was insisted on is not charged to
// the reserve, or little by little it would fill with what has stalled. b.mu must be held.
func (b *Bound) count(h *Hold, size int64) {
	fromSmall, toSmall := b.isSmall(h.size) && !h.insisted, b.isSmall(size) && !h.insisted
	b.used = b.used.add(h.size, size, fromSmall, toSmall)
	if b.parts != nil && h.owner != "" {
		if b.parts[h.owner] += size - h.size; b.parts[h.owner] <= 0 {
			delete(b.parts, h.owner)
		}
	}
	owner := whole(h.owner)
	if b.owners == nil || owner == "" {
		return
	}
	own := b.owners[owner].add(h.size, size, fromSmall, toSmall)
	if b.owners[owner] = own; own.all <= 0 {
		delete(b.owners, owner)
	}
}
