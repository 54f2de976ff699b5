package feed

import (
	"time"

	"kvgateway/internal/kv"
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

// tallies are what a stream was at three times.
//
// A purge is proved not to have happened by counting: what was there before, and what came since,
// must add up to what is there now. But what was counted less than advisoryDelay before advisories
// were missed may already lack messages whose purge had yet to be reported. So three tallies are
// kept, and only one that was old enough at that time is used. A new one becomes the last. As soon
// as the aging one is older than advisoryDelay, it becomes the old one, and the one that was the
// last becomes the aging one. So writers that never rest do not keep tallies from growing old.
type tallies struct {
	// last is the last one that was made with everything read.
	last tally
	// aging is an earlier one, or the same. It becomes old once it is old enough.
	aging tally
	// old is one that was older than advisoryDelay when the source was last heard; zero if there
	// is none.
	old tally
}

// talliesFrom returns the tallies of a log that begins.
func talliesFrom(first tally) tallies { return tallies{last: first, aging: first} }

// note notes what the stream is now, unless nothing has changed. heard is when the source said
// something last.
func (t *tallies) note(s kvclient.StreamState, heard, now time.Time) {
	same := t.last.StreamState
	same.At = s.At
	if same == s {
		return
	}
	if heard.Sub(t.aging.at) >= advisoryDelay {
		t.old, t.aging = t.aging, t.last
	}
	t.last = tally{s, now}
}

// trustedAt returns the latest one that was old enough when advisories began to be missed.
func (t *tallies) trustedAt(missedSince time.Time) kvclient.StreamState {
	switch {
	case missedSince.Sub(t.last.at) >= advisoryDelay:
		return t.last.StreamState
	case missedSince.Sub(t.aging.at) >= advisoryDelay:
		return t.aging.StreamState
	}
	return t.old.StreamState
}

// moveEpoch lets what was counted go on under another epoch.
func (t *tallies) moveEpoch(before, epoch kv.Epoch) {
	for _, each := range []*tally{&t.last, &t.aging, &t.old} {
		if each.Epoch == before {
			each.Epoch = epoch
		}
	}
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
//
// Where that is not proved the feed is in doubt, and is healed if it can be. Where another message
// has the revision of the newest one that is known, the history is another: a reset.
func (a *audit) judgeLoss(
	now kvclient.StreamState, stored time.Time, awaitsSuccessor bool,
) verdict {
	last := a.tallies.last
	intact := now.Epoch == last.Epoch && last.NothingRemoved() && now.NothingRemoved()
	trusted := a.doubt == "" && a.anchor.survives(now, stored) && !awaitsSuccessor &&
		(intact || addsUp(a.tallies.trustedAt(a.missedSince), now))
	a.missedSince = time.Time{}
	if a.anchor.isReplaced(stored) {
		return resetFor(ReasonHorizon)
	}
	if !trusted {
		a.noteDoubt(ReasonHorizon)
		return doubtFor(a.doubt)
	}
	return verdict{}
}

// addsUp reports whether everything that was there is still there: with what came since, it adds
// up. Where something was overwritten it does not, and nobody can distinguish that from a purge.
func addsUp(before, now kvclient.StreamState) bool {
	return before.Epoch == now.Epoch && now.Last >= before.Last &&
		now.Messages-before.Messages == uint64(now.Last-before.Last)
}

// lack returns what is missing in the stream of what the last tally had, and reports whether
// anything is. It may be called with any state of the stream since then.
func (a *audit) lack(
	s kvclient.StreamState, harmless purgeCount,
) (lack purgeCount, missing bool) {
	before := a.tallies.last
	if s.History < before.History {
		a.configUpdated = true
	}
	fewer := s.Subjects+harmless.keys < before.Subjects ||
		!a.configUpdated && before.Last == s.Last &&
			s.Messages+harmless.messages < before.Messages
	lack.keys = before.Subjects - s.Subjects - harmless.keys
	if before.Last == s.Last {
		lack.messages = before.Messages - s.Messages - harmless.messages
	}
	return lack, before.Epoch == s.Epoch && fewer && s.Lifetime == 0
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
	lack, missing := a.lack(s, harmless)
	switch {
	case !missing:
		a.configUpdated, a.unexplained = false, nil
		return verdict{}
	case waiting || a.unexplained == nil || *a.unexplained != lack:
		a.unexplained = &lack
		return verdict{action: lookAgain}
	}
	a.unexplained = nil
	return doubtFor(ReasonPurged)
}
