package feed

import (
	"context"
	"fmt"
	"time"

	"kvgateway/internal/kv"
	"kvgateway/internal/kvclient"
)

// This file compares the feed with its stream: from time to time, when a question was answered, and
// after a loss of the source.

// verify compares all that the feed knows with the stream, and passes over revisions beyond the
// position that are gone. What arrives meanwhile waits.
//
// Where entries vanish by age, a revision beyond the position that is gone is not passed over: it
// may have been a marker that vanished before it was read, so subscriptions are reset
// (TestMarkerThatExpiresUnreadIsAReset). If the last message is there, it is one of another
// subject, as a stream with sources has them.
func (src *source) verify(ctx context.Context) error {
	f := src.feed
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	if f.hub.client.AdvisoryPeriod() != src.audit.hearing {
		return errRestart // advisories were dropped since, or the connection is another
	}
	src.audit.hearingAt = f.now()
	q := src.newQuestion()
	bucket, s, err := f.ask(ctx)
	if err != nil {
		return err
	}
	if beyond, err := src.compareAnswer(q, s); !beyond {
		return err
	}
	revision := q.revision
	next, err := bucket.NextRevision(ctx, revision)
	if err != nil {
		return err
	}
	if next > 0 {
		src.requestVerify()
		if src.audit.noteOverdue(revision, f.now()) {
			return fmt.Errorf("%w: the messages stored beyond revision %d are not delivered",
				kv.ErrTimeout, revision)
		}
		return nil
	}
	if s.Lifetime > 0 {
		switch stored, err := bucket.StoredAt(ctx, s.Last); {
		case err != nil:
			return err
		case stored.IsZero():
			src.advance(s.Last, kv.CheckOf(s.LastTime))
			return src.carryOut(doubtFor(ReasonHorizon))
		}
	}
	src.advance(s.Last, kv.CheckOf(s.LastTime))
	src.requestVerify()
	return nil
}

// newQuestion returns what has to be remembered of a question to the stream that is about to be
// sent.
func (src *source) newQuestion() question {
	f := src.feed
	f.mu.Lock()
	defer f.mu.Unlock()
	q := f.journal.exact.ask(f.journal.Revision)
	q.absences, q.sent = f.absences.found, f.now()
	return q
}

// compareAnswer compares what the stream answered to a question with what the feed knew when the
// question was sent. beyond reports that the stream had more than the feed had read. An error ends
// the source: the stream is not what it was.
func (src *source) compareAnswer(q question, s kvclient.StreamState) (beyond bool, err error) {
	f := src.feed
	f.mu.Lock()
	replaced := f.journal.isReplaced(s)
	same := !replaced && f.journal.noteAnswer(q, s)
	_, lacking := src.audit.lack(s, f.journal.harmlessPurges)
	if !same {
		f.freshness.fail(q.callers, Lost)
	}
	if same {
		f.serverAt.Store(&serverTime{at: s.At, heard: f.now()})
		f.memory.currency.answered(q.sent, s.Last)
		f.settleCopyLocked()
		lacking = lacking || q.callers != nil && f.copyDiffersLocked(s)
		if lacking {
			f.freshness.giveUp(q.callers, Unexplained, f.now())
		}
		f.freshness.answer(q.callers, s)
		f.wakeExactLocked()
		if f.absences.refute(q.absences) {
			f.wakeAllLocked()
		}
	}
	f.mu.Unlock()
	switch {
	case replaced:
		return false, src.carryOut(resetFor(ReasonHorizon))
	case !same:
		return false, errRestart
	case s.Last > q.revision:
		if lacking {
			src.requestVerify()
		}
		return true, nil
	}
	src.audit.noteCaughtUp(s.At)
	return false, src.compareCounts(s)
}

// copyDiffersLocked reports whether the copy has another number of keys than the stream, where the
// copy is at the stream's last revision and each can be counted. Of the markers that may be gone
// any number may be there (TestSweepOfMarkersLeavesReadsInMemory). Otherwise only a removal that
// nobody has reported, or whose advisory is on its way, makes the numbers differ, unless the stream
// has subjects that are no keys.
func (f *Feed) copyDiffersLocked(s kvclient.StreamState) bool {
	c := f.memory.copy
	if c == nil || !f.memory.complete || s.Lifetime > 0 || c.Position().Revision != s.Last ||
		!f.journal.exact.holds(s.Last, f.journal.Revision) {
		return false
	}
	size := c.Size()
	// #nosec G115 -- numbers of entries are not negative
	least, most := uint64(size.Entries-size.Unsure), uint64(size.Entries)
	return !size.Hidden && (s.Subjects < least || s.Subjects > most)
}

// compareCounts compares the stream with what it was when it was counted last, with everything
// read. If all is accounted for, what the stream is now is the last tally, and the purges that were
// accepted are part of it.
func (src *source) compareCounts(s kvclient.StreamState) error {
	f := src.feed
	f.mu.Lock()
	harmless := f.journal.harmlessPurges
	f.mu.Unlock()
	v := src.audit.compareCounts(s, harmless, src.mail.hasWaiting())
	if v.action == goOn {
		f.mu.Lock()
		f.journal.harmlessPurges = purgeCount{}
		f.mu.Unlock()
		src.audit.tallies.note(s, src.lastHeard(), f.now())
	}
	return src.carryOut(v)
}

// verifyAfterLoss finds out, after a loss, whether the log may go on. It asks the stream once
// more, after the consumer's answer. On a new connection the server may have answered the first
// question, which went over another one, before it knew of the subscriptions to advisories; the
// consumer's answer came behind them (TestPurgeBeforeTheSubscriptionsAreThereIsAReset).
func (src *source) verifyAfterLoss(ctx context.Context, patience time.Duration) error {
	bucket, s, err := src.feed.askWithin(ctx, patience)
	if err != nil {
		return err
	}
	var stored time.Time
	if src.audit.anchor.revision > 0 {
		ctx, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		if stored, err = bucket.StoredAt(ctx, src.audit.anchor.revision); err != nil {
			return err
		}
	}
	return src.judgeLoss(s, stored)
}

// judgeLoss lets the audit decide whether the log may go on where the stream is now. It returns the
// error that ends the source if the log begins anew.
func (src *source) judgeLoss(now kvclient.StreamState, stored time.Time) error {
	f := src.feed
	f.mu.Lock()
	awaitsSuccessor := f.journal.awaitsSuccessor()
	f.mu.Unlock()
	v := src.audit.judgeLoss(now, stored, awaitsSuccessor)
	if v.action == doubt {
		return src.heal(v.reason)
	}
	return src.carryOut(v)
}
