package feed

import (
	"testing"
	"time"
)

// enterAll lets so many reads enter, and returns how many of them are to share a question.
func enterAll(c *crowd, reads int, now time.Time) (share int) {
	for range reads {
		if c.enter(now) {
			share++
		}
	}
	return share
}

// leaveAll lets so many reads leave.
func leaveAll(c *crowd, reads int) {
	for range reads {
		c.leave()
	}
}

// A read that is alone is answered by the leader, also in the middle of a crowd's time.
func TestReadThatIsAloneSharesNothing(t *testing.T) {
	now := time.Unix(1, 0)
	c := newCrowd(now)
	c.shared(1000, now)
	if c.enter(now) {
		t.Error("a read waits for others though it is alone")
	}
	if !c.enter(now) {
		t.Error("the second read does not share, though a thousand did a moment ago")
	}
}

// Some reads at once are let share questions as a trial. If many do they go on to share, and stop
// soon after they have become few.
func TestCrowdSharesAfterATrial(t *testing.T) {
	now := time.Unix(1, 0)
	c := newCrowd(now)
	if n := enterAll(c, trialBeside, now); n > 0 {
		t.Errorf("%d of %d reads share", n, trialBeside)
	}
	if n := enterAll(c, 10, now); n != 10 {
		t.Errorf("%d of 10 more reads share", n)
	}
	for range 10 {
		c.shared(crowdShares, now)
		now = now.Add(crowdLasts - 1)
		if !c.enter(now) {
			t.Fatal("a read does not share, though many do")
		}
	}
	c.shared(crowdShares-1, now)
	now = now.Add(1)
	c.trialAt.Store(int64(time.Hour))
	if c.enter(now) {
		t.Error("reads share, though few do")
	}
}

// Where few share, trials become rare. So beside a handful of clients hardly any read waits for a
// question.
func TestTrialsThatFailBecomeRare(t *testing.T) {
	now := time.Unix(1, 0)
	c := newCrowd(now)
	trials, shared := 0, 0
	for began := now; now.Sub(began) < 10*time.Second; now = now.Add(100 * time.Microsecond) {
		before := c.trialAt.Load()
		shared += enterAll(c, trialBeside+1, now)
		leaveAll(c, trialBeside+1)
		if c.trialAt.Load() != before {
			trials++
		}
	}
	if trials < 15 || trials > 30 {
		t.Errorf("%d trials in 10 s", trials)
	}
	if all := 10 * 10000 * (trialBeside + 1); shared*100 > all {
		t.Errorf("%d of %d reads have shared", shared, all)
	}
}
