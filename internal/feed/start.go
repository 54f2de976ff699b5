package feed

import (
	"context"
	"strings"

	"kvgateway/internal/kv"
	"kvgateway/internal/kvclient"
)

// This file decides where a subscription begins, and brings it into a reading or to the log.

// attachWhenSettled decides where the subscription starts, once it is known whether there is a
// source, and makes it part of the feed. It locks the feed.
func (s *Subscription) attachWhenSettled(ctx context.Context) error {
	f := s.feed
	err := f.settle(ctx)
	if err == nil && s.options.hasStart() {
		err = s.resume(ctx)
	}
	gone := isMissing(err)
	if err != nil && !(gone && s.options.resuming()) {
		return err
	}
	if gone {
		if err := f.hub.takeRestPlace(ctx, f); err != nil {
			return err
		}
	}
	f.mu.Lock()
	s.attach(gone)
	f.mu.Unlock()
	if gone {
		f.source.requestVerify() // the source may have yet to find the bucket missing
	}
	f.startReadings()
	return nil
}

// attach makes the subscription part of the feed. gone reports that the subscription found the
// bucket missing.
func (s *Subscription) attach(gone bool) {
	f := s.feed
	f.subs[s] = struct{}{}
	f.interests.add(s)
	if s.state == joining {
		s.generation, s.stamp, s.era = f.journal.generation, f.journal.stamp(), f.journal.era
		s.knowsRemovals()
	}
	if s.nextRemoval < f.journal.removals.end() {
		s.oweRemovals(s.nextRemoval)
	}
	if gone && f.status.state == live {
		f.absences.found++
		s.absence = f.absences.found
	}
	switch {
	case gone, f.status.state == missing:
		s.relocate()
		s.state = foundMissing
	case s.isOutdated():
		s.resetWithSnapshot(ReasonHorizon)
	case s.state == resetOwed:
		s.resetWithSnapshot(s.reason)
	case s.options.UnknownPoint:
		s.resetWithSnapshot(ReasonUnknownID)
	case s.options.OtherContent:
		s.resetWithSnapshot(ReasonFilters)
	case s.state == following:
		s.followLog(s.cursor) // changes that came since the decision did not find it yet
	case s.state == inReading:
	case s.options.UpdatesOnly:
		s.followLog(f.journal.Revision)
	default:
		s.startSnapshot()
	}
}

// resume decides where a subscription with a point, or with a revision to start from, goes on. It
// locks the feed.
func (s *Subscription) resume(ctx context.Context) error {
	before := s.feed.currentStretch()
	s.lossesThen = before.losses
	s.feed.awaitCopy(ctx) // it may have the message of the point
	bucket, state, err := s.feed.askInEpoch(ctx)
	if err != nil {
		return err
	}
	proof, err := s.feed.proofOf(ctx, bucket, state, s.options.Resume)
	if err != nil {
		return err
	}
	s.decide(state, proof)
	if proof == sameHistory && s.generation != before.generation {
		s.oweReset(ReasonHorizon) // it was proved of what a reset has voided since
	}
	return nil
}

// decide decides where the subscription goes on: from where the stream was, asked after the feed
// had settled, and from what the check of the point shows. It sets the state, and locks the feed.
func (s *Subscription) decide(state kvclient.StreamState, proof proof) {
	f := s.feed
	f.mu.Lock()
	defer f.mu.Unlock()
	s.generation, s.stamp, s.era = f.journal.generation, f.journal.stamp(), f.journal.era
	s.knowsRemovals()
	terms, era := splitStamp(s.options.Stamp)
	s.syncDue, s.syncFrom = true, state.Last
	if s.options.From > 1 {
		s.folds = false // what was before is missing, also when the subscription is resumed
	}
	if from := s.options.From; from > 0 && s.options.Resume == nil {
		if from > state.Last+1 {
			s.oweReset(ReasonAhead)
			return
		}
		s.nextRemoval, _ = f.journal.removals.since(from - 1)
		s.startReplay(from - 1)
		return
	}
	point := *s.options.Resume
	missed, known := f.journal.removals.since(point.Revision)
	// The cases are in order: the first that holds decides.
	switch {
	case point.Epoch == "":
		s.oweReset(ReasonUnknownID)
	case state.Epoch != f.journal.Epoch, point.Epoch != f.journal.Epoch && proof != sameHistory:
		s.oweReset(ReasonEpoch)
		f.source.requestVerify()
	case terms != "" && terms != state.Terms.Digest():
		s.oweReset(ReasonConfig)
		f.source.requestVerify()
	case point.Revision > max(state.Last, f.journal.Revision):
		// A new leader may know less than the feed for a moment.
		s.oweReset(ReasonAhead)
	case point.InSnapshot && point.Sent == 0:
		s.startSnapshot() // a client that holds nothing needs no proof
	case proof == otherHistory,
		point.Check.Known() && proof == unproved,
		!f.journal.vouches(point.Revision, era, f.now()), !known:
		s.oweReset(ReasonHorizon)
	case point.InSnapshot && !f.journal.knowsSnapshot(point.Revision):
		s.oweReset(ReasonHorizon)
	case point.InSnapshot:
		s.nextRemoval = missed
		s.sent, s.to, s.toCheck = point.Sent, point.Revision, point.Check
		if !s.toCheck.Known() {
			s.toCheck = f.journal.checkAt(s.to)
		}
		s.startReading(readingKey{
			history: s.options.IncludeHistory, after: s.sent, to: s.to, toCheck: s.toCheck,
		})
	default:
		s.nextRemoval = missed
		s.sent, s.sentCheck = point.Revision, point.Check
		f.journal.maxResumed = max(f.journal.maxResumed, point.Revision)
		s.followLog(point.Revision)
	}
}

// startSnapshot begins with a snapshot.
func (s *Subscription) startSnapshot() {
	s.syncDue, s.syncFrom, s.keys = true, 0, -1
	s.sent, s.to, s.sentCheck, s.toCheck = 0, 0, kv.Check{}, kv.Check{}
	s.folds, s.wantsExact = !s.options.IgnoreDeletes, false
	s.countsKeys = !s.options.IncludeHistory
	s.knowsRemovals()
	s.startReading(readingKey{history: s.options.IncludeHistory})
}

// oweReset notes that a reset is owed, for a reason. Whoever calls it brings the subscription into
// the snapshot that comes after it, at the latest in attach. Before attach it needs no lock, since
// nobody else knows of the subscription.
func (s *Subscription) oweReset(reason string) { s.state, s.reason = resetOwed, reason }

// resetWithSnapshot begins with a snapshot, before which a reset is told for a reason.
func (s *Subscription) resetWithSnapshot(reason string) {
	s.startSnapshot()
	s.oweReset(reason)
}

// startReplay reads from the store what survives after a revision, up to where the log begins. That
// is all that came, unless the store has lost some of it, as it may have where a subscription asks
// for a revision without a point.
func (s *Subscription) startReplay(after kv.Revision) {
	if after >= s.feed.journal.log.horizon {
		s.followLog(after)
		return
	}
	s.noteSent(after)
	log := &s.feed.journal.log
	s.to, s.toCheck = log.horizon, log.horizonCheck
	s.startReading(readingKey{
		history: true, replay: true, remains: after < s.feed.journal.storeHorizon,
		after: after, to: s.to, toCheck: s.toCheck,
	})
}

// startReading brings the subscription into a reading.
func (s *Subscription) startReading(key readingKey) {
	key.filters, key.noValues = strings.Join(s.patterns(), " "), s.options.NoValues
	s.relocate()
	s.state, s.pending = inReading, 0
	s.readCursor = s.feed.joinLocked(s, key)
	s.wake() // others may have read it already
}

// followLog brings the subscription to the log, above a revision.
func (s *Subscription) followLog(after kv.Revision) {
	s.relocate()
	s.state, s.cursor, s.pending, s.matched = following, after, 0, 0
	s.noteSent(after)
	if s.feed.journal.Revision > after {
		s.pending = after + 1
	}
	if s.syncDue && s.syncFrom > s.feed.journal.Revision {
		// What comes up to there may be for others only, and would not wake it.
		s.feed.whenReadLocked(s.syncFrom, s.wake)
	}
}

// noteSent notes that everything up to a revision was sent.
func (s *Subscription) noteSent(revision kv.Revision) {
	if s.sent != revision || !s.sentCheck.Known() {
		s.sent, s.sentCheck = revision, s.feed.journal.checkAt(revision)
	}
}

// relocate counts that the subscription is to go on elsewhere, or ends, and removes it from its
// reading if it is in one. The caller says where it goes on.
func (s *Subscription) relocate() {
	s.relocations++
	if s.readCursor != nil {
		s.readCursor.leaveLocked()
		s.readCursor = nil
	}
}
