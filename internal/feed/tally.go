package feed

import (
	"time"

	"kvgateway/internal/kvclient"
)

// This file counts what the stream has, and judges by that whether something was removed.

// advisoryDelay is how long after a purge its advisory may come. What was counted within that time
// before advisories were missed may lack what was purged and has not been reported
// (TestPurgeBehindADeadConnectionIsAReset).
const advisoryDelay = time.Second

// A tally is what a stream was from some time on.
type tally struct {
	kvclient.StreamState
	// at is when the stream was first seen so, by the gateway's clock.
	at time.Time
}

// noteTally takes over what the stream is, as the last tally, unless nothing has changed. heard is
// when the source said something last.
func (a *audit) noteTally(s kvclient.StreamState, heard, now time.Time) {
	same := a.lastTally.StreamState
	if same.At = s.At; same == s {
		return
	}
	if heard.Sub(a.agingTally.at) >= advisoryDelay {
		a.oldTally, a.agingTally = a.agingTally, a.lastTally
	}
	a.lastTally = tally{s, now}
}

// judgeLoss decides whether the log may go on where the stream is now, after advisories may have
// been missed. stored is when the message that has the anchor's revision now was stored, zero if
// there is none. awaitsSuccessor is what the journal says of itself.
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
func (a *audit) judgeLoss(
	now kvclient.StreamState, stored time.Time, awaitsSuccessor bool,
) verdict {
	intact := now.Epoch == a.lastTally.Epoch &&
		a.lastTally.NothingRemoved() && now.NothingRemoved()
	trusted := a.missedSince.IsZero() || a.anchor.survives(now, stored) && !awaitsSuccessor &&
		(intact || addsUp(a.trustedTally(), now))
	a.missedSince = time.Time{}
	if !trusted {
		return resetFor(ReasonHorizon)
	}
	return verdict{}
}

// trustedTally returns the latest tally that was old enough when advisories began to be missed.
func (a *audit) trustedTally() kvclient.StreamState {
	switch {
	case a.missedSince.Sub(a.lastTally.at) >= advisoryDelay:
		return a.lastTally.StreamState
	case a.missedSince.Sub(a.agingTally.at) >= advisoryDelay:
		return a.agingTally.StreamState
	}
	return a.oldTally.StreamState
}

// addsUp reports whether everything that was there is still there: with what came since, it adds
// up. Where something was overwritten it does not, and nobody can distinguish that from a purge.
func addsUp(before, now kvclient.StreamState) bool {
	return before.Epoch == now.Epoch && now.Last >= before.Last &&
		now.Messages-before.Messages == uint64(now.Last-before.Last)
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
//
// harmless is what purges removed since the last tally without changing anything for anybody, and
// waiting says that an advisory waits. If the verdict is to go on, everything is accounted for.
func (a *audit) compareCounts(
	s kvclient.StreamState, harmless purgeCount, waiting bool,
) verdict {
	before := a.lastTally
	if s.History < before.History {
		a.configUpdated = true
	}
	fewer := s.Subjects+harmless.keys < before.Subjects ||
		!a.configUpdated && before.Last == s.Last &&
			s.Messages+harmless.messages < before.Messages
	missing := before.Epoch == s.Epoch && fewer && s.Lifetime == 0
	lack := purgeCount{keys: before.Subjects - s.Subjects - harmless.keys}
	if before.Last == s.Last {
		lack.messages = before.Messages - s.Messages - harmless.messages
	}
	switch {
	case !missing:
		a.configUpdated, a.unexplained = false, nil
		return verdict{}
	case waiting || a.unexplained == nil || *a.unexplained != lack:
		a.unexplained = &lack
		return verdict{action: lookAgain}
	}
	a.unexplained = nil
	return resetFor(ReasonPurged)
}
