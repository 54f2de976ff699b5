package feed

import (
	"errors"
	"testing"
	"time"

	"kvgateway/internal/kv"
	"kvgateway/internal/kvclient"
)

// After advisories were missed, the stream must add up to the message, compared with a tally that
// was old enough by then.
func TestLogGoesOnOnlyIfTheCountsAddUp(t *testing.T) {
	const long, short = 2 * advisoryDelay, advisoryDelay / 2
	for name, tc := range map[string]struct {
		// counted is the tally that follows the first one, streamAt(10, 1).
		counted kvclient.StreamState
		// before is how long after it advisories began to be missed.
		before time.Duration
		// now is what the stream is when the source is back.
		now  kvclient.StreamState
		want bool
	}{
		"nothing happened":                       {streamAt(10, 1), long, streamAt(10, 1), true},
		"only new keys":                          {streamAt(12, 1), long, streamAt(15, 1), true},
		"a removal was taken back":               {streamAt(12, 1), short, streamAt(15, 0), false},
		"one less":                               {streamAt(12, 1), long, streamAt(15, 2), false},
		"one less, one more":                     {streamAt(12, 1), long, streamAt(12, 2), false},
		"counted just before, and nothing since": {streamAt(12, 1), short, streamAt(12, 1), true},
		"counted just before, and less by then":  {streamAt(12, 2), short, streamAt(12, 2), false},
		"counted long before, and less by then":  {streamAt(12, 2), long, streamAt(12, 2), true},
	} {
		t.Run(name, func(t *testing.T) {
			clock := time.Unix(0, 0)
			f := feedAt(streamAt(10, 1))
			src := f.source
			f.now = func() time.Time { return clock }
			src.lastHeard = f.now
			src.audit.tallies.last.at, src.audit.tallies.aging.at = clock, clock
			clock = clock.Add(long)
			src.audit.tallies.note(tc.counted, src.lastHeard(), f.now())
			clock = clock.Add(tc.before)
			src.audit.noteMissed(clock)
			clock = clock.Add(long) // however long it takes to be back
			got, reset := src.judgeLoss(tc.now, time.Time{}) == nil, src.audit.dueReset
			if got != tc.want || got == (reset != "") {
				t.Errorf("trusted %v, reset for %q; want %v", got, reset, tc.want)
			}
		})
	}
}

// If the stream holds every message that it was given, and did so when it was counted last, the
// tally need not be old.
func TestStreamWithEveryMessageNeedsNoOldTally(t *testing.T) {
	for missing, want := range map[uint64]bool{0: true, 1: false} {
		src := feedAt(streamAt(10, 0)).source
		src.audit.noteMissed(src.audit.tallies.last.at)
		if got := src.judgeLoss(streamAt(15, missing), time.Time{}) == nil; got != want {
			t.Errorf("trusted %v with %d missing", got, missing)
		}
	}
}

// Writers that never rest do not keep tallies from growing old, and a young tally is not used.
func TestTalliesGrowOldBesideBusyWriters(t *testing.T) {
	clock := time.Unix(0, 0)
	f := feedAt(streamAt(10, 1))
	src := f.source
	f.now = func() time.Time { return clock }
	src.lastHeard = f.now
	src.audit.tallies.last.at, src.audit.tallies.aging.at = clock, clock
	for last := kv.Revision(11); last < 100; last++ {
		clock = clock.Add(advisoryDelay / 3)
		src.audit.tallies.note(streamAt(last, uint64(last/80)), clock, clock) // one purge, reported
	}
	src.audit.noteMissed(src.lastHeard())
	if src.judgeLoss(streamAt(100, 1), time.Time{}) != nil {
		t.Errorf("reset for %s, %v after the first tally; the old one is %+v",
			src.audit.dueReset, clock, src.audit.tallies.old)
	}
	for last := kv.Revision(100); last < 103; last++ {
		clock = clock.Add(advisoryDelay / 3)
		src.audit.tallies.note(streamAt(last, 2), clock, clock) // one purge more, to be reported
	}
	src.audit.noteMissed(src.lastHeard())
	if src.judgeLoss(streamAt(103, 2), time.Time{}) == nil {
		t.Errorf("trusted, though %+v is young", src.audit.tallies.old)
	}
}

// Tallies that were made while the source was silent already do not count: a purge in that time
// was reported to nobody.
func TestTalliesDuringSilenceDoNotCount(t *testing.T) {
	clock := time.Unix(0, 0)
	f := feedAt(streamAt(10, 1))
	src := f.source
	f.now = func() time.Time { return clock }
	src.audit.tallies.last.at, src.audit.tallies.aging.at = clock, clock
	clock = clock.Add(2 * advisoryDelay)
	heard := clock
	src.lastHeard = func() time.Time { return heard }
	for last := range kv.Revision(3) {
		clock = clock.Add(2 * advisoryDelay)
		src.audit.tallies.note(streamAt(11+last, 2), src.lastHeard(), f.now())
	}
	src.audit.noteMissed(src.lastHeard())
	now := streamAt(14, 2)
	if src.judgeLoss(now, time.Time{}) == nil || src.audit.dueReset != ReasonHorizon {
		t.Errorf("%+v is trusted; reset for %q", now, src.audit.dueReset)
	}
}

// Where no advisory comes, the number of messages shows a purge. What was reported is not missing,
// and an advisory may come late.
func TestCountsShowAPurgeWithoutAdvisories(t *testing.T) {
	f := feedAt(streamAt(10, 1))
	src := f.source
	a := &src.audit
	f.journal.harmlessPurges.messages = 1
	if err := src.compareCounts(streamAt(10, 2)); err != nil || a.unexplained != nil {
		t.Errorf("a purge that was reported: %v, missing %v", err, a.unexplained)
	}
	if err := src.compareCounts(streamAt(12, 5)); err != nil || a.unexplained != nil {
		t.Errorf("with new messages nothing can be said: %v, missing %v", err, a.unexplained)
	}
	fewer := streamAt(14, 6)
	a.tallies.last.Subjects, fewer.Subjects = 3, 2
	f.journal.harmlessPurges.keys = 1
	if err := src.compareCounts(fewer); err != nil || a.unexplained != nil {
		t.Errorf("a key whose purge was reported: %v, missing %v", err, a.unexplained)
	}
	a.tallies.last.Subjects, fewer.Subjects = 2, 1
	if err := src.compareCounts(fewer); err != nil || a.unexplained == nil {
		t.Errorf("one key less, though there are new messages: %v, missing %v", err, a.unexplained)
	}
	a.unexplained = nil
	a.tallies.note(streamAt(12, 5), src.lastHeard(), f.now())
	if err := src.compareCounts(streamAt(12, 6)); err != nil || a.unexplained == nil {
		t.Errorf("one message less, for the first time: %v, missing %v", err, a.unexplained)
	}
	err := src.compareCounts(streamAt(12, 6))
	if !errors.Is(err, errRestart) || a.dueReset != ReasonPurged {
		t.Errorf("one message less, and nobody has reported why: %v, reset for %q", err, a.dueReset)
	}
	if _, exact := f.where(); exact {
		t.Error("a position is exact, though a purge was missed")
	}
}

// If the newest message that is known was stored at another time, it is another message: the
// stream has a new history from some revision on.
func TestAnchorOfAnotherHistoryIsNotTrusted(t *testing.T) {
	now := time.Unix(0, 0)
	for name, tc := range map[string]struct {
		last   kv.Revision
		stored time.Time
		want   bool
	}{
		"the same":                     {12, now, true},
		"another":                      {12, now.Add(time.Second), false},
		"gone":                         {12, time.Time{}, false},
		"gone, and nothing came since": {11, time.Time{}, true},
		"another, of a whole history":  {13, now.Add(time.Second), false},
	} {
		src := feedAt(streamAt(10, 1)).source
		e := entry("k", 11, kv.Put)
		e.Created = now
		src.deliver([]kv.Entry{e})
		src.audit.noteMissed(src.audit.tallies.last.at.Add(2 * advisoryDelay))
		state := streamAt(tc.last, 1)
		if tc.last == 13 {
			state = streamAt(tc.last, 0)
		}
		state.LastTime = now
		if got := src.judgeLoss(state, tc.stored) == nil; got != tc.want {
			t.Errorf("%s: trusted %v", name, got)
		}
	}
}

// A crash can take back the message for which another one was skipped, and the removal of the
// other one with it. Then the stream has everything that it was given, and the feed lacks some of
// it.
func TestFeedThatSkippedSomeDoesNotGoOn(t *testing.T) {
	t.Parallel()
	for name, came := range map[string]bool{
		"the successor came": true, "it has yet to come": false,
	} {
		f := feedAt(streamAt(10, 0))
		src := f.source
		now := time.Unix(100, 0)
		f.now = func() time.Time { return now }
		src.audit.tallies.last.at = time.Unix(10, 0)
		src.deliver([]kv.Entry{entryStored("l", 12, 12)}) // 11 is gone; 13 has its key
		after := streamAt(12, 0)
		if came {
			q := src.newQuestion()
			src.deliver([]kv.Entry{entryStored("k", 13, 13)})
			if _, err := src.compareAnswer(q, streamAt(13, 1)); err != nil {
				t.Fatal(err)
			}
			after = streamAt(13, 0)
		}
		src.audit.noteMissed(time.Unix(50, 0))
		if got := src.judgeLoss(after, src.audit.anchor.stored) == nil; got != came {
			t.Errorf("%s: the log goes on: %v", name, got)
		}
	}
}
