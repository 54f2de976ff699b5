package feed

import (
	"sync/atomic"
	"time"
)

// A crowd decides whether reads of single keys are worth a question to the leader that they share.
//
// Questions are a millisecond apart, and each costs as much as some direct gets. So a read that is
// alone, or among few, would wait for longer than NATS takes to answer it, and would save nothing.
// How many reads would share a question shows only when they do: where each is answered at once,
// few are under way at any moment, however many clients there are. So when some are under way at
// once, they are let share questions for a moment, as a trial. If many did, sharing goes on for as
// long as that is so. If not, the next trial comes later each time.
//
//	event                                 each goes to the leader     reads share
//	------------------------------------  --------------------------  -----------------------
//	a read that is alone                  it goes to the leader       it goes to the leader
//	a read beside trialBeside others, and a trial: they share for
//	it is time for a trial                trialFor                    it shares
//	crowdShares have shared a question    they share for crowdLasts   they go on for crowdLasts
//	that time is over                     -                           they stop
//
// Any goroutine may call its methods.
type crowd struct {
	// began is when the crowd was made. The times below are nanoseconds since then.
	began time.Time
	// readers counts the reads that are under way.
	readers atomic.Int64
	// shareUntil is until when reads share questions.
	shareUntil atomic.Int64
	// trialAt is when the next trial may begin.
	trialAt atomic.Int64
	// trialWait is how long after a trial another one may begin.
	trialWait atomic.Int64
}

const (
	// crowdShares is how many reads must share a question so that it is worth its while. With 32
	// connections sharing took as much of the processors as a read for each, and twice the time.
	crowdShares = 40
	// crowdLasts is for how long after such a question reads go on to share.
	crowdLasts = 20 * time.Millisecond
	// trialBeside is beside how many others a read begins a trial.
	trialBeside = 2
	// trialFor is how long a trial takes: the first question of a trial is sent at once for the
	// first read, and the second one a millisecond later for all that have come since.
	trialFor = 3 * time.Millisecond
	// minTrialWait and maxTrialWait bound how long after a trial another one may begin.
	minTrialWait, maxTrialWait = 10 * time.Millisecond, 500 * time.Millisecond
)

// newCrowd returns a crowd of nobody.
func newCrowd(now time.Time) *crowd { return &crowd{began: now} }

// enter counts a read, until it leaves, and reports whether it is to share a question.
func (c *crowd) enter(now time.Time) (shares bool) {
	others := c.readers.Add(1) - 1
	at := int64(now.Sub(c.began))
	if others == 0 || at < c.shareUntil.Load() {
		return others > 0
	}
	trialAt := c.trialAt.Load()
	if others < trialBeside || at < trialAt {
		return false
	}
	wait := max(c.trialWait.Load(), int64(minTrialWait))
	if !c.trialAt.CompareAndSwap(trialAt, at+wait) {
		return false // another read begins the trial at this moment
	}
	c.trialWait.Store(min(2*wait, int64(maxTrialWait)))
	c.shareUntil.Store(at + int64(trialFor))
	return true
}

// leave ends what enter began.
func (c *crowd) leave() { c.readers.Add(-1) }

// shared notes how many reads share a question that is about to be sent.
func (c *crowd) shared(reads int, now time.Time) {
	if reads >= crowdShares {
		c.trialWait.Store(0)
		c.shareUntil.Store(int64(now.Sub(c.began) + crowdLasts))
	}
}
