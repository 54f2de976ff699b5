package feed

import (
	"errors"
	"slices"
	"testing"
	"time"

	"kvgateway/internal/kv"
	"kvgateway/internal/kvclient"
)

// feedAt returns a feed whose source has started and found the stream in that state. It has no hub
// with a client, so that only decisions can be made.
func feedAt(s kvclient.StreamState) *Feed {
	f := newFeed(newHub(Options{}.withDefaults()), bucketB)
	f.startAt(nil, s)
	return f
}

// bucketB is the name of the bucket of such feeds.
var bucketB, _ = kv.ParseBucketName("b")

// streamAt is a stream with revisions up to last, of which so many are gone.
func streamAt(last kv.Revision, gone uint64) kvclient.StreamState {
	return kvclient.StreamState{Epoch: "a", First: 1, Last: last, Messages: uint64(last) - gone}
}

// entry is a message of the stream "a".
func entry(key string, r kv.Revision, o kv.Operation) kv.Entry {
	position := kv.Position{Epoch: "a", Revision: r}
	return kv.Entry{Key: key, Operation: o, Position: position}
}

// wantVouched compares at which points a feed lets a subscription resume that brings no era.
func wantVouched(t *testing.T, f *Feed, points map[kv.Revision]bool) {
	t.Helper()
	for point, want := range points {
		if got := f.journal.vouches(point, "", f.now()); got != want {
			t.Errorf("point %d is accepted: %v, want %v", point, got, want)
		}
	}
}

func TestPointIsTakenOnlyIfItsHistoryIsProved(t *testing.T) {
	t.Run("nothing was ever removed", func(t *testing.T) {
		f := feedAt(streamAt(10, 0))
		wantVouched(t, f, map[kv.Revision]bool{0: true, 3: true, 10: true})
	})
	t.Run("something was removed", func(t *testing.T) {
		f := feedAt(streamAt(10, 1))
		f.take([]kv.Entry{entry("k", 11, kv.Put)})
		wantVouched(t, f, map[kv.Revision]bool{9: false, 11: true})
	})
	t.Run("where the feed began", func(t *testing.T) {
		f := feedAt(streamAt(10, 1))
		wantVouched(t, f, map[kv.Revision]bool{9: false, 10: false})
		era := f.journal.era
		if !f.journal.vouches(10, era, f.now()) || f.journal.vouches(9, era, f.now()) {
			t.Error("the feed does not accept what it gave out itself")
		}
	})
	t.Run("from before a purge", func(t *testing.T) {
		f := feedAt(streamAt(10, 1))
		era := f.journal.era
		f.audit.resetFor = ReasonPurged
		f.startAt(nil, streamAt(10, 2))
		wantVouched(t, f, map[kv.Revision]bool{10: false})
		if f.journal.vouches(10, era, f.now()) || !f.journal.vouches(10, f.journal.era, f.now()) {
			t.Error("the feed does not distinguish its eras")
		}
	})
	t.Run("from after a removal that was undone since", func(t *testing.T) {
		f := feedAt(streamAt(10, 0)) // the stream is whole again
		for era, want := range map[string]bool{
			"aaaa": false, wholeEra: true, newEra(true): true, f.journal.era: true,
		} {
			if got := f.journal.vouches(10, era, f.now()); got != want {
				t.Errorf("a point of the era %s is accepted: %v, want %v", era, got, want)
			}
		}
	})
	t.Run("from another gateway, which may lag", func(t *testing.T) {
		clock := time.Unix(0, 0)
		f := newFeed(newHub(Options{}.withDefaults()), bucketB)
		f.now = func() time.Time { return clock }
		f.startAt(nil, streamAt(10, 1))
		f.take([]kv.Entry{entry("k", 11, kv.Put)})
		clock = clock.Add(noticeTime - time.Millisecond)
		if f.journal.vouches(11, "aaaa", f.now()) {
			t.Error("accepted from a gateway that may not have noticed a purge")
		}
		clock = clock.Add(time.Millisecond)
		f.take([]kv.Entry{entry("k", 12, kv.Put)})
		if f.journal.vouches(11, "aaaa", f.now()) || !f.journal.vouches(12, "aaaa", f.now()) {
			t.Error("not accepted exactly from where every gateway has noticed the purge")
		}
		if !f.journal.vouches(11, f.journal.era, f.now()) || !f.journal.vouches(11, "", f.now()) {
			t.Error("not accepted from this gateway, or from the stream")
		}
	})
	t.Run("at what the stream has lost", func(t *testing.T) {
		f := feedAt(streamAt(10, 0))
		f.take([]kv.Entry{entry("k", 11, kv.Put), entry("k", 12, kv.Put)})
		f.startAt(nil, streamAt(10, 0)) // the server came back without its last two messages
		f.take([]kv.Entry{
			entry("k", 11, kv.Put), entry("k", 12, kv.Put),
			entry("k", 13, kv.Put),
		})
		wantVouched(t, f, map[kv.Revision]bool{11: false, 12: false, 13: true})
	})
}

// Points that a reset has voided stay void through the next reset.
func TestPointsStayVoidThroughResets(t *testing.T) {
	f := feedAt(streamAt(10, 0))
	f.take([]kv.Entry{entry("k", 11, kv.Put), entry("k", 12, kv.Put)})
	f.startAt(nil, streamAt(10, 0)) // the stream has lost two messages
	f.audit.resetFor = ReasonPurged
	f.startAt(nil, streamAt(10, 1))
	f.take([]kv.Entry{
		entry("k", 11, kv.Put), entry("k", 12, kv.Put), entry("k", 13, kv.Put),
	})
	wantVouched(t, f, map[kv.Revision]bool{11: false, 12: false, 13: true})
}

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
			f.now = func() time.Time { return clock }
			f.lastHeard = f.now
			f.audit.lastTally.at, f.audit.agingTally.at = clock, clock
			clock = clock.Add(long)
			f.audit.noteTally(tc.counted, f.lastHeard(), f.now())
			clock = clock.Add(tc.before)
			f.audit.noteMissed(clock)
			clock = clock.Add(long) // however long it takes to be back
			got, reset := f.judgeLoss(tc.now, time.Time{}) == nil, f.audit.resetFor
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
		f := feedAt(streamAt(10, 0))
		f.audit.noteMissed(f.audit.lastTally.at)
		if got := f.judgeLoss(streamAt(15, missing), time.Time{}) == nil; got != want {
			t.Errorf("trusted %v with %d missing", got, missing)
		}
	}
}

// The purge of a key is harmless only if the feed has read a marker as its last entry.
func TestPurgeIsHarmlessOnlyOverAMarkerThatWasRead(t *testing.T) {
	f := feedAt(streamAt(0, 0))
	f.take([]kv.Entry{
		entry("value", 1, kv.Put), entry("deleted", 2, kv.Delete),
		entry("again", 3, kv.Delete), entry("again", 4, kv.Put),
		entry("unseen", 5, kv.Delete),
	})
	value := entry("unseen", 6, kv.Put)
	// A snapshot has this value, which is overwritten before the feed reads it.
	f.journal.dropRevivedMarkers([]*Change{{Entry: value}})
	old := entry("deleted", 1, kv.Put)
	f.journal.dropRevivedMarkers([]*Change{{Entry: old}}) // this value is older than the marker
	for key, want := range map[string]bool{
		"value": false, "deleted": true, "again": false, "unseen": false, "never": false,
	} {
		if got := f.journal.acceptPurge(kvclient.Advisory{Key: key}); got != want {
			t.Errorf("%s: accepted %v, want %v", key, got, want)
		}
	}
	if f.journal.storeHorizon != 2 {
		t.Errorf("the store horizon is %d, want 2", f.journal.storeHorizon)
	}
}

// When the markers become too many to remember, the store cannot tell any more what happened
// before.
func TestForgottenMarkersRaiseTheStoreHorizon(t *testing.T) {
	f := feedAt(streamAt(0, 0))
	for r := range kv.Revision(maxMarkers + 1) {
		f.take([]kv.Entry{entry("k"+r.String(), r+1, kv.Delete)})
	}
	if len(f.journal.markers) > maxMarkers || f.journal.storeHorizon != maxMarkers+1 {
		t.Errorf("%d markers, the store horizon is %d",
			len(f.journal.markers), f.journal.storeHorizon)
	}
}

// Whatever the source was lost with, advisories may have been lost too, from the time on at which
// the source was last heard.
func TestAdvisoriesMayBeMissedSinceTheSourceWasLastHeard(t *testing.T) {
	heard := time.Unix(1, 0)
	f := feedAt(streamAt(1, 0))
	f.lastHeard = func() time.Time { return heard }
	if f.noteSourceLost(kv.ErrTimeout); !f.audit.missedSince.Equal(heard) {
		t.Errorf("missed since %v", f.audit.missedSince)
	}
}

// A purge that is reported while there is no source is not forgotten, although the stream was
// counted between the purge and its advisory.
func TestPurgeReportedDuringThePauseIsAReset(t *testing.T) {
	f := feedAt(streamAt(10, 1))
	f.take([]kv.Entry{entry("k", 11, kv.Put)})
	if _, err := f.compareAnswer(f.newQuestion(), streamAt(11, 2)); err != nil {
		t.Fatal(err)
	}
	f.postAdvisory(kvclient.Advisory{Kind: kvclient.StreamPurged, Key: "v", Purged: 1})
	if !f.pauseForRetry(t.Context(), time.Hour) || f.audit.resetFor != ReasonPurged {
		t.Errorf("reset for %q", f.audit.resetFor)
	}
}

// Writers that never rest do not keep tallies from growing old, and a young tally is not used.
func TestTalliesGrowOldBesideBusyWriters(t *testing.T) {
	clock := time.Unix(0, 0)
	f := feedAt(streamAt(10, 1))
	f.now = func() time.Time { return clock }
	f.lastHeard = f.now
	f.audit.lastTally.at, f.audit.agingTally.at = clock, clock
	for last := kv.Revision(11); last < 100; last++ {
		clock = clock.Add(advisoryDelay / 3)
		f.audit.noteTally(streamAt(last, uint64(last/80)), clock, clock) // one purge, reported
	}
	f.audit.noteMissed(f.lastHeard())
	if f.judgeLoss(streamAt(100, 1), time.Time{}) != nil {
		t.Errorf("reset for %s, %v after the first tally; the old one is %+v",
			f.audit.resetFor, clock, f.audit.oldTally)
	}
	for last := kv.Revision(100); last < 103; last++ {
		clock = clock.Add(advisoryDelay / 3)
		f.audit.noteTally(streamAt(last, 2), clock, clock) // one purge more, to be reported
	}
	f.audit.noteMissed(f.lastHeard())
	if f.judgeLoss(streamAt(103, 2), time.Time{}) == nil {
		t.Errorf("trusted, though %+v is young", f.audit.oldTally)
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
		f := feedAt(streamAt(10, 1))
		e := entry("k", 11, kv.Put)
		e.Created = now
		f.take([]kv.Entry{e})
		f.audit.noteMissed(f.audit.lastTally.at.Add(2 * advisoryDelay))
		state := streamAt(tc.last, 1)
		if tc.last == 13 {
			state = streamAt(tc.last, 0)
		}
		state.LastTime = now
		if got := f.judgeLoss(state, tc.stored) == nil; got != tc.want {
			t.Errorf("%s: trusted %v", name, got)
		}
	}
}

// The advisory of a deletion can come when the next bucket of that name is there already. A bucket
// that is restored can have the epoch of the deleted one, and be there before the feed has missed
// it.
func TestDeletionOfAnEarlierStreamIsIgnored(t *testing.T) {
	created := time.Unix(100, 0)
	for name, tc := range map[string]struct {
		at   time.Time
		want string
	}{
		"this one":       {created.Add(time.Second), ReasonHorizon},
		"the one before": {created.Add(-time.Second), ""},
	} {
		s := streamAt(10, 0)
		s.Created = created
		f := feedAt(s)
		err := f.handleAdvisory(kvclient.Advisory{Kind: kvclient.StreamDeleted, At: tc.at})
		if !errors.Is(err, errRestart) || f.audit.resetFor != tc.want {
			t.Errorf("%s: %v, reset for %q", name, err, f.audit.resetFor)
		}
	}
}

// Settings can be changed and changed back before the feed looks, with all that vanished
// meanwhile.
func TestTermsThatWereChangedBackAreAReset(t *testing.T) {
	asked := time.Unix(100, 0)
	mine, other := kv.Terms{MaxAge: time.Hour}, kv.Terms{MaxAge: time.Second}
	for name, tc := range map[string]struct {
		terms *kv.Terms
		after time.Duration // the start of the source
		want  string
	}{
		"others":          {&other, time.Second, ReasonConfig},
		"before it began": {&other, -time.Second, ""},
		"the same":        {&mine, time.Second, ""},
		"unknown":         {nil, time.Second, ""},
	} {
		s := streamAt(10, 0)
		s.At, s.Terms = asked, mine
		s.Terms.Subjects = "$KV.b."
		f := feedAt(s)
		told := kvclient.Advisory{
			Kind: kvclient.StreamUpdated, Terms: tc.terms, At: asked.Add(tc.after),
		}
		err := f.handleAdvisory(told)
		if !errors.Is(err, errRestart) || f.audit.resetFor != tc.want {
			t.Errorf("%s: %v, reset for %q, want %q", name, err, f.audit.resetFor, tc.want)
		}
	}
}

// When advisories were dropped, the source starts anew and compares the stream.
func TestDroppedAdvisoriesRestartTheSource(t *testing.T) {
	f := feedAt(streamAt(10, 0))
	err := f.handleAdvisory(kvclient.Advisory{Kind: kvclient.AdvisoriesMissed})
	if !errors.Is(err, errRestart) {
		t.Errorf("%v", err)
	}
}

// A bucket that was missing and is back with its epoch was restored, and may lack some of what was
// read.
func TestBucketBackWithItsEpochIsAReset(t *testing.T) {
	f := feedAt(streamAt(10, 0))
	f.noteSourceLost(kv.ErrBucketNotFound)
	if _, begun := f.startAt(nil, streamAt(10, 0)); !begun || f.journal.lastReset != ReasonHorizon {
		t.Errorf("begun %v, reset for %q", begun, f.journal.lastReset)
	}
}

// An id is not ahead if the feed has read as much, though a new leader may know less for a moment.
func TestIDIsAheadOnlyBeyondWhatTheFeedHasRead(t *testing.T) {
	for point, want := range map[kv.Revision]string{10: "", 11: ReasonAhead} {
		f := feedAt(streamAt(10, 0))
		resume := &Point{Position: kv.Position{Epoch: "a", Revision: point}}
		s := &Subscription{
			feed: f, options: SubscribeOptions{Resume: resume},
			wake: WakeByToken(make(chan struct{}, 1)), folds: true,
		}
		if s.decide(streamAt(9, 0), unproved); owedReset(s) != want {
			t.Errorf("%d: reset for %q, want %q", point, owedReset(s), want)
		}
	}
}

// Where entries vanish by age, a step of a clock is one reset and not many.
func TestClockStepIsOneReset(t *testing.T) {
	clock := time.Unix(0, 0)
	s := streamAt(10, 1)
	s.Lifetime = time.Second
	f := feedAt(s)
	f.now = func() time.Time { return clock }
	take := func(r kv.Revision, step time.Duration) verdict {
		e := entry("k", r, kv.Put)
		e.Created = clock.Add(-step)
		return f.take([]kv.Entry{e})
	}
	if v := take(12, 0); v.action != goOn {
		t.Fatal("a gap is a reset")
	}
	late := take(14, 5*time.Second)
	if late != resetFor(ReasonHorizon) {
		t.Fatalf("late behind a gap: %+v", late)
	}
	_ = f.carryOut(late)
	s.Last = 14
	f.startAt(nil, s)
	if take(16, 5*time.Second).action != goOn || take(18, 5*time.Second).action != goOn {
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

// Tallies that were made while the source was silent already do not count: a purge in that time
// was reported to nobody.
func TestTalliesDuringSilenceDoNotCount(t *testing.T) {
	clock := time.Unix(0, 0)
	f := feedAt(streamAt(10, 1))
	f.now = func() time.Time { return clock }
	f.audit.lastTally.at, f.audit.agingTally.at = clock, clock
	clock = clock.Add(2 * advisoryDelay)
	heard := clock
	f.lastHeard = func() time.Time { return heard }
	for last := range kv.Revision(3) {
		clock = clock.Add(2 * advisoryDelay)
		f.audit.noteTally(streamAt(11+last, 2), f.lastHeard(), f.now())
	}
	f.audit.noteMissed(f.lastHeard())
	now := streamAt(14, 2)
	if f.judgeLoss(now, time.Time{}) == nil || f.audit.resetFor != ReasonHorizon {
		t.Errorf("%+v is trusted; reset for %q", now, f.audit.resetFor)
	}
}

// Where no advisory comes, the number of messages shows a purge. What was reported is not missing,
// and an advisory may come late.
func TestCountsShowAPurgeWithoutAdvisories(t *testing.T) {
	f := feedAt(streamAt(10, 1))
	a := &f.audit
	f.journal.harmlessPurges.messages = 1
	if err := f.compareCounts(streamAt(10, 2)); err != nil || a.unexplained != nil {
		t.Errorf("a purge that was reported: %v, missing %v", err, a.unexplained)
	}
	if err := f.compareCounts(streamAt(12, 5)); err != nil || a.unexplained != nil {
		t.Errorf("with new messages nothing can be said: %v, missing %v", err, a.unexplained)
	}
	fewer := streamAt(14, 6)
	a.lastTally.Subjects, fewer.Subjects = 3, 2
	f.journal.harmlessPurges.keys = 1
	if err := f.compareCounts(fewer); err != nil || a.unexplained != nil {
		t.Errorf("a key whose purge was reported: %v, missing %v", err, a.unexplained)
	}
	a.lastTally.Subjects, fewer.Subjects = 2, 1
	if err := f.compareCounts(fewer); err != nil || a.unexplained == nil {
		t.Errorf("one key less, though there are new messages: %v, missing %v", err, a.unexplained)
	}
	a.unexplained = nil
	a.noteTally(streamAt(12, 5), f.lastHeard(), f.now())
	if err := f.compareCounts(streamAt(12, 6)); err != nil || a.unexplained == nil {
		t.Errorf("one message less, for the first time: %v, missing %v", err, a.unexplained)
	}
	err := f.compareCounts(streamAt(12, 6))
	if !errors.Is(err, errRestart) || a.resetFor != ReasonPurged {
		t.Errorf("one message less, and nobody has reported why: %v, reset for %q", err, a.resetFor)
	}
	if _, exact := f.where(); exact {
		t.Error("a position is exact, though a purge was missed")
	}
}

// A subscription that comes back for a missing bucket is reset when the feed finds the bucket,
// also if that happens before the subscription was told that it is missing. Otherwise it waited
// for ever.
func TestBucketFoundBeforeItIsToldMissingIsAReset(t *testing.T) {
	for name, options := range map[string]SubscribeOptions{
		"known point":   {Resume: &Point{Position: kv.Position{Epoch: "b", Revision: 1}}},
		"unknown point": {UnknownPoint: true, UpdatesOnly: true},
	} {
		t.Run(name, func(t *testing.T) {
			bucket, _ := kv.ParseBucketName("b")
			f := newFeed(newHub(Options{}.withDefaults()), bucket)
			f.setState(missing, kv.ErrBucketNotFound)
			s := &Subscription{
				feed: f, options: options, wake: WakeByToken(make(chan struct{}, 1)),
				keys: -1, folds: true,
			}
			f.mu.Lock()
			s.attach(true)
			f.mu.Unlock()
			f.startAt(nil, streamAt(1, 0))
			f.setState(live, nil)
			events, _ := s.poll(nil, 10)
			reset := len(events) == 1 && events[0].Kind == Reset && events[0].Reason == ReasonEpoch
			if !reset || s.state != inReading {
				t.Errorf("told %+v, in state %d", events, s.state)
			}
		})
	}
}

// A subscription that comes back for a missing bucket before the source knows that it is missing
// is told nothing until the source has looked. The source may find that the bucket is there after
// all: a server that has just started does not know of every stream yet.
func TestAbsenceIsToldOnlyOnceTheSourceHasLooked(t *testing.T) {
	t.Parallel()
	arrive := func() (*Feed, *Subscription, chan struct{}) {
		f := feedAt(streamAt(1, 0))
		f.setState(live, nil)
		wake := make(chan struct{}, 1)
		point := &Point{Position: kv.Position{Epoch: "a", Revision: 1}}
		options := SubscribeOptions{Resume: point}
		s := &Subscription{
			feed: f, options: options, wake: WakeByToken(wake), keys: -1, folds: true,
		}
		f.mu.Lock()
		s.attach(true)
		f.mu.Unlock()
		return f, s, wake
	}
	wantTold := func(t *testing.T, s *Subscription, want ...Kind) {
		t.Helper()
		var kinds []Kind
		events, _ := s.poll(nil, 10)
		for _, e := range events {
			kinds = append(kinds, e.Kind)
		}
		if !slices.Equal(kinds, want) {
			t.Errorf("told %d, want %d", kinds, want)
		}
	}
	t.Run("missing", func(t *testing.T) {
		f, s, _ := arrive()
		wantTold(t, s)
		f.setState(missing, kv.ErrBucketNotFound)
		wantTold(t, s, BucketDeleted)
	})
	t.Run("there", func(t *testing.T) {
		f, s, wake := arrive()
		wantTold(t, s)
		q := f.newQuestion()
		if _, err := f.compareAnswer(q, streamAt(1, 0)); err != nil {
			t.Fatal(err)
		}
		<-wake
		wantTold(t, s, Reset)
	})
	t.Run("there when the question was sent before", func(t *testing.T) {
		f, _, _ := arrive()
		q := f.newQuestion()
		late := &Subscription{feed: f, wake: func() {}, keys: -1}
		f.mu.Lock()
		late.attach(true)
		f.mu.Unlock()
		if _, err := f.compareAnswer(q, streamAt(1, 0)); err != nil {
			t.Fatal(err)
		}
		wantTold(t, late)
	})
	t.Run("another", func(t *testing.T) {
		f, s, _ := arrive()
		wantTold(t, s)
		f.startAt(nil, kvclient.StreamState{Epoch: "b", Last: 1, Messages: 1})
		wantTold(t, s, Reset)
	})
}

// A message that is stored and is not delivered is overdue, unless another one was delivered, or
// the source has just been started.
func TestOverdueMessageEndsTheSource(t *testing.T) {
	clock := time.Unix(0, 0)
	f := feedAt(streamAt(10, 0))
	f.now = func() time.Time { return clock }
	late := func(position kv.Revision, after time.Duration) bool {
		clock = clock.Add(after)
		return f.audit.noteOverdue(position, clock)
	}
	const most = overdueTime - time.Millisecond
	for i, step := range []struct {
		position kv.Revision
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
		if late(step.position, step.after) != step.late {
			t.Errorf("step %d: late %v", i, !step.late)
		}
	}
	f.startAt(nil, streamAt(12, 0))
	if late(11, 0) {
		t.Error("late at once after a start")
	}
}

// A client whose connection was cut within a snapshot with history may hold a value whose marker
// vanishes by age before the client comes back, and the feed may never have read that marker.
func TestSnapshotWithHistoryIsNotResumedWhereMarkersVanish(t *testing.T) {
	for lifetime, want := range map[time.Duration]error{0: nil, time.Second: errUnvouched} {
		s := streamAt(8, 0)
		s.Lifetime = lifetime
		f := feedAt(s)
		r := &reading{feed: f, key: readingKey{history: true, after: 2, to: 8}}
		if err := r.begin(8, kv.Check{}); err != want {
			t.Errorf("markers may vanish after %v: %v, want %v", lifetime, err, want)
		}
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
	f.now = func() time.Time { return clock }
	f.startAt(nil, at(0))
	if _, err := f.compareAnswer(f.newQuestion(), at(time.Minute)); err != nil {
		t.Fatal(err)
	}
	clock = began.Add(time.Minute + 3*time.Second)
	late := entry("k", 12, kv.Put) // 11 was skipped
	late.Created = clock
	found := f.takeArrival(kvclient.Arrival{Entries: []kv.Entry{late}, Idle: time.Minute})
	if found != resetFor(ReasonHorizon) {
		t.Error("what was skipped may be 3 s old, and a marker lives for 1 s")
	}
}
