package feed

import "kvgateway/internal/kv"

// This file has what a loss of the source does to what goes on after it.

// A stretch identifies a time in which a feed neither began anew nor went on after its source was
// lost. What a stream proves in one stretch need not be so in the next.
type stretch struct {
	// generation is the feed's.
	generation uint64
	// losses counts the losses after which the log went on.
	losses uint64
}

// currentStretch returns the stretch that the feed is in.
func (f *Feed) currentStretch() stretch {
	f.mu.Lock()
	defer f.mu.Unlock()
	return stretch{f.journal.generation, f.journal.losses}
}

// continueAfterLoss notes that the log goes on after a loss of the source, since all that was read
// is still there.
//
// What was not read may have been lost in a crash, and its revisions given to other messages,
// which the feed would pass over for a subscription that came with another gateway's id and is
// ahead of the feed. So such subscriptions are reset (TestSubscriptionAheadOfALossIsReset), and
// snapshots begin anew; see knowsSnapshot.
func (f *Feed) continueAfterLoss() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.journal.goOnAfterLoss()
	clear(f.readings)
	if !f.memory.complete {
		f.dropCopyLocked(DroppedLoss)
	}
	for s := range f.subs {
		if s.generation != f.journal.generation || !s.isAhead() && !s.isInSnapshot() {
			continue
		}
		switch {
		case s.state == resetOwed:
			s.resetWithSnapshot(s.reason)
		case s.sent > 0 || s.state == following:
			s.resetWithSnapshot(ReasonHorizon)
		default:
			s.startSnapshot() // the client holds nothing of it yet
		}
		s.wake()
	}
}

// maxSnapshots bounds the snapshots of a stretch that are known. Ids within a snapshot that was
// forgotten are reset.
const maxSnapshots = 1 << 10

// goOnAfterLoss notes that everything that was read is still there after a loss of the source, so
// that the log goes on in another stretch.
func (j *journal) goOnAfterLoss() {
	j.losses++
	clear(j.snapshotsBegun)
}

// noteSnapshot notes that a snapshot is read that stands for a revision.
func (j *journal) noteSnapshot(to kv.Revision) {
	if len(j.snapshotsBegun) >= maxSnapshots {
		clear(j.snapshotsBegun)
	}
	j.snapshotsBegun[to] = struct{}{}
}

// knowsSnapshot reports whether a snapshot that stands for a revision was begun in this stretch.
// Only then may a client go on in the middle of it.
//
// A snapshot lacks what is overwritten while it is read: the client hears of the later message
// from the log. If a crash takes that message back, the earlier one is the key's value again, and
// a client that has read past it would never hear of it. Within a stretch that does not happen,
// since all that was read is there. So a part of a snapshot of another stretch, or of another
// gateway, proves nothing (TestPartOfASnapshotIsTakenOnlyInItsStretch).
func (j *journal) knowsSnapshot(to kv.Revision) bool {
	_, known := j.snapshotsBegun[to]
	return known
}

// isInSnapshot reports whether the subscription is in a reading of a snapshot that has begun.
func (s *Subscription) isInSnapshot() bool {
	if s.readCursor == nil || s.readCursor.reading.key.replay {
		return false
	}
	r := s.readCursor.reading
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.to > 0
}

// isAhead reports whether the subscription holds what the feed has yet to read, or a snapshot that
// lacks what was overwritten by it.
func (s *Subscription) isAhead() bool {
	revision := s.feed.journal.Revision
	switch s.state {
	case following:
		return s.cursor > revision || s.syncDue && s.syncFrom > revision
	case inReading:
		return s.sent > 0 && s.to > revision
	}
	return false
}

// isOutdated reports whether the decision where to go on may no longer hold: it was made in another
// stretch, and relies on what the feed has yet to read.
func (s *Subscription) isOutdated() bool {
	decided := s.state == following || s.state == inReading
	return decided && s.lossesThen != s.feed.journal.losses &&
		(s.isAhead() || s.syncFrom > s.feed.journal.Revision)
}
