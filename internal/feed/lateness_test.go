package feed

import (
	"testing"
	"time"

	"kvgateway/internal/kv"
	"kvgateway/internal/kvclient"
)

// Where entries vanish by age, a step of a clock is one reset and not many.
func TestClockStepIsOneReset(t *testing.T) {
	clock := time.Unix(0, 0)
	s := streamAt(10, 1)
	s.Lifetime = time.Second
	f := feedAt(s)
	src := f.source
	f.now = func() time.Time { return clock }
	deliver := func(r kv.Revision, step time.Duration) verdict {
		e := entry("k", r, kv.Put)
		e.Created = clock.Add(-step)
		return src.deliver([]kv.Entry{e})
	}
	if v := deliver(12, 0); v.action != goOn {
		t.Fatal("a gap is a reset")
	}
	late := deliver(14, 5*time.Second)
	if late != doubtFor(ReasonHorizon) {
		t.Fatalf("late behind a gap: %+v", late)
	}
	_ = src.carryOut(late)
	s.Last = 14
	src.startAt(nil, s)
	if deliver(16, 5*time.Second).action != goOn || deliver(18, 5*time.Second).action != goOn {
		t.Error("a second reset for the same step")
	}
}

func TestDelaysAreComparedWithTwoPeriods(t *testing.T) {
	const usual = -5 * time.Second // the server's clock is ahead
	var d delays
	now := time.Unix(0, 0)
	for i, step := range []struct{ after, delay, beyond time.Duration }{
		{0, usual + time.Second, 0},
		{0, usual, 0},
		{time.Second, usual + time.Second, time.Second},
		{delaysPeriod, usual + time.Second, time.Second},
		{0, usual + 2*time.Second, 2 * time.Second},
		{delaysPeriod, usual + 2*time.Second, time.Second},
		{delaysPeriod, usual + 2*time.Second, 0},
	} {
		now = now.Add(step.after)
		if got := d.unusual(step.delay, now); got != step.beyond {
			t.Errorf("step %d: %v beyond what is usual, want %v", i, got, step.beyond)
		}
	}
}

// A message that is stored and is not delivered is overdue, unless another one was delivered, or
// the source has just been started.
func TestOverdueMessageEndsTheSource(t *testing.T) {
	clock := time.Unix(0, 0)
	f := feedAt(streamAt(10, 0))
	src := f.source
	f.now = func() time.Time { return clock }
	late := func(revision kv.Revision, after time.Duration) bool {
		clock = clock.Add(after)
		return src.audit.noteOverdue(revision, clock)
	}
	const most = overdueTime - time.Millisecond
	for i, step := range []struct {
		revision kv.Revision
		after    time.Duration
		late     bool
	}{
		{10, 0, false},
		{10, most, false},
		{11, most, false},
		{11, most, false},
		{11, time.Millisecond, true},
		{11, 0, true},
	} {
		if late(step.revision, step.after) != step.late {
			t.Errorf("step %d: late %v", i, !step.late)
		}
	}
	src.startAt(nil, streamAt(12, 0))
	if late(11, 0) {
		t.Error("late at once after a start")
	}
}

// The time in which a stream had nothing to deliver begins with its last message. It must not be
// added to the time of an answer that came meanwhile, or what is skipped next looks young.
func TestIdleTimeIsNotCountedFromAnAnswer(t *testing.T) {
	t.Parallel()
	began := time.Unix(1_000_000, 0)
	at := func(after time.Duration) kvclient.StreamState {
		s := streamAt(10, 1)
		s.At, s.Lifetime = began.Add(after), time.Second
		return s
	}
	clock := began
	f := newFeed(newHub(Options{}.withDefaults()), bucketB)
	src := f.source
	f.now = func() time.Time { return clock }
	src.startAt(nil, at(0))
	if _, err := src.compareAnswer(src.newQuestion(), at(time.Minute)); err != nil {
		t.Fatal(err)
	}
	clock = began.Add(time.Minute + 3*time.Second)
	late := entry("k", 12, kv.Put) // 11 was skipped
	late.Created = clock
	src.audit.noteIdle(time.Minute)
	found := src.deliver([]kv.Entry{late})
	if found != doubtFor(ReasonHorizon) {
		t.Error("what was skipped may be 3 s old, and a marker lives for 1 s")
	}
}
