package feed

import (
	"fmt"
	"time"

	"kvgateway/internal/kv"
	"kvgateway/internal/kvclient"
)

// This file decides what the source's goroutine makes of what it sees: whether messages were
// removed that nobody has reported, what an advisory means, and whether the log may go on.
//
// What the advisories reported is trusted, and what they could not report is not. After a loss of
// the source the stream must add up to the message, or subscriptions are reset for ReasonHorizon:
// a purge may have happened unseen. Busy buckets with a history of 1, where writes remove messages
// all the time, are therefore reset by every loss.
//
//	what is seen                                    what follows
//	----------------------------------------------  --------------------------------------------
//	a purge that is harmless                        the source goes on, and counts it
//	another purge                                   a new start, reset for purged
//	the deletion of this stream                     a new start, reset for horizon
//	the deletion of an earlier stream               a new start
//	an update to other terms, since the log began   a new start, reset for config
//	another update, a creation, dropped advisories  a new start
//	a reconnection                                  the source goes on, or ends by itself
//	an answer with another epoch, other terms or    a new start; adopt finds the reason
//	fewer revisions
//	an answer with more than was read               what is gone is passed over, or, where
//	                                                entries vanish by age, a reset for horizon;
//	                                                what is there must come within overdueTime,
//	                                                or the source is lost
//	an answer with nothing more                     the counts are compared, and the feed has
//	                                                caught up (caughtUpAt)
//	an answer that there is no such bucket          the source is lost, and the feed rests
//	an arrival after heartbeats                     the feed was caught up for as much longer
//	counts that are too low twice                   a new start, reset for purged
//	a gap before a message, where what was          a new start, reset for horizon
//	skipped may have vanished by age (ageOfSkipped)
//	a message that took all others with it          a new start, reset for purged
//	a value that was purged over its marker         a new start, reset for purged
//	another connection for advisories, or some      a new start; advisories were missed since
//	that were dropped                               then
//	a loss of the source                            a new start; advisories were missed since it
//	                                                was last heard
//	counts that do not add up after that            a new start, reset for horizon

const (
	// advisoryDelay is how long after a purge its advisory may come. What was counted within that
	// time before advisories were missed may lack what was purged and has not been reported
	// (TestPurgeBehindADeadConnectionIsAReset).
	advisoryDelay = time.Second
	// overdueTime is how long what is stored may take to come.
	overdueTime = 5 * time.Second
)

// trusts reports whether the log may go on where the stream is now, after advisories may have been
// missed. stored is when the message that has the anchor's revision now was stored, zero if there
// is none. If trusts returns false, the log begins anew with the next start.
//
// The newest message that is known must be the same one, or a crash gave its revision to another:
// after a crash that took messages back, others can have their revisions, and the counts add up
// all the same (TestHistoryThatIsWrittenAnewIsAReset). Nothing may have been skipped whose
// successor has yet to come. And the stream's counts must prove that nothing was removed, in one
// of two ways.
//
// Either nothing ever was. If a stream holds every message that it was given (its first is 1, and
// it has as many as its last number says), no purge was missed, however busy the writers are and
// whatever was counted before. With a history of 64, eight cuts under load were eight resets of
// each stream, and are none (TestLossWhereNothingWasRemovedIsNoReset). The same must have been so
// when it was counted last, or a crash took a removal back.
//
// Or nothing was removed since the last tally that can lack no unreported purge.
func (f *Feed) trusts(now kvclient.StreamState, stored time.Time) bool {
	intact := now.Epoch == f.lastTally.Epoch &&
		f.lastTally.NothingRemoved() && now.NothingRemoved()
	trusted := f.missedSince.IsZero() || f.anchor.survives(now, stored) && !f.awaitsSuccessor() &&
		(intact || addsUp(f.trustedTally(), now))
	if !trusted {
		f.resetFor = ReasonHorizon
	}
	f.missedSince = time.Time{}
	return trusted
}

// awaitsSuccessor reports whether a message was skipped whose successor may have yet to come. A
// crash can take the successor back, and leave the stream as if nothing had ever been removed,
// while the feed lacks a value (TestFeedThatSkippedSomeDoesNotGoOn).
func (f *Feed) awaitsSuccessor() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.journal.exact.owed && !f.journal.exact.disclaimed
}

// trustedTally returns the latest tally that was old enough when advisories began to be missed.
func (f *Feed) trustedTally() kvclient.StreamState {
	switch {
	case f.missedSince.Sub(f.lastTally.at) >= advisoryDelay:
		return f.lastTally.StreamState
	case f.missedSince.Sub(f.agingTally.at) >= advisoryDelay:
		return f.agingTally.StreamState
	}
	return f.oldTally.StreamState
}

// addsUp reports whether everything that was there is still there: with what came since, it adds
// up. Where something was overwritten it does not, and nobody can distinguish that from a purge.
func addsUp(before, now kvclient.StreamState) bool {
	return before.Epoch == now.Epoch && now.Last >= before.Last &&
		now.Messages-before.Messages == uint64(now.Last-before.Last)
}

// handleAdvisory decides what an advisory means. An error ends the source, which has to start
// anew.
//
// A deletion can be heard of when the next stream of that name is there already, so the server's
// times decide which of the two it concerns. A stream of the same epoch that is back was restored.
// A change of the configuration may have been changed back since, with all that it removed, so it
// is judged by what the advisory says was requested, and not only by what the stream says now. This
// holds for all updates since the log began, also those from before a later start
// (TestDiscardForAMomentIsAReset).
func (f *Feed) handleAdvisory(a kvclient.Advisory) error {
	switch a.Kind {
	case kvclient.StreamPurged:
		if f.acceptPurge(a) {
			return nil
		}
		return f.requireReset(ReasonPurged)
	case kvclient.StreamDeleted:
		if a.At.IsZero() || a.At.After(f.streamCreated) {
			return f.requireReset(ReasonHorizon)
		}
	case kvclient.StreamUpdated:
		f.configUpdated = true
		if a.Terms != nil && !a.At.Before(f.begunAtServer) &&
			*a.Terms != f.journal.terms.ExceptSubjects() {
			return f.requireReset(ReasonConfig)
		}
	case kvclient.Reconnected:
		return nil // the source ends with its connection, and finds out more than this can say
	}
	return errRestart
}

// requireReset notes that subscriptions hold what is not so, for a reason. It returns the error
// that ends the source, which has to start anew.
func (f *Feed) requireReset(reason string) error {
	f.resetFor = reason
	f.disclaimExact()
	return errRestart
}

// compareAnswer compares what the stream answered to a question with what the feed knew when the
// question was sent. beyond reports that the stream had more than the feed had read. An error ends
// the source: the stream is not what it was.
func (f *Feed) compareAnswer(q question, s kvclient.StreamState) (beyond bool, err error) {
	f.mu.Lock()
	same := f.journal.takeAnswer(q, s)
	if same {
		f.wakeExact()
		f.refute(q.absences)
	}
	f.mu.Unlock()
	switch {
	case !same:
		return false, errRestart
	case s.Last > q.position:
		return true, nil
	}
	f.noteCaughtUp(s.At)
	return false, f.compareCounts(s)
}

// noteOverdue notes that something is stored beyond the position that has yet to come. It returns
// an error if that takes too long.
//
// A consumer that sends its heartbeats may still deliver nothing: one that is paused, or one on a
// replica that is behind. So where the leader has more and nothing comes for overdueTime, the
// source counts as lost and a new consumer is made (TestSilentConsumerIsReplaced).
func (f *Feed) noteOverdue(position kv.Revision) error {
	now := f.now()
	if f.overdueSince.IsZero() || f.overdueAt != position {
		f.overdueAt, f.overdueSince = position, now
	}
	if now.Sub(f.overdueSince) < overdueTime {
		return nil
	}
	return fmt.Errorf("%w: the messages stored beyond revision %d are not delivered",
		kv.ErrTimeout, position)
}

// compareCounts compares the stream with the last tally, when everything has been read.
//
// Where no advisory comes at all, as for an identity that may not subscribe to them, the counts
// show a purge. No write takes a key away, and while the revision is the same none takes a message
// away either: so none may be missing but what was reported as purged and found harmless
// (TestPurgeWithoutAdvisoriesIsAReset). What is not seen that way is a purge that new keys make up
// for before the stream is looked at, and any purge where entries vanish by age. The same holds
// for a purge whose advisory is lost in a network behind the server while no source is lost.
//
// Advisories may come a moment later than the counts, and those of a sweep of markers come for as
// long as it goes on. So the same must be missing twice, with nothing left in the mailbox.
func (f *Feed) compareCounts(s kvclient.StreamState) error {
	before := f.lastTally
	if s.History < before.History {
		f.configUpdated = true
	}
	f.mu.Lock()
	harmless := f.journal.harmlessPurges
	f.mu.Unlock()
	fewer := s.Subjects+harmless.keys < before.Subjects ||
		!f.configUpdated && before.Last == s.Last &&
			s.Messages+harmless.messages < before.Messages
	missing := before.Epoch == s.Epoch && fewer && s.Lifetime == 0
	lack := purgeCount{keys: before.Subjects - s.Subjects - harmless.keys}
	if before.Last == s.Last {
		lack.messages = before.Messages - s.Messages - harmless.messages
	}
	switch {
	case !missing:
		f.configUpdated, f.unexplained = false, nil
		f.clearHarmlessPurges()
		f.noteTally(s)
	case f.mail.hasWaiting() || f.unexplained == nil || *f.unexplained != lack:
		f.unexplained = &lack
		f.requestVerify()
	default:
		f.unexplained, f.resetFor = nil, ReasonPurged
		return errRestart
	}
	return nil
}
