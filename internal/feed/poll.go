package feed

import (
	"errors"

	"kvgateway/internal/kvclient"
)

// errStraggled ends a follower's place in a reading that is too far ahead.
var errStraggled = errors.New("too far behind the reading")

// Poll appends what there is to tell to events, about limit of them at most, and does not wait. It
// looks at a bounded part of the log, so that more can be true although nothing was appended. More
// reports that there may be more at once; else there is nothing until the subscription is woken.
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

// A next is what comes after a part of a turn.
type pollResult struct {
	more          bool   // see [Subscription.Poll]
	startReadings bool   // readings are due
	batch         *batch // is to be finished first; nil for none
}

// poll is Poll without the start of the readings that are due, and up to what is done without the
// lock.
func (s *Subscription) poll(events []Event, limit int) (_ []Event, n pollResult) {
	f := s.feed
	closing := f.hub.closed.Load()
	f.mu.Lock()
	defer f.mu.Unlock()
	before := len(events)
	switch {
	case s.phase == ended:
		return events, pollResult{}
	case closing:
		return s.goAway(events, ReasonShutdown), pollResult{}
	}
	events, hold := s.transitions(events)
	if hold || len(events) > before {
		return events, pollResult{more: len(events) > before, startReadings: len(f.dueReadings) > 0}
	}
	switch s.phase {
	case inReading:
		events = s.pollReading(events, limit)
	case following:
		events, n.batch = s.pollLog(events, limit)
	}
	drained := s.phase == following && s.pending == 0 && s.goAwayReason == ""
	n.more, n.startReadings = len(events) > before && !drained, len(f.dueReadings) > 0
	return events, n
}

// transitions tells what has become of the bucket and its source. Hold says that there is nothing else to tell until it is back.
// The feed is locked.
func (s *Subscription) transitions(events []Event) (_ []Event, hold bool) {
	f := s.feed
	if f.state == missing {
		if !s.toldGone {
			if s.toldStale {
				events = append(events, Event{Kind: Live}) // the source has answered: there is no such bucket
			}
			s.leaveReading()
			s.phase, s.toldGone, s.toldStale, s.resetFirst, s.absence = waitingForBucket, true, false, "", 0
			events = append(events, Event{Kind: BucketDeleted, Point: nowhere})
		}
		return events, true
	}
	if s.toldGone && f.state != live {
		return events, true
	}
	if f.state == stale && (s.resetFirst != "" || s.phase == waitingForBucket || s.generation != f.generation) {
		return s.sourceEvents(events), true // a reset would tell that the source is back
	}
	if s.absence > f.refuted && f.state == live && s.generation == f.generation {
		return events, true // the source is about to find the bucket missing, or that it is there after all
	}
	if s.generation != f.generation || s.phase == waitingForBucket { // also if the bucket was found before it was told as missing
		s.generation, s.toldGone, s.resetFirst, s.absence = f.generation, false, "", 0
		s.startSnapshot() // whatever it reads is of what was before
		return s.resetEvents(events, f.resetReason()), false
	}
	if reason := s.resetFirst; reason != "" {
		s.resetFirst = ""
		return s.resetEvents(events, reason), false
	}
	return s.sourceEvents(events), false
}

// tellSource tells whether the source is there, if that is news. The feed is locked.
func (s *Subscription) sourceEvents(events []Event) []Event {
	down := s.feed.state == stale
	if down == s.toldStale {
		return events
	}
	s.toldStale = down
	if down {
		return append(events, Event{Kind: Stale})
	}
	return append(events, Event{Kind: Live})
}

// resetReason is why subscriptions that were there are reset now. A bucket that was missing is another one.
func (f *Feed) resetReason() string {
	if f.lastReset == "" {
		return ReasonEpoch
	}
	return f.lastReset
}

// reset tells of a reset, with the point of who holds nothing of the snapshot yet. Who came back with an earlier one, while it holds
// nothing any more, might be given only what came since, by another gateway or by this one. The feed is locked.
func (s *Subscription) resetEvents(events []Event, reason string) []Event {
	f := s.feed
	f.hub.stats.reset(reason)
	if s.toldStale {
		s.toldStale = false
		events = append(events, Event{Kind: Live})
	}
	s.wake()
	void := Point{Position: f.positionAt(f.position), InSnapshot: true}
	return append(events, Event{Kind: Reset, Reason: reason, Stamp: f.stamp(), Point: void})
}

// pollReading sends what has been read, and goes over to the log at its end. The feed is locked.
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
	if s.syncFrom = end; s.countsKeys && r.key.after == 0 {
		s.keys = keys
	}
	s.sent, s.sentCheck = to, toCheck
	s.continueAfter(to)
	return events
}

// drop removes markers where they are not wanted. It keeps the events' array.
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

// again goes on after a reading that failed, or that was too fast. The feed is locked.
func (s *Subscription) retryReading(r *reading, err error) {
	key := r.key
	if errors.Is(err, errRestart) {
		s.feed.requestVerify() // it has yet to see that the bucket is another
	}
	switch {
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

// caughtUp goes over to the log, or reads on where the log has moved beyond. The feed is locked.
func (s *Subscription) continueAfter(at kvclient.Revision) {
	f := s.feed
	s.wake()
	switch {
	case at >= f.log.horizon:
		s.followLog(at)
	case at >= f.storeHorizon:
		s.startReplay(at)
	default:
		s.giveUp()
	}
}

// giveUp begins anew, since nobody can tell any more what comes next. The feed is locked.
func (s *Subscription) giveUp() {
	s.wake()
	if s.lags++; s.lags <= maxLags {
		s.startSnapshot()
		s.resetFirst = ReasonHorizon
		return
	}
	s.goAwayReason = ReasonSlow
	s.leaveReading()
	s.phase = following
}

// pollLog sends the changes that came since, or says what is to be scanned for them. The feed is
// locked.
func (s *Subscription) pollLog(events []Event, limit int) ([]Event, *batch) {
	f := s.feed
	if s.goAwayReason != "" {
		f.hub.stats.Slow.Add(1)
		return s.goAway(events, s.goAwayReason), nil
	}
	if s.pending != 0 {
		if s.cursor < f.log.horizon {
			s.continueAfter(s.cursor)
			return events, nil
		}
		var drained bool
		var scan *batch
		if events, drained, scan = s.takeFromLog(events, limit); !drained {
			return events, scan
		}
	}
	return s.atLogEnd(events), nil
}

// drained notes that everything in the log was sent, and tells of it if that is news. The feed is
// locked.
func (s *Subscription) atLogEnd(events []Event) []Event {
	f := s.feed
	if s.pending != 0 {
		s.pending, s.lags = 0, 0
	}
	s.cursor = max(s.cursor, f.position) // beyond the position after a resume from another gateway's word
	if s.syncDue && s.cursor >= s.syncFrom && f.position >= s.syncFrom {
		s.syncDue = false
		events = append(events, Event{Kind: Synced, Point: s.currentPoint(), Keys: s.keys, Exact: s.isExact()})
	}
	if !s.wantsExact {
		return events
	}
	if p := s.currentPoint(); s.isExact() && s.nameable(p) {
		s.wantsExact = false
		return append(events, Event{Kind: BecameExact, Point: p})
	}
	f.wantExact[s] = struct{}{} // more was skipped meanwhile
	return events
}

func (s *Subscription) goAway(events []Event, reason string) []Event {
	s.leaveReading()
	s.phase = ended
	return append(events, Event{Kind: GoAway, Reason: reason})
}

// point is the point that a subscription which follows has reached. Where a change is pending, it may
// be one before the cursor: the check of a revision that was gone before it was read is not known,
// and an id without a check could be taken for one of another history. The feed is locked.
func (s *Subscription) currentPoint() Point {
	if s.cursor == s.feed.position {
		s.noteSent(s.cursor)
	}
	return s.pointAtSent()
}

// pointAtSent is the point up to which everything was sent. The feed is locked.
func (s *Subscription) pointAtSent() Point {
	return Point{Position: kvclient.Position{Epoch: s.feed.epoch, Revision: s.sent, Check: s.sentCheck}}
}

// nameable reports whether a point may be given out as an id: whether its check is known, or nobody
// knows it, or the client came with an id that had none. The feed is locked.
func (s *Subscription) nameable(p Point) bool {
	from := s.options.Resume
	return p.Check.Known() || p.Revision == 0 || p.Revision == s.feed.position || from != nil && !from.Check.Known()
}

// isExact tells whether folding what was sent gives the state at the cursor. The feed is locked.
func (s *Subscription) isExact() bool {
	f := s.feed
	return s.folds && !s.syncDue && f.state == live && s.cursor >= s.syncFrom &&
		f.exact.holds(s.cursor, f.position)
}

// Bookmark returns the point that the subscription has reached, and whether the state there is exact;
// if not, BecameExact follows as soon as it is, unless something is skipped for longer than a second.
// Ok is false where there is no point yet. A subscription that was told that the bucket is missing
// has reached the point that came with that.
func (s *Subscription) Bookmark() (p Point, exact, ok bool) {
	f := s.feed
	f.mu.Lock()
	defer f.mu.Unlock()
	if s.toldGone {
		return nowhere, false, true
	}
	if s.generation != f.generation || s.resetFirst != "" || s.goAwayReason != "" || f.state == missing {
		return Point{}, false, false // what was sent is void, and has yet to be told so
	}
	switch s.phase {
	case following:
		if s.pending == 0 {
			s.cursor = max(s.cursor, f.position)
		}
		if f.exact.owed && f.state == live {
			f.exactWantedAt = f.now()
			f.requestVerify()
		}
		p, exact = s.currentPoint(), s.isExact()
		if s.wantsExact = !exact && s.folds && !s.syncDue && f.state == live; s.wantsExact {
			f.wantExact[s] = struct{}{}
		}
		return p, exact, s.nameable(p)
	case inReading:
		if s.readCursor.reading.key.replay {
			p = s.pointAtSent()
			return p, false, s.nameable(p)
		}
		if s.to == 0 {
			return Point{}, false, false
		}
		to := kvclient.Position{Epoch: f.epoch, Revision: s.to, Check: s.toCheck}
		return Point{Position: to, InSnapshot: true, Sent: s.sent}, false, true
	}
	return Point{}, false, false
}
