package feed

import (
	"errors"

	"kvgateway/internal/kv"
)

// This file decides what a subscription sends next.

// errStraggled ends a cursor that was too far behind its reading.
var errStraggled = errors.New("too far behind the reading")

// Poll appends what there is to send to events, about limit of them at most, and does not block.
// It looks at a bounded part of the log, so that more can be true although nothing was appended.
// more reports that there may be more at once; otherwise there is nothing until the subscription
// is woken.
func (s *Subscription) Poll(events []Event, limit int) (_ []Event, more bool) {
	events, next := s.poll(events, limit)
	if next.startReadings {
		s.feed.startReadings()
	}
	if next.batch == nil {
		return events, next.more
	}
	return s.finishBatch(next.batch, events)
}

// A pollResult is what is left to do when poll has released the feed's lock.
type pollResult struct {
	// more is as with [Subscription.Poll].
	more bool
	// startReadings: readings are due.
	startReadings bool
	// batch is to be finished before anything else; nil for none.
	batch *batch
}

// poll is the part of Poll for which the feed is locked. It locks it.
func (s *Subscription) poll(events []Event, limit int) (_ []Event, n pollResult) {
	f := s.feed
	closing := f.hub.closed.Load()
	f.mu.Lock()
	defer f.mu.Unlock()
	before := len(events)
	switch {
	case s.state == ended:
		return events, pollResult{}
	case closing:
		return s.goAway(events, ReasonShutdown), pollResult{}
	case s.state == leaving:
		if s.reason == ReasonSlow {
			f.hub.stats.Slow.Add(1)
		}
		return s.goAway(events, s.reason), pollResult{}
	}
	events, hold := s.transitions(events)
	if hold || len(events) > before {
		return events, pollResult{more: len(events) > before, startReadings: len(f.dueReadings) > 0}
	}
	if events = s.tellRemovals(s.restamp(events)); len(events) > before || s.state == resetOwed {
		return events, pollResult{more: true, startReadings: len(f.dueReadings) > 0}
	}
	switch s.state {
	case inReading:
		events = s.pollReading(events, limit)
	case following:
		events, n.batch = s.pollLog(events, limit)
	}
	drained := s.state == following && s.pending == 0
	n.more, n.startReadings = len(events) > before && !drained, len(f.dueReadings) > 0
	return events, n
}

// restamp sends that ids are of another era from here on, if that is news.
func (s *Subscription) restamp(events []Event) []Event {
	j := &s.feed.journal
	if s.era == j.era {
		return events
	}
	s.era = j.era
	return append(events, Event{Kind: Restamped, Stamp: j.stamp()})
}

// transitions sends what has become of the bucket and its source, and the reset that is owed. hold
// reports that nothing else is sent for the present.
func (s *Subscription) transitions(events []Event) (_ []Event, hold bool) {
	f := s.feed
	switch {
	case f.status.state == missing:
		return s.missingEvents(events), true
	case s.state == toldMissing && f.status.state != live:
		return events, true
	case f.status.state == stale && s.owesReset():
		return s.sourceEvents(events), true // a reset would say that the source is back
	case s.absence > f.absences.refuted && f.status.state == live && !s.isVoid():
		// The source is about to find the bucket missing, or that it is there after all.
		return events, true
	case s.isVoid(), s.state == foundMissing, s.state == toldMissing:
		s.generation, s.absence = f.journal.generation, 0
		s.startSnapshot() // whatever it reads is of what was before
		return s.resetEvents(events, f.resetReasonLocked()), false
	case s.state == resetOwed:
		s.state = inReading
		return s.resetEvents(events, s.reason), false
	}
	return s.sourceEvents(events), false
}

// owesReset reports whether a reset is to be told before anything else.
func (s *Subscription) owesReset() bool {
	return s.isVoid() || s.state == foundMissing || s.state == toldMissing || s.state == resetOwed
}

// missingEvents sends that there is no such bucket, after Live if the client believes that the
// source is lost: the source has answered.
func (s *Subscription) missingEvents(events []Event) []Event {
	if s.state == toldMissing {
		return events
	}
	if s.toldStale {
		events = append(events, Event{Kind: Live})
	}
	s.relocate()
	s.state, s.toldStale, s.absence = toldMissing, false, 0
	return append(events, Event{Kind: BucketDeleted, Point: nowhere})
}

// sourceEvents sends whether the source is there, if that is news.
func (s *Subscription) sourceEvents(events []Event) []Event {
	down := s.feed.status.state == stale
	if down == s.toldStale {
		return events
	}
	s.toldStale = down
	if down {
		return append(events, Event{Kind: Stale})
	}
	return append(events, Event{Kind: Live})
}

// resetReasonLocked returns why subscriptions that were there are reset now. A bucket that was
// missing when the feed began is another one.
func (f *Feed) resetReasonLocked() string {
	if f.journal.lastReset == "" {
		return ReasonEpoch
	}
	return f.journal.lastReset
}

// resetEvents sends a reset, after Live if the client believes that the source is lost.
//
// A reset has an id. Between a reset and the first entry a client holds nothing, while its last id
// says that it holds everything. If its connection was cut there and it came back with that id, a
// gateway that could vouch for the id gave it only what had come since. So the id of a reset is
// that of a snapshot of which nothing was sent, and that of BucketDeleted is of an epoch that no
// bucket has (TestCutAfterAReset, TestInterleavings).
func (s *Subscription) resetEvents(events []Event, reason string) []Event {
	f := s.feed
	f.hub.stats.countReset(reason)
	if s.toldStale {
		s.toldStale = false
		events = append(events, Event{Kind: Live})
	}
	s.wake()
	s.era = f.journal.era
	void := Point{Position: f.journal.Position, InSnapshot: true}
	return append(events, Event{Kind: Reset, Reason: reason, Stamp: f.journal.stamp(), Point: void})
}

// pollReading sends what has been read, and goes on after the reading's end.
func (s *Subscription) pollReading(events []Event, limit int) []Event {
	r := s.readCursor.reading
	start := len(events)
	events, done, err := s.readCursor.next(events, limit)
	if len(events) > start {
		last := events[len(events)-1].Change
		s.sent, s.sentCheck = last.Revision, last.Check
	}
	events = s.dropMarkers(events, start)
	r.mu.Lock()
	to, toCheck, end, keys := r.to, r.toCheck, r.end, r.keys
	r.mu.Unlock()
	if !r.key.replay && to > 0 {
		s.to, s.toCheck = to, toCheck
	}
	switch {
	case !done:
		return events
	case err != nil:
		s.retryReading(r, err)
		return events
	case r.key.replay:
		s.syncFrom = max(s.syncFrom, end) // what it missed was overwritten up to there
		s.sent, s.sentCheck = r.key.to, r.key.toCheck
		s.continueAfter(r.key.to)
		return events
	}
	s.syncFrom = end
	if s.countsKeys && r.key.after == 0 {
		s.keys = keys
	}
	s.sent, s.sentCheck = to, toCheck
	s.continueAfter(to)
	return events
}

// dropMarkers removes markers from the events after start, if they are not wanted. It keeps the
// events' array.
func (s *Subscription) dropMarkers(events []Event, start int) []Event {
	if !s.options.IgnoreDeletes {
		return events
	}
	kept := events[:start]
	for _, e := range events[start:] {
		if !e.Change.IsMarker() {
			kept = append(kept, e)
		}
	}
	if len(kept) == start && len(events) > start {
		s.wake() // there may be more
	}
	return kept
}

// retryReading goes on after a reading that failed, or that was too fast.
func (s *Subscription) retryReading(r *reading, err error) {
	key := r.key
	if errors.Is(err, errRestart) {
		s.feed.source.requestVerify() // the source has yet to see that the bucket is another
	}
	switch {
	case s.feed.hub.isOfCaller && isDenied(err):
		s.leave(ReasonPermissions)
		s.wake()
	case errors.Is(err, errUnvouched):
		s.giveUp()
	case key.replay || s.to > 0 && s.sent > 0:
		key.after = max(key.after, s.sent)
		if !key.replay {
			key.to, key.toCheck = s.to, s.toCheck
		}
		s.startReading(key)
	default:
		s.startReading(readingKey{history: s.options.IncludeHistory})
	}
}

// continueAfter goes on when everything up to a revision was sent: in the log, or with a replay if
// the log has moved beyond it.
func (s *Subscription) continueAfter(at kv.Revision) {
	f := s.feed
	s.wake()
	switch {
	case at >= f.journal.log.horizon:
		s.followLog(at)
	case at >= f.journal.storeHorizon:
		s.startReplay(at)
	default:
		s.giveUp()
	}
}

// giveUp begins anew with a snapshot, since nobody can tell any more what comes next. A
// subscription for which that happens too often is ended.
func (s *Subscription) giveUp() {
	s.wake()
	if s.lags++; s.lags <= maxLags {
		s.resetWithSnapshot(ReasonHorizon)
		return
	}
	s.leave(ReasonSlow)
}

// leave makes the subscription end with GoAway, for a reason, unless it has ended.
func (s *Subscription) leave(reason string) {
	if s.state == ended || s.state == leaving {
		return
	}
	s.relocate()
	s.state, s.reason = leaving, reason
}

// pollLog sends the changes that came since. rest is what has to be matched with the feed unlocked;
// nil for nothing.
func (s *Subscription) pollLog(events []Event, limit int) (_ []Event, rest *batch) {
	f := s.feed
	if s.pending != 0 {
		if s.cursor < f.journal.log.horizon {
			s.continueAfter(s.cursor)
			return events, nil
		}
		var drained bool
		if events, drained, rest = s.matchLog(events, limit); !drained {
			return events, rest
		}
		if upTo := s.removalAhead(); upTo > 0 {
			s.cursor, s.pending = max(s.cursor, upTo), upTo+1
			s.wake()
			return events, nil
		}
	}
	return s.atLogEnd(events), nil
}

// atLogEnd notes that everything in the log was sent, and sends what follows from that.
func (s *Subscription) atLogEnd(events []Event) []Event {
	f := s.feed
	s.pending, s.lags = 0, 0
	// The cursor can be beyond the position, after a resume with an id of another gateway.
	s.cursor = max(s.cursor, f.journal.Revision)
	if s.syncDue && s.cursor >= s.syncFrom && f.journal.Revision >= s.syncFrom {
		s.syncDue = false
		synced := Event{Kind: Synced, Point: s.currentPoint(), Keys: s.keys, Exact: s.isExact()}
		synced.Digest = s.digestText(synced.Exact)
		events = append(events, synced)
	}
	if !s.wantsExact {
		return events
	}
	if p := s.currentPoint(); s.isExact() && s.nameable(p) {
		s.wantsExact = false
		return append(events, Event{Kind: BecameExact, Point: p, Digest: s.digestText(true)})
	}
	f.waiters.forExact[s] = struct{}{} // more was skipped meanwhile
	return events
}

// goAway ends the subscription with an event.
func (s *Subscription) goAway(events []Event, reason string) []Event {
	s.relocate()
	s.state = ended
	return append(events, Event{Kind: GoAway, Reason: reason})
}
