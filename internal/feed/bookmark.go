package feed

import "kvgateway/internal/kv"

// This file decides which point a subscription has reached, and whether the state there is exact.

// currentPoint returns the point that a subscription has reached while following. If a change is
// pending, it may be one before the cursor: the check of a revision that was gone before it was
// read is not known, and an id without a check could be taken for one of another history.
func (s *Subscription) currentPoint() Point {
	if s.cursor == s.feed.journal.Revision {
		s.noteSent(s.cursor)
	}
	return s.pointAtSent()
}

// pointAtSent returns the point up to which everything was sent.
func (s *Subscription) pointAtSent() Point {
	return Point{Position: kv.Position{
		Epoch: s.feed.journal.Epoch, Revision: s.sent, Check: s.sentCheck}}
}

// nameable reports whether a point may be given out as an id: whether its check is known, or nobody
// can know it, or the client itself came with an id that had none.
func (s *Subscription) nameable(p Point) bool {
	from := s.options.Resume
	return p.Check.Known() || p.Revision == 0 || p.Revision == s.feed.journal.Revision ||
		from != nil && !from.Check.Known()
}

// isExact reports whether folding what was sent gives the state at the cursor.
func (s *Subscription) isExact() bool {
	f := s.feed
	return s.folds && !s.syncDue && !s.owesRemovals && f.status.state == live &&
		s.cursor >= s.syncFrom &&
		f.journal.exact.holds(s.cursor, f.journal.Revision)
}

// Bookmark returns the point that the subscription has reached, and whether the state there is
// exact, with its digest then, if that is wanted and known. If it is not exact, BecameExact
// follows as soon as it is, unless something is skipped for longer than a second. ok is false if
// there is no point yet. A subscription that was told that
// the bucket is missing has reached the point that came with that.
func (s *Subscription) Bookmark() (p Point, exact bool, digest string, ok bool) {
	f := s.feed
	f.mu.Lock()
	defer f.mu.Unlock()
	if s.state == toldMissing {
		return nowhere, false, "", true
	}
	if s.isVoid() || f.status.state == missing {
		return Point{}, false, "", false // what was sent is void, and the client will be told so
	}
	switch s.state {
	case following:
		if s.owesRemovals || s.era != f.journal.era {
			return Point{}, false, "", false // it may be beyond what it has yet to be told
		}
		if s.pending == 0 {
			s.cursor = max(s.cursor, f.journal.Revision)
		}
		if f.journal.exact.owed && f.status.state == live {
			f.waiters.exactWantedAt = f.now()
			f.source.requestVerify()
		}
		p, exact = s.currentPoint(), s.isExact()
		if s.wantsExact = !exact && s.folds && !s.syncDue && f.status.state == live; s.wantsExact {
			f.waiters.forExact[s] = struct{}{}
		}
		return p, exact, s.digestText(exact), s.nameable(p)
	case inReading:
		if s.readCursor.reading.key.replay {
			p = s.pointAtSent()
			return p, false, "", s.nameable(p)
		}
		if s.to == 0 {
			return Point{}, false, "", false
		}
		to := kv.Position{Epoch: f.journal.Epoch, Revision: s.to, Check: s.toCheck}
		return Point{Position: to, InSnapshot: true, Sent: s.sent}, false, "", true
	}
	return Point{}, false, "", false
}
