package feed

import (
	"time"

	"kvgateway/internal/kv"
)

// This file judges when what is stored comes, and how old what never came may have been.

// overdueTime is how long what is stored may take to come.
const overdueTime = 5 * time.Second

// noteEntry notes when an entry was stored, which has come behind that revision, and judges
// the gap before it, if there is one. lifetime is the journal's.
//
// Where entries vanish by age, what was skipped may have been a marker that vanished before it was
// read: nobody is told of what ends by age. A marker can have one second to live, or what max_age
// gives it. So if something comes with a gap before it, and what was skipped there may be older
// than 0.9 of that time (ageOfSkipped), the log begins anew (TestMarkerThatExpiresUnreadIsAReset).
// An answer that takes that long while much is overwritten is a reset, too.
func (a *audit) noteEntry(
	e *kv.Entry, revision kv.Revision, lifetime time.Duration, now time.Time,
) (v verdict) {
	late := a.delays.unusual(now.Sub(e.Created), now)
	skipped := e.Revision != revision+1
	if skipped && lifetime > 0 && a.ageOfSkipped(e, late) > lifetime*9/10 {
		v = doubtFor(ReasonHorizon)
	}
	a.caughtUpAt, a.deliveredAt = e.Created, e.Created
	a.anchor = anchor{e.Revision, e.Created}
	return v
}

// noteIdle notes that after the last delivery there was nothing to deliver for some time.
func (a *audit) noteIdle(idle time.Duration) { a.noteCaughtUp(a.deliveredAt.Add(idle)) }

// noteCaughtUp notes a time, by the server's clock, at which nothing was stored beyond the
// position.
func (a *audit) noteCaughtUp(at time.Time) {
	if at.After(a.caughtUpAt) {
		a.caughtUpAt = at
	}
}

// ageOfSkipped returns how old what was skipped before an entry may have been when the entry was
// read, later than usual by the time late; see [delays] for what is usual. What was skipped was
// stored before the entry, and after caughtUpAt.
//
// How late the entry is does not suffice. While the connection stands still a marker can be stored
// and vanish, and what hides it may be stored last and come in time
// (TestMarkerThatExpiresDuringAStallIsNoticed). The bound has its limits: a feed for which
// everything is always that late would not notice.
func (a *audit) ageOfSkipped(e *kv.Entry, late time.Duration) time.Duration {
	if a.caughtUpAt.IsZero() {
		return late
	}
	return late + max(0, e.Created.Sub(a.caughtUpAt))
}

// noteOverdue notes that something is stored beyond the revision that has yet to come, and reports
// whether that takes too long.
//
// A consumer that sends its heartbeats may still deliver nothing: one that is paused, or one on a
// replica that is behind. So where the leader has more and nothing comes for overdueTime, the
// source counts as lost and a new consumer is made (TestSilentConsumerIsReplaced).
func (a *audit) noteOverdue(revision kv.Revision, now time.Time) (tooLate bool) {
	if a.overdueSince.IsZero() || a.overdueAt != revision {
		a.overdueAt, a.overdueSince = revision, now
	}
	return now.Sub(a.overdueSince) >= overdueTime
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

// unusual counts one more delay, of what came now, and returns by how much it exceeds the usual
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
