package feed

import (
	"sync"

	"kvgateway/internal/kvclient"
)

// This file bounds what a subscription looks at in one turn, whether or not its filters match: the
// turn is taken on a goroutine that serves thousands of other streams. More than a few changes are
// matched without the feed's lock, which everything of the bucket waits for.

// A turnLimit says how much of the log one turn may look at. What a change costs is counted by the
// tokens of the filters that it is matched with.
type turnLimit struct {
	changes int // at the most
	tokens  int // about; one change is always looked at
	locked  int // tokens that are matched with the feed locked; beyond, without
}

var defaultTurn = turnLimit{changes: 256, tokens: 4096, locked: 128}

// batch returns how many changes one turn may look at.
func (l turnLimit) batch(tokens int) int { return max(1, min(l.changes, l.tokens/max(1, tokens))) }

// tokensOf counts the tokens that a change is matched with.
func tokensOf(filters kvclient.Filters) (tokens int) {
	for _, f := range filters {
		tokens += f.Tokens()
	}
	return tokens
}

// A scan is a part of the log that is matched while the feed is not locked. Between the two times
// that it is, the log may drop the changes, grow, or begin anew.
type scan struct {
	*changeList
	generation uint64
	moves      uint64            // of the subscription, see there
	matched    kvclient.Revision // its change is known to match; 0 for none
	limit      int               // of the events that may come of it
}

// A changeList is an array that is used again and again. It keeps no change alive when it is not
// used.
type changeList struct{ changes []*Change }

var changeLists = sync.Pool{New: func() any { return new(changeList) }}

// scanOf starts to match changes of the log. The feed must be locked.
func (s *Subscription) scanOf(changes []*Change, limit int) *scan {
	list := changeLists.Get().(*changeList)
	batch := min(len(changes), s.feed.hub.turn.batch(s.tokens))
	list.changes = append(list.changes, changes[:batch]...)
	return &scan{changeList: list, generation: s.generation, moves: s.moves,
		matched: s.matched, limit: limit}
}

func (c *scan) free() {
	clear(c.changes)
	c.changes = c.changes[:0]
	changeLists.Put(c.changeList)
}

// selects appends up to limit of the changes that the subscription sends, and returns how many it
// has looked at. The change of the revision matched is known to match.
func (s *Subscription) selects(changes []*Change, matched kvclient.Revision, events []Event,
	limit int) (_ []Event, looked int) {
	for i, c := range changes {
		if limit == 0 {
			return events, i
		}
		dropped := s.options.IgnoreDeletes && c.IsMarker()
		if dropped || c.Revision != matched && !s.options.Filters.Matches(c.Key) {
			continue
		}
		events = append(events, Event{Kind: Changed, Change: c})
		limit--
	}
	return events, len(changes)
}

// take sends what the log has. Drained reports that it was all. Of a stream that keeps up, or
// selects most of the changes, all is matched at once; scan is what is to be matched with the feed
// unlocked, if that was not enough. The feed must be locked.
func (s *Subscription) take(events []Event, limit int) (_ []Event, drained bool, scan *scan) {
	f := s.feed
	before := len(events)
	changes := f.log.after(s.cursor)
	near := changes[:min(len(changes), max(1, f.hub.turn.locked/max(1, s.tokens)))]
	events, looked := s.selects(near, s.matched, events, limit)
	s.reach(near[:looked])
	limit -= len(events) - before
	if rest := changes[looked:]; looked == len(near) && len(rest) > 0 && limit > 0 {
		return events, false, s.scanOf(rest, limit)
	}
	return events, looked == len(changes), nil
}

// reach moves the cursor, and the point that can be given out, over changes. The feed must be locked.
func (s *Subscription) reach(changes []*Change) {
	if len(changes) == 0 {
		return
	}
	last := changes[len(changes)-1]
	s.cursor, s.sent, s.sentCheck = last.Revision, last.Revision, last.Check
}

// finish matches what a scan has and commits it. If the log has begun anew meanwhile, or a loss of
// the source has set the subscription back, what was matched is dropped: a reset comes instead. More is as with [Subscription.Poll].
func (s *Subscription) finish(c *scan, events []Event) (_ []Event, more bool) {
	defer c.free()
	before := len(events)
	events, looked := s.selects(c.changes, c.matched, events, c.limit)
	f := s.feed
	f.mu.Lock()
	defer f.mu.Unlock()
	if c.generation != f.generation || c.moves != s.moves {
		return events[:before], true
	}
	s.reach(c.changes[:looked])
	if s.cursor < f.log.horizon || len(f.log.after(s.cursor)) > 0 {
		return events, true // what came meanwhile has woken nobody
	}
	return s.drained(events), false
}
