package feed

import (
	"sort"
	"sync"

	"kvgateway/internal/kv"
)

// This file bounds what a subscription looks at in one poll.
//
// A poll is made on a goroutine that serves thousands of other subscriptions, and while the feed is
// locked everything of the bucket waits. A resume whose filters select nothing went through 65,536
// changes in one poll, with the feed locked. So a poll now matches some hundred changes at most,
// fewer where the filters are long, and all but the first few without the lock. It then commits its
// cursor, if the log is still the one that it was and the cursor was not set back
// (TestPollNoticesWhatHappensMeanwhile, TestPollNoticesThatItWasSetBack). The markers that a
// reading must include are matched without the lock, too (reading.begin).

// A pollLimit says how much of the log one poll may look at. What a change costs is counted by the
// tokens of the filters that it is matched with.
type pollLimit struct {
	// changes is how many changes one poll may look at.
	changes int
	// tokens is about how many tokens it may compare; one change is always looked at.
	tokens int
	// lockedTokens is how many of them it may compare with the feed locked.
	lockedTokens int
}

// defaultPollLimit is the limit of all hubs; tests have others.
var defaultPollLimit = pollLimit{changes: 256, tokens: 4096, lockedTokens: 128}

// batchSize returns how many changes one poll may look at if each is matched with so many tokens.
func (l pollLimit) batchSize(tokens int) int {
	return max(1, min(l.changes, l.tokens/max(1, tokens)))
}

// tokensOf counts the tokens that a change is matched with.
func tokensOf(filters kv.Filters) (tokens int) {
	for _, f := range filters {
		tokens += f.Tokens()
	}
	return tokens
}

// A batch is a part of the log that is matched while the feed is not locked. poll makes it, with
// the lock, and finishBatch matches it, takes the lock again, and commits. In between the log may
// drop the changes, grow, or begin anew, and a loss of the source may set the subscription back.
type batch struct {
	// changeList has the changes; it goes back to the pool afterwards.
	*changeList
	// generation is that of the log they are from.
	generation uint64
	// relocations is what the subscription's was when the batch was made.
	relocations uint64
	// matched is a revision whose change is known to match; 0 for none.
	matched kv.Revision
	// limit is how many events may come of the batch.
	limit int
}

// A changeList is an array that is used again and again. It keeps no change alive while it is not
// used.
type changeList struct{ changes []*Change }

// changeLists has the arrays that are not in use.
var changeLists = sync.Pool{New: func() any { return new(changeList) }}

// batchOf returns as many of the log's changes as may be matched without the lock.
func (s *Subscription) batchOf(changes []*Change, limit int) *batch {
	list := changeLists.Get().(*changeList)
	count := min(len(changes), s.feed.hub.pollLimit.batchSize(s.tokens))
	list.changes = append(list.changes, changes[:count]...)
	return &batch{
		changeList:  list,
		generation:  s.generation,
		relocations: s.relocations,
		matched:     s.matched,
		limit:       limit,
	}
}

// free gives the batch's array back.
func (b *batch) free() {
	clear(b.changes)
	b.changes = b.changes[:0]
	changeLists.Put(b.changeList)
}

// selectChanges appends up to limit of the changes that the subscription sends, and returns how
// many it has looked at. The change of the revision matched is known to match. It needs
// no lock.
func (s *Subscription) selectChanges(
	changes []*Change, matched kv.Revision, events []Event, limit int,
) (_ []Event, looked int) {
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

// matchLog sends what the log has above the cursor, up to the next removal if one is owed. drained
// reports that it was all. For a subscription that keeps up, or selects most of the changes,
// everything is matched at once; if that was not enough, rest is what is to be matched with the
// feed unlocked.
func (s *Subscription) matchLog(events []Event, limit int) (
	_ []Event, drained bool, rest *batch,
) {
	f := s.feed
	before := len(events)
	changes := f.journal.log.after(s.cursor)
	if upTo := s.removalAhead(); upTo > 0 {
		end := sort.Search(len(changes), func(i int) bool { return changes[i].Revision > upTo })
		changes = changes[:end]
	}
	atOnce := max(1, f.hub.pollLimit.lockedTokens/max(1, s.tokens))
	near := changes[:min(len(changes), atOnce)]
	events, looked := s.selectChanges(near, s.matched, events, limit)
	s.advanceCursor(near[:looked])
	limit -= len(events) - before
	if rest := changes[looked:]; looked == len(near) && len(rest) > 0 && limit > 0 {
		return events, false, s.batchOf(rest, limit)
	}
	return events, looked == len(changes), nil
}

// advanceCursor moves the cursor, and the point that can be given out, over changes.
func (s *Subscription) advanceCursor(changes []*Change) {
	if len(changes) == 0 {
		return
	}
	last := changes[len(changes)-1]
	s.cursor, s.sent, s.sentCheck = last.Revision, last.Revision, last.Check
}

// finishBatch matches a batch and commits the cursor. If the log has begun anew meanwhile, or a
// loss of the source has set the subscription back, what was matched is dropped, since a reset
// comes instead (TestPollNoticesThatItWasSetBack). more is as with [Subscription.Poll]. It locks
// the feed after the matching.
func (s *Subscription) finishBatch(b *batch, events []Event) (_ []Event, more bool) {
	defer b.free()
	before := len(events)
	events, looked := s.selectChanges(b.changes, b.matched, events, b.limit)
	f := s.feed
	f.mu.Lock()
	defer f.mu.Unlock()
	if b.generation != f.journal.generation || b.relocations != s.relocations {
		return events[:before], true
	}
	s.advanceCursor(b.changes[:looked])
	log := &f.journal.log
	if s.owesRemovals || s.cursor < log.horizon || len(log.after(s.cursor)) > 0 {
		return events, true // Changes that came during the batch did not wake the subscription.
	}
	return s.atLogEnd(events), false
}
