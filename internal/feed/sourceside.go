package feed

import (
	"errors"
	"time"

	"kvgateway/internal/kv"
	"kvgateway/internal/kvclient"
)

// sourceSide is the part of a feed that only the source's goroutine touches, so that no lock
// guards it. It is what the source needs to judge, after something went wrong, whether the log may
// go on.
//
// # The protocol of a start
//
// readSource asks where the stream is, recognises it by the anchor, and calls startAt, which lets
// the log begin, begin anew or go on. Then it makes a consumer behind the position. If missedSince
// is set, the stream is asked once more and trusts decides whether the log may really go on. After
// that receive runs until something ends it. What ends it leaves its reason in resetFor, if
// subscriptions hold what is not so, or in missedSince, if advisories may have been missed.
//
// # Tallies
//
// A purge is proved not to have happened by counting: what was there before, and what came since,
// must add up to what is there now. But what was counted less than advisoryDelay before advisories
// were missed may already lack messages whose purge had yet to be reported. So three tallies are
// kept, and only one that was old enough at that time is used. A new tally becomes lastTally; the
// one before it moves to agingTally as soon as the tally there is older than advisoryDelay, which
// itself moves to oldTally. So writers that never rest do not keep tallies from growing old.
type sourceSide struct {
	// now is the gateway's clock. It is set once, and any goroutine may call it.
	now func() time.Time
	// toWake is what take is to call for the entries that arrived. Its array is used again.
	toWake []func()
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
	hearing kvclient.Hearing
	// hearingAt is when hearing was last found unchanged.
	hearingAt time.Time
	// streamCreated is when the stream was created, by the clock of its server.
	streamCreated time.Time
	// begunAtServer is when the log began, by the clock of the stream's server. Updates of the
	// stream from before that time concern nobody.
	begunAtServer time.Time
	// lastHeard returns when the source said something last. It can be asked after the source was
	// lost, too.
	lastHeard func() time.Time
	// missedSince: if not zero, advisories may have been missed from this time on.
	missedSince time.Time
	// resetFor is the reason for which subscriptions are reset at the next start; "" for none.
	resetFor string
	// configUpdated: the stream's configuration was changed since lastTally, so that fewer
	// messages prove no purge: a shorter history removes some.
	configUpdated bool
	// unexplained is what was missing at the last count, without a report of who removed it; nil
	// for nothing.
	unexplained *purgeCount
	// lastTally is the last one that was made with everything read.
	lastTally tally
	// agingTally is an earlier one, or the same. It becomes oldTally once it is old enough.
	agingTally tally
	// oldTally is one that was older than advisoryDelay when the source was last heard; zero if
	// there is none.
	oldTally tally
	// overdueAt is the feed's position when something was found stored beyond it that had yet to
	// be delivered.
	overdueAt kv.Revision
	// overdueSince is when that was first found so at this position; zero if it was not found yet.
	overdueSince time.Time
}

// A tally is what a stream was from some time on.
type tally struct {
	kvclient.StreamState
	// at is when the stream was first seen so, by the gateway's clock.
	at time.Time
}

// isMissing reports whether an error says that there is no such bucket, which nothing but a change
// of the stream can fix.
func isMissing(err error) bool {
	return errors.Is(err, kv.ErrBucketNotFound) || errors.Is(err, kv.ErrBadBucket)
}

// noteSourceLost notes that there is no source, and why.
//
// Whatever the source was lost with, advisories may be lost with it: that the gateway's connection
// stands is no proof, since what lies behind its server can be lost
// (TestPurgeBehindALeafNodeIsAReset). And what vanishes by age is never reported. A bucket that is
// missing and comes back with the same epoch was restored, and may lack some of what was read.
func (f *Feed) noteSourceLost(err error) {
	if isMissing(err) {
		f.setState(missing, err)
		f.lastTally, f.agingTally, f.oldTally = tally{}, tally{}, tally{}
		f.resetFor = ReasonHorizon
		return
	}
	f.noteMissed(f.lastHeard())
	f.setState(stale, err)
}

// startAt takes over where the stream is. It returns the revision after which to read on; begun
// reports that the log begins there.
func (f *Feed) startAt(bucket *kvclient.Bucket, s kvclient.StreamState) (
	position kv.Revision, begun bool,
) {
	position, begun = f.adopt(bucket, s, f.resetFor)
	f.resetFor, f.overdueSince, f.streamCreated = "", time.Time{}, s.Created
	if begun {
		f.begunAtServer, f.caughtUpAt, f.deliveredAt = s.At, s.At, s.At
		f.lastTally = tally{s, f.now()}
		f.missedSince, f.agingTally, f.oldTally = time.Time{}, f.lastTally, tally{}
		f.configUpdated, f.unexplained = false, nil
		f.anchor, f.delays = anchor{s.Last, s.LastTime}, delays{}
	}
	return position, begun
}

// noteMissed notes that from a time on advisories may be missed. The earliest such time counts.
func (f *Feed) noteMissed(from time.Time) {
	if f.missedSince.IsZero() || from.Before(f.missedSince) {
		f.missedSince = from
	}
}

// noteHearing notes over which connection advisories come from now on. If they came over another
// one, or some were dropped, advisories may have been missed, though the source ended for another
// reason: a connection that ended may have been replaced meanwhile. nats.go counts a new
// connection before it uses it, so the count is a proof;
// TestMarkerPurgedWhileTheConnectionWasLostIsAReset failed once in 60 runs where the report of the
// reconnection was waited for instead. Then the state is not live before the stream has been
// compared.
func (f *Feed) noteHearing(h kvclient.Hearing) {
	if f.hearing != h && f.hearing != (kvclient.Hearing{}) {
		missed := f.lastHeard()
		if f.hearing.SameConnection(h) {
			missed = f.hearingAt // what was dropped came later than that
		}
		f.noteMissed(missed)
		if f.isLive() {
			f.hub.options.Logger.Warn().Str("bucket", f.name.String()).
				Bool("dropped", f.hearing.SameConnection(h)).Msg("feed missed advisories")
			f.setState(stale, nil)
		}
	}
	f.hearing, f.hearingAt = h, f.now()
}

// clearHarmlessPurges begins a new count of the purges that changed nothing for anybody.
func (f *Feed) clearHarmlessPurges() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.journal.harmlessPurges = purgeCount{}
}

// noteTally takes over what the stream is, as the last tally, unless nothing has changed.
func (f *Feed) noteTally(s kvclient.StreamState) {
	same := f.lastTally.StreamState
	if same.At = s.At; same == s {
		return
	}
	if f.lastHeard().Sub(f.agingTally.at) >= advisoryDelay {
		f.oldTally, f.agingTally = f.agingTally, f.lastTally
	}
	f.lastTally = tally{s, f.now()}
}

// delays say how much later than usual something comes. The messages are dated by a clock that is
// not the gateway's, so that only differences between delays mean anything. The usual delay is the
// least of this period and the one before. It is learnt anew at each reset of the feed, so that a
// step of a clock is one reset and not many.
type delays struct {
	// least is the least delay of this period.
	least time.Duration
	// previous is the least delay of the period before.
	previous time.Duration
	// periodStart is when this period began; zero before the first delay.
	periodStart time.Time
}

// delaysPeriod is how long a period is.
const delaysPeriod = time.Minute

// unusual takes one more delay, of what came now, and returns by how much it exceeds the usual
// one.
func (d *delays) unusual(delay time.Duration, now time.Time) time.Duration {
	switch {
	case d.periodStart.IsZero():
		d.least, d.previous, d.periodStart = delay, delay, now
	case now.Sub(d.periodStart) >= delaysPeriod:
		d.least, d.previous, d.periodStart = delay, d.least, now
	}
	d.least = min(d.least, delay)
	return delay - min(d.least, d.previous)
}
