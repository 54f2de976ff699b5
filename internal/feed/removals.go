package feed

import (
	"sort"

	"kvgateway/internal/kv"
)

// This file remembers which keys were found gone without a marker, and tells subscriptions.

// maxRemovals bounds the removals that a journal remembers. With keys of 1 KiB they take 1 MiB.
const maxRemovals = 1 << 10

// A Removal is a key of which the store has nothing any more, though nothing in the stream says so.
type Removal struct {
	// Key is the one that is gone.
	Key string
	// Revision is that of the last entry of the key that was read. Who holds that entry or an older
	// one of the key drops it.
	Revision kv.Revision
}

// A removal is what a journal remembers of one.
type removal struct {
	Removal
	// upTo is the feed's revision when the removal was found. A point up to there, this one
	// included, may be of a client that was not told of it.
	upTo kv.Revision
	// reason is the one for which subscriptions are reset that cannot be told.
	reason string
}

// A removals has the removals that a healing found since the log began, in the order in which they
// were found, so that upTo never falls. They are numbered from 0 on. Feed.mu guards it.
//
// A purge leaves the position as it is, so the same point can be from before and from after a
// removal. So a client that comes with a point up to upTo is told again; to be told twice does no
// harm. Only points of the feed's own era come into question: those of others are not accepted for
// noticeTime after a healing, and then only above the position (journal.distrustOthers).
type removals struct {
	// list has those that are remembered.
	list []removal
	// forgotten counts those that are not remembered any more; list begins with that number.
	forgotten uint64
	// forgottenTo is the greatest upTo of those.
	forgottenTo kv.Revision
}

// end returns the number that the next removal will have.
func (r *removals) end() uint64 { return r.forgotten + uint64(len(r.list)) }

// add remembers more removals, at most maxRemovals, and forgets the oldest if there are too many.
func (r *removals) add(found []removal) {
	if drop := len(r.list) + len(found) - maxRemovals; drop > 0 {
		r.forgottenTo = r.list[drop-1].upTo
		r.forgotten += uint64(drop)
		r.list = append([]removal(nil), r.list[drop:]...)
	}
	r.list = append(r.list, found...)
}

// since returns the number of the first removal that a client may have missed which comes with a
// point of this revision. It returns false if some of them are forgotten.
func (r *removals) since(point kv.Revision) (first uint64, ok bool) {
	if r.forgotten > 0 && point <= r.forgottenTo {
		return r.forgotten, false
	}
	i := sort.Search(len(r.list), func(i int) bool { return r.list[i].upTo >= point })
	// #nosec G115 -- an index is not negative
	return r.forgotten + uint64(i), true
}

// from returns the removals from a number on. It returns false if some of them are forgotten.
func (r *removals) from(number uint64) ([]removal, bool) {
	if number < r.forgotten {
		return nil, false
	}
	return r.list[min(number-r.forgotten, uint64(len(r.list))):], true
}

// maxTold is how many removals one event has at most.
const maxTold = 256

// oweRemovals notes that the subscription may have to be told of removals from a number on, and
// wakes it.
func (s *Subscription) oweRemovals(number uint64) {
	if !s.owesRemovals {
		s.owesRemovals, s.nextRemoval = true, number
	}
	s.wake()
}

// knowsRemovals notes that nothing that was removed up to now concerns the subscription, since what
// it is going to be sent is read after that.
func (s *Subscription) knowsRemovals() {
	s.owesRemovals, s.nextRemoval = false, s.feed.journal.removals.end()
}

// tellRemovals sends the removals that are due. Where the subscription cannot be told, since it has
// not asked for that or since they are forgotten, it is brought to a reset instead.
//
// A removal is due behind the last change that it may concern, and before anything that moves the
// point beyond removal.upTo: a client that was cut off before the removal comes back with a point
// up to there, and one that was told holds nothing which is put back afterwards
// (TestInterleavings).
func (s *Subscription) tellRemovals(events []Event) []Event {
	if !s.owesRemovals || s.state != following && s.state != inReading {
		return events
	}
	known := &s.feed.journal.removals
	list, remembered := known.from(s.nextRemoval)
	if !remembered {
		s.resetWithSnapshot(ReasonHorizon)
		s.wake()
		return events
	}
	var told []Removal
	for _, r := range list {
		if len(told) == maxTold || !s.hasPassed(r.upTo) {
			break
		}
		s.nextRemoval++
		switch {
		case !s.options.Filters.Matches(r.Key):
		case !s.options.Removals:
			s.resetWithSnapshot(r.reason)
			s.wake()
			return events
		default:
			told = append(told, r.Removal)
		}
	}
	s.owesRemovals = s.nextRemoval < known.end()
	if len(told) == 0 {
		return events
	}
	s.feed.hub.stats.Healing.Told.Add(uint64(len(told)))
	return append(events, Event{Kind: Removed, Removed: told})
}

// hasPassed reports whether the subscription has nothing more to send of what came up to a
// revision. A replay that goes beyond the revision has begun after the removal was found, and reads
// nothing that is gone.
func (s *Subscription) hasPassed(revision kv.Revision) bool {
	if s.state == inReading {
		key := s.readCursor.reading.key
		return key.replay && key.to > revision
	}
	return s.cursor >= revision || s.pending == 0 || s.pending > revision
}

// removalAhead returns the revision up to which the log is to be sent before the next removal is
// due; 0 for no such removal.
func (s *Subscription) removalAhead() kv.Revision {
	if !s.owesRemovals {
		return 0
	}
	list, _ := s.feed.journal.removals.from(s.nextRemoval)
	if len(list) == 0 {
		return 0
	}
	return list[0].upTo
}
