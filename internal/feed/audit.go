package feed

import (
	"cmp"
	"time"

	"kvgateway/internal/kv"
	"kvgateway/internal/kvclient"
)

// An audit is what the source's goroutine needs to judge what it sees: whether messages were
// removed that nobody has reported, what an advisory means, and whether the log may go on after
// something went wrong. Each of its judgements is a verdict, which source.carryOut carries out.
//
// It is plain data, which only the source's goroutine touches. It has no lock and asks nobody, and
// is told what time it is.
//
// # What follows from what is seen
//
// What the advisories reported is trusted, and what they could not report is not. After a loss of
// the source the stream must add up to the message, or the feed is in doubt: a purge may have
// happened unseen. Busy buckets with a history of 1, where writes remove messages all the time, are
// therefore in doubt after every loss. A feed in doubt is healed at its next start, if it has a
// copy of the bucket (healing.go); otherwise subscriptions are reset for the reason of the doubt.
//
//	what is seen                                    what follows
//	----------------------------------------------  --------------------------------------------
//	a purge that is harmless                        the source goes on, and counts it
//	another purge of one key                        the leader is asked for the key (healPurged)
//	another purge                                   a new start, doubt for purged
//	the deletion of this stream                     a new start, reset for horizon
//	the deletion of an earlier stream               a new start
//	an update to other terms, since the log began   a new start, reset for config
//	another update, a creation, dropped advisories  a new start
//	a reconnection                                  the source goes on, or ends by itself
//	an answer with another epoch, other terms or    a new start; adopt finds the reason
//	fewer revisions
//	an answer with more than was read               what is gone is passed over, or, where
//	                                                entries vanish by age, a doubt for horizon;
//	                                                what is there must come within overdueTime,
//	                                                or the source is lost
//	an answer with nothing more                     the counts are compared, and the feed has
//	                                                caught up (caughtUpAt)
//	an answer that there is no such bucket          the source is lost, and the feed rests
//	an arrival after heartbeats                     the feed was caught up for as much longer
//	counts that are too low twice                   a new start, doubt for purged
//	a gap before a message, where what was          a new start, doubt for horizon
//	skipped may have vanished by age (ageOfSkipped)
//	a message that took all others with it          a new start, doubt for purged
//	a value that was purged over its marker         a new start, doubt for purged
//	another connection for advisories, or some      a new start; advisories were missed since
//	that were dropped                               then
//	a loss of the source                            a new start; advisories were missed since it
//	                                                was last heard
//	counts that do not add up after that            doubt for horizon
//	a key with an older entry than was read, when   a new start, reset for reverted
//	a doubt is healed
//
// # The protocol of a start
//
// readStream asks where the stream is, recognises it by the anchor, and calls startAt, which lets
// the log begin, begin anew or go on. Then it makes a consumer behind the position. If missedSince
// or doubt is set, the stream is asked once more, and judgeLoss decides whether the log may go on
// as it is or is to be healed first.
// After that receive runs until something ends it. What ends it leaves its reason in dueReset, if
// subscriptions hold outdated state, or in missedSince, if advisories may have been missed.
type audit struct {
	// anchor is the newest message that is known; the stream is recognised by it.
	anchor anchor
	// delays are those of the messages that came.
	delays delays
	// caughtUpAt is a time, by the server's clock, at which nothing was stored beyond the
	// position; zero if none is known. It bounds how old what was skipped may have been; see
	// ageOfSkipped. It begins where the log begins. Three things move it: an entry, to the time at
	// which it was stored; an answer of the stream that has nothing beyond the position, to the
	// time of the answer; and an arrival, to the end of the time in which the stream had nothing to
	// deliver before it (kvclient.Arrival.Idle).
	caughtUpAt time.Time
	// deliveredAt is when the last message that was delivered was stored, or when the log began, by
	// the server's clock. The idle time of the next arrival begins there at the earliest.
	deliveredAt time.Time
	// hearing is the connection over which advisories come, and how many of them were dropped.
	hearing kvclient.AdvisoryPeriod
	// hearingAt is when hearing was last found unchanged.
	hearingAt time.Time
	// streamCreated is when the stream was created, by the clock of its server.
	streamCreated time.Time
	// begunAtServer is when the log began, by the clock of the stream's server. Updates of the
	// stream from before that time concern nobody.
	begunAtServer time.Time
	// missedSince: if not zero, advisories may have been missed from this time on.
	missedSince time.Time
	// dueReset is the reason for which subscriptions are reset at the next start; "" for none.
	dueReset string
	// doubt is why what was read may not be so any more, so that it is compared with the stream at
	// the next start; "" for no doubt. healTries counts the comparisons since it was well.
	doubt     string
	healTries int
	// configUpdated: the stream's configuration was changed since the last tally, so that fewer
	// messages prove no purge: a shorter history removes some.
	configUpdated bool
	// unexplained is what was missing at the last count, without a report of who removed it; nil
	// for nothing.
	unexplained *purgeCount
	// tallies are what the stream was when it was counted.
	tallies tallies
	// overdueAt is the feed's revision when something was found stored beyond it that had yet to
	// be delivered.
	overdueAt kv.Revision
	// overdueSince is when that was first found so at this revision; zero if it was not found yet.
	overdueSince time.Time
}

// A verdict is what the source does next.
type verdict struct {
	// action says what it does.
	action action
	// reason, with beginAnew, is the one for which subscriptions are reset.
	reason string
}

// An action is what a verdict says.
type action uint8

const (
	// goOn: nothing is wrong.
	goOn action = iota
	// lookAgain: the source goes on, and compares the stream again soon.
	lookAgain
	// startAgain: the source ends and starts again at once.
	startAgain
	// doubt: the same, and there the feed is compared with the stream; see healing.go. What cannot
	// be compared begins anew.
	doubt
	// beginAnew: the same, and there the log begins anew. Subscriptions hold outdated state, and
	// are reset.
	beginAnew
)

// resetFor is the verdict that subscriptions are to be reset for a reason.
func resetFor(reason string) verdict { return verdict{beginAnew, reason} }

// doubtFor is the verdict that something may be gone, for a reason.
func doubtFor(reason string) verdict { return verdict{doubt, reason} }

// noteDoubt notes that the feed is to be compared with the stream. The first reason counts.
func (a *audit) noteDoubt(reason string) { a.doubt = cmp.Or(a.doubt, reason) }

// noteHealed notes that the feed was compared with the stream, which was so before.
func (a *audit) noteHealed(s kvclient.StreamState, now time.Time) {
	a.doubt, a.healTries, a.missedSince = "", 0, time.Time{}
	a.tallies = talliesFrom(tally{s, now})
	a.configUpdated, a.unexplained = false, nil
	a.delays = delays{} // a step of a clock is one doubt and not many
}

// noteStart notes that the source has started, where the stream is. begun says that the log begins
// there.
func (a *audit) noteStart(s kvclient.StreamState, begun bool, now time.Time) {
	a.dueReset, a.overdueSince, a.streamCreated = "", time.Time{}, s.Created
	if !begun {
		return
	}
	a.begunAtServer, a.caughtUpAt, a.deliveredAt = s.At, s.At, s.At
	a.missedSince, a.tallies = time.Time{}, talliesFrom(tally{s, now})
	a.configUpdated, a.unexplained = false, nil
	a.doubt, a.healTries = "", 0
	a.anchor, a.delays = anchor{s.Last, s.LastTime}, delays{}
}

// noteMissing notes that there is no such bucket. If it comes back with the same epoch it was
// restored, and may lack some of what was read.
func (a *audit) noteMissing() {
	a.tallies = tallies{}
	a.dueReset = ReasonHorizon
}

// noteMissed notes that from a time on advisories may be missed. The earliest such time counts.
func (a *audit) noteMissed(from time.Time) {
	if a.missedSince.IsZero() || from.Before(a.missedSince) {
		a.missedSince = from
	}
}

// noteAdvisoryPeriod notes over which connection advisories come from now on, and reports whether
// some may have been missed: they came over another connection, or some were dropped, though the
// source ended for another reason. A connection that ended may have been replaced meanwhile.
// nats.go counts a new connection before it uses it, so the count is a proof;
// TestMarkerPurgedWhileTheConnectionWasLostIsAReset failed once in 60 runs where the report of the
// reconnection was waited for instead. heard is when the source said something last.
func (a *audit) noteAdvisoryPeriod(h kvclient.AdvisoryPeriod, heard, now time.Time) (missed bool) {
	if missed = a.hearing != h && a.hearing != (kvclient.AdvisoryPeriod{}); missed {
		if a.hearing.SameConnection(h) {
			heard = a.hearingAt // what was dropped came later than that
		}
		a.noteMissed(heard)
	}
	a.hearing, a.hearingAt = h, now
	return missed
}

// judgeAdvisory decides what an advisory means, unless it reports a purge that was accepted. terms
// are the journal's.
//
// A deletion can be heard of when the next stream of that name is there already, so the server's
// times decide which of the two it concerns. A stream of the same epoch that is back was restored.
// A change of the configuration may have been changed back since, with all that it removed, so it
// is judged by what the advisory says was requested, and not only by what the stream says now. This
// holds for all updates since the log began, also those from before a later start
// (TestDiscardForAMomentIsAReset).
func (a *audit) judgeAdvisory(advisory kvclient.Advisory, terms kv.Terms) verdict {
	switch advisory.Kind {
	case kvclient.StreamPurged:
		return doubtFor(ReasonPurged)
	case kvclient.StreamDeleted:
		if advisory.At.IsZero() || advisory.At.After(a.streamCreated) {
			return resetFor(ReasonHorizon)
		}
	case kvclient.StreamUpdated:
		a.configUpdated = true
		others := advisory.Terms != nil && *advisory.Terms != terms.ExceptSubjects()
		if others && !advisory.At.Before(a.begunAtServer) {
			return resetFor(ReasonConfig)
		}
	case kvclient.Reconnected:
		// The source ends with its connection, and finds out more than this can say.
		return verdict{}
	}
	return verdict{action: startAgain}
}
