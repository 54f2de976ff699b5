package feed

import (
	"errors"
	"slices"
	"testing"
	"time"

	"kvgateway/internal/kvclient"
)

// bare returns a feed whose source is where the stream is.
func bare(s kvclient.StreamState) *Feed {
	f := newFeed(newHub(Options{}.withDefaults()), bucketB)
	f.startAt(nil, s)
	return f
}

var bucketB, _ = kvclient.ParseBucketName("b")

// stream has revisions up to last, of which so many are gone.
func stream(last kvclient.Revision, gone uint64) kvclient.StreamState {
	return kvclient.StreamState{Epoch: "a", First: 1, Last: last, Messages: uint64(last) - gone}
}

func entry(key string, r kvclient.Revision, o kvclient.Operation) kvclient.Entry {
	return kvclient.Entry{Key: key, Operation: o, Position: kvclient.Position{Epoch: "a", Revision: r}}
}

// wantVouched compares what points a feed takes.
func wantVouched(t *testing.T, f *Feed, points map[kvclient.Revision]bool) {
	t.Helper()
	for point, want := range points {
		if got := f.vouches(point, ""); got != want {
			t.Errorf("point %d is taken: %v, want %v", point, got, want)
		}
	}
}

func TestVouches(t *testing.T) {
	t.Run("nothing was ever removed", func(t *testing.T) {
		wantVouched(t, bare(stream(10, 0)), map[kvclient.Revision]bool{0: true, 3: true, 10: true})
	})
	t.Run("something was", func(t *testing.T) {
		f := bare(stream(10, 1))
		f.take([]kvclient.Entry{entry("k", 11, kvclient.Put)})
		wantVouched(t, f, map[kvclient.Revision]bool{9: false, 11: true})
	})
	t.Run("where it began", func(t *testing.T) {
		f := bare(stream(10, 1))
		wantVouched(t, f, map[kvclient.Revision]bool{9: false, 10: false})
		if !f.vouches(10, f.era) || f.vouches(9, f.era) {
			t.Error("it does not know what it gave out itself")
		}
	})
	t.Run("from before a purge", func(t *testing.T) {
		f := bare(stream(10, 1))
		era := f.era
		f.resetFor = ReasonPurged
		f.startAt(nil, stream(10, 2))
		wantVouched(t, f, map[kvclient.Revision]bool{10: false})
		if f.vouches(10, era) || !f.vouches(10, f.era) {
			t.Error("it does not know in which era it gave out a point")
		}
	})
	t.Run("an era in which something had been removed, of a stream that is whole again", func(t *testing.T) {
		if f := bare(stream(10, 0)); f.vouches(10, "aaaa") || !f.vouches(10, wholeEra) || !f.vouches(10, newEra(true)) || !f.vouches(10, f.era) {
			t.Error("it takes what was given out after a removal that was undone")
		}
	})
	t.Run("of another gateway, which may lag", func(t *testing.T) {
		clock := time.Unix(0, 0)
		f := newFeed(newHub(Options{}.withDefaults()), bucketB)
		f.now = func() time.Time { return clock }
		f.startAt(nil, stream(10, 1))
		f.take([]kvclient.Entry{entry("k", 11, kvclient.Put)})
		clock = clock.Add(noticeAfter - time.Millisecond)
		if f.vouches(11, "aaaa") {
			t.Error("it takes what a gateway gave out that may not have noticed a purge")
		}
		clock = clock.Add(time.Millisecond)
		f.take([]kvclient.Entry{entry("k", 12, kvclient.Put)})
		if f.vouches(11, "aaaa") || !f.vouches(12, "aaaa") || !f.vouches(11, f.era) || !f.vouches(11, "") {
			t.Error("it does not take what was given out when every gateway has noticed")
		}
	})
	t.Run("of what the stream has lost", func(t *testing.T) {
		f := bare(stream(10, 0))
		f.take([]kvclient.Entry{entry("k", 11, kvclient.Put), entry("k", 12, kvclient.Put)})
		f.startAt(nil, stream(10, 0)) // a server that came back without its last two messages
		f.take([]kvclient.Entry{entry("k", 11, kvclient.Put), entry("k", 12, kvclient.Put), entry("k", 13, kvclient.Put)})
		wantVouched(t, f, map[kvclient.Revision]bool{11: false, 12: false, 13: true})
	})
}

// What a reset has voided stays void through the next one.
func TestPointsStayVoidThroughResets(t *testing.T) {
	f := bare(stream(10, 0))
	f.take([]kvclient.Entry{entry("k", 11, kvclient.Put), entry("k", 12, kvclient.Put)})
	f.startAt(nil, stream(10, 0)) // the stream has lost two messages
	f.resetFor = ReasonPurged
	f.startAt(nil, stream(10, 1))
	f.take([]kvclient.Entry{entry("k", 11, kvclient.Put), entry("k", 12, kvclient.Put), entry("k", 13, kvclient.Put)})
	wantVouched(t, f, map[kvclient.Revision]bool{11: false, 12: false, 13: true})
}

// After advisories were missed, the stream must add up to the message with what was counted long enough before.
func TestTrusts(t *testing.T) {
	const long, short = 2 * tellTime, tellTime / 2
	for name, tc := range map[string]struct {
		counted kvclient.StreamState // beside the beginning, at 10 of which one is gone
		before  time.Duration        // the doubt
		now     kvclient.StreamState
		want    bool
	}{
		"nothing happened":                       {stream(10, 1), long, stream(10, 1), true},
		"only new keys":                          {stream(12, 1), long, stream(15, 1), true},
		"a removal was taken back":               {stream(12, 1), short, stream(15, 0), false},
		"one less":                               {stream(12, 1), long, stream(15, 2), false},
		"one less, one more":                     {stream(12, 1), long, stream(12, 2), false},
		"counted just before, and nothing since": {stream(12, 1), short, stream(12, 1), true},
		"counted just before, and less by then":  {stream(12, 2), short, stream(12, 2), false},
		"counted long before, and less by then":  {stream(12, 2), long, stream(12, 2), true}, // it was told
	} {
		t.Run(name, func(t *testing.T) {
			clock := time.Unix(0, 0)
			f := bare(stream(10, 1))
			f.now = func() time.Time { return clock }
			f.lastWord = f.now
			f.known.at, f.ripening.at = clock, clock
			clock = clock.Add(long)
			f.note(tc.counted)
			clock = clock.Add(tc.before)
			f.missSome(clock)
			clock = clock.Add(long) // however long it takes to be back
			if got := f.trusts(tc.now, time.Time{}); got != tc.want || got == (f.resetFor != "") {
				t.Errorf("trusted %v, reset for %q; want %v", got, f.resetFor, tc.want)
			}
		})
	}
}

// Where every message is there that the stream was given, and was before, no tally need be old.
func TestTrustsAWholeStream(t *testing.T) {
	for missing, want := range map[uint64]bool{0: true, 1: false} {
		f := bare(stream(10, 0))
		f.missSome(f.known.at)
		if got := f.trusts(stream(15, missing), time.Time{}); got != want {
			t.Errorf("trusted %v with %d missing", got, missing)
		}
	}
}

// The purge of a key is harmless only if everybody knows that it has no value.
func TestHarmless(t *testing.T) {
	f := bare(stream(0, 0))
	f.take([]kvclient.Entry{entry("value", 1, kvclient.Put), entry("deleted", 2, kvclient.Delete), entry("again", 3, kvclient.Delete),
		entry("again", 4, kvclient.Put), entry("unseen", 5, kvclient.Delete)})
	value := entry("unseen", 6, kvclient.Put)
	f.revive([]*Change{{Entry: value}}) // a snapshot has it, and the feed passes over it: it is overwritten
	old := entry("deleted", 1, kvclient.Put)
	f.revive([]*Change{{Entry: old}}) // this one was before the marker
	for key, want := range map[string]bool{"value": false, "deleted": true, "again": false, "unseen": false, "never": false} {
		if got := f.harmless(key, time.Time{}); got != want {
			t.Errorf("%s: harmless %v, want %v", key, got, want)
		}
	}
	if f.since != 2 {
		t.Errorf("the store can tell what came since %d, want 2", f.since)
	}
}

// Of the markers that are too many to remember, the store's word does not count any more.
func TestForgottenMarkers(t *testing.T) {
	f := bare(stream(0, 0))
	for r := range kvclient.Revision(maxMarkers + 1) {
		f.take([]kvclient.Entry{entry("k"+r.String(), r+1, kvclient.Delete)})
	}
	if len(f.markers) > maxMarkers || f.since != maxMarkers+1 {
		t.Errorf("%d markers, the store can tell what came since %d", len(f.markers), f.since)
	}
}

// Whatever the source was lost with, the server's word may be lost too: since it said something last.
func TestLossIsDoubt(t *testing.T) {
	word := time.Unix(1, 0)
	f := bare(stream(1, 0))
	f.lastWord = func() time.Time { return word }
	if f.sourceLost(kvclient.ErrTimeout); !f.doubt.Equal(word) {
		t.Errorf("doubt since %v", f.doubt)
	}
}

// A purge that was told while there was no source is not forgotten over what was counted between it and its word.
func TestPurgeToldWhileResting(t *testing.T) {
	f := bare(stream(10, 1))
	f.take([]kvclient.Entry{entry("k", 11, kvclient.Put)})
	if _, err := f.compare(f.question(), stream(11, 2)); err != nil {
		t.Fatal(err)
	}
	f.advise(kvclient.Advisory{Kind: kvclient.StreamPurged, Key: "v", Purged: 1})
	if !f.rest(t.Context(), time.Hour) || f.resetFor != ReasonPurged {
		t.Errorf("reset for %q", f.resetFor)
	}
}

// Writers that never rest do not keep tallies from getting old, and a young one is not taken for one.
func TestTalliesRipen(t *testing.T) {
	clock := time.Unix(0, 0)
	f := bare(stream(10, 1))
	f.now = func() time.Time { return clock }
	f.lastWord = f.now
	f.known.at, f.ripening.at = clock, clock
	for last := kvclient.Revision(11); last < 100; last++ {
		clock = clock.Add(tellTime / 3)
		f.note(stream(last, uint64(last/80))) // something is purged early, and was told
	}
	f.missSome(f.lastWord())
	if !f.trusts(stream(100, 1), time.Time{}) {
		t.Errorf("reset for %s, %v after the first tally; earlier %+v", f.resetFor, clock, f.earlier)
	}
	for last := kvclient.Revision(100); last < 103; last++ {
		clock = clock.Add(tellTime / 3)
		f.note(stream(last, 2)) // something more is purged, and was not told yet
	}
	f.missSome(f.lastWord())
	if f.trusts(stream(103, 2), time.Time{}) {
		t.Errorf("trusted, though %+v is young", f.earlier)
	}
}

// Where the newest message that is known was stored at another time, it is another: the stream has a new history from some point on.
func TestTrustsTheMark(t *testing.T) {
	now := time.Unix(0, 0)
	for name, tc := range map[string]struct {
		last   kvclient.Revision
		stored time.Time
		want   bool
	}{
		"the same":                    {12, now, true},
		"another":                     {12, now.Add(time.Second), false},
		"gone":                        {12, time.Time{}, false},
		"gone, and nothing was since": {11, time.Time{}, true},
		"another, of a whole history": {13, now.Add(time.Second), false},
	} {
		f := bare(stream(10, 1))
		e := entry("k", 11, kvclient.Put)
		e.Created = now
		f.take([]kvclient.Entry{e})
		f.missSome(f.known.at.Add(2 * tellTime))
		state := stream(tc.last, 1)
		if tc.last == 13 {
			state = stream(tc.last, 0)
		}
		state.LastTime = now
		if got := f.trusts(state, tc.stored); got != tc.want {
			t.Errorf("%s: trusted %v", name, got)
		}
	}
}

// That a bucket was deleted can be heard of when the next of its name is there already. One that is
// restored can have its epoch, and be there before the feed has missed it.
func TestDeletionOfTheStreamThatIsFollowed(t *testing.T) {
	created := time.Unix(100, 0)
	for name, tc := range map[string]struct {
		at   time.Time
		want string
	}{
		"this one":       {created.Add(time.Second), ReasonHorizon},
		"the one before": {created.Add(-time.Second), ""},
	} {
		s := stream(10, 0)
		s.Created = created
		f := bare(s)
		if err := f.heard(kvclient.Advisory{Kind: kvclient.StreamDeleted, At: tc.at}); !errors.Is(err, errRestart) || f.resetFor != tc.want {
			t.Errorf("%s: %v, reset for %q", name, err, f.resetFor)
		}
	}
}

// Settings can be changed and changed back before the feed looks, with all that vanished meanwhile.
func TestTermsThatWereChangedBack(t *testing.T) {
	asked := time.Unix(100, 0)
	mine, other := kvclient.Terms{MaxAge: time.Hour}, kvclient.Terms{MaxAge: time.Second}
	for name, tc := range map[string]struct {
		told kvclient.Advisory
		want string
	}{
		"others":          {kvclient.Advisory{Terms: &other, At: asked.Add(time.Second)}, ReasonConfig},
		"before it began": {kvclient.Advisory{Terms: &other, At: asked.Add(-time.Second)}, ""},
		"the same":        {kvclient.Advisory{Terms: &mine, At: asked.Add(time.Second)}, ""},
		"unknown":         {kvclient.Advisory{At: asked.Add(time.Second)}, ""},
	} {
		s := stream(10, 0)
		s.At, s.Terms = asked, mine
		s.Terms.Subjects = "$KV.b."
		f := bare(s)
		tc.told.Kind = kvclient.StreamUpdated
		if err := f.heard(tc.told); !errors.Is(err, errRestart) || f.resetFor != tc.want {
			t.Errorf("%s: %v, reset for %q, want %q", name, err, f.resetFor, tc.want)
		}
	}
}

// Advisories that were dropped are missed since the feed last knew that none was.
func TestDroppedAdvisoriesAreMissed(t *testing.T) {
	f := bare(stream(10, 0))
	if err := f.heard(kvclient.Advisory{Kind: kvclient.AdvisoriesMissed}); !errors.Is(err, errRestart) {
		t.Errorf("%v", err)
	}
}

// A bucket that was missing and is back with its epoch was restored: it may lack some of what was read.
func TestBackWithTheSameEpoch(t *testing.T) {
	f := bare(stream(10, 0))
	f.sourceLost(kvclient.ErrBucketNotFound)
	if _, begun := f.startAt(nil, stream(10, 0)); !begun || f.reason != ReasonHorizon {
		t.Errorf("begun %v, reset for %q", begun, f.reason)
	}
}

// What the feed has read is there, though a new leader may know less for a moment.
func TestIDThatIsNotAhead(t *testing.T) {
	for point, want := range map[kvclient.Revision]string{10: "", 11: ReasonAhead} {
		f := bare(stream(10, 0))
		s := &Subscription{feed: f, options: SubscribeOptions{Resume: &Point{Position: kvclient.Position{Epoch: "a", Revision: point}}},
			wake: Token(make(chan struct{}, 1)), folds: true}
		if s.decide(stream(9, 0), unproved); s.resetFirst != want {
			t.Errorf("%d: reset for %q, want %q", point, s.resetFirst, want)
		}
	}
}

// A step of a clock is one reset, where entries vanish by age.
func TestClockThatSteps(t *testing.T) {
	clock := time.Unix(0, 0)
	s := stream(10, 1)
	s.Lifetime = time.Second
	f := bare(s)
	f.now = func() time.Time { return clock }
	take := func(r kvclient.Revision, step time.Duration) {
		e := entry("k", r, kvclient.Put)
		e.Created = clock.Add(-step)
		f.take([]kvclient.Entry{e})
	}
	take(12, 0)
	if f.void != "" {
		t.Fatal("a gap is a reset")
	}
	if take(14, 5*time.Second); f.void != ReasonHorizon {
		t.Fatalf("late behind a gap: reset for %q", f.void)
	}
	_ = f.disown(f.void)
	s.Last = 14
	f.startAt(nil, s)
	take(16, 5*time.Second)
	if take(18, 5*time.Second); f.void != "" {
		t.Error("once more")
	}
}

func TestDelays(t *testing.T) {
	const usual = -5 * time.Second // the server's clock is ahead
	var d delays
	now := time.Unix(0, 0)
	for i, step := range []struct{ after, delay, beyond time.Duration }{
		{0, usual + time.Second, 0}, {0, usual, 0}, {time.Second, usual + time.Second, time.Second},
		{delaysTurn, usual + time.Second, time.Second}, {0, usual + 2*time.Second, 2 * time.Second},
		{delaysTurn, usual + 2*time.Second, time.Second}, {delaysTurn, usual + 2*time.Second, 0},
	} {
		now = now.Add(step.after)
		if got := d.beyond(step.delay, now); got != step.beyond {
			t.Errorf("step %d: %v beyond what is usual, want %v", i, got, step.beyond)
		}
	}
}

// What was counted while the source was silent already does not count: a purge in that time was told to nobody.
func TestSilenceBeforeALoss(t *testing.T) {
	clock := time.Unix(0, 0)
	f := bare(stream(10, 1))
	f.now = func() time.Time { return clock }
	f.known.at, f.ripening.at = clock, clock
	clock = clock.Add(2 * tellTime)
	word := clock
	f.lastWord = func() time.Time { return word }
	for last := range kvclient.Revision(3) {
		clock = clock.Add(2 * tellTime)
		f.note(stream(11+last, 2))
	}
	f.missSome(f.lastWord())
	if now := stream(14, 2); f.trusts(now, time.Time{}) || f.resetFor != ReasonHorizon {
		t.Errorf("%+v is trusted; reset for %q", now, f.resetFor)
	}
}

// Where no advisory comes, a purge shows in the number of messages. Those of which was told do not count, and the word may come late.
func TestCounts(t *testing.T) {
	f := bare(stream(10, 1))
	f.forgiven.messages = 1
	if err := f.count(stream(10, 2)); err != nil || f.suspect != nil {
		t.Errorf("a purge that was told: %v, suspect %v", err, f.suspect)
	}
	if err := f.count(stream(12, 5)); err != nil || f.suspect != nil {
		t.Errorf("with new messages nobody can tell: %v, suspect %v", err, f.suspect)
	}
	fewer := stream(14, 6)
	f.known.Subjects, fewer.Subjects = 3, 2
	f.forgiven.keys = 1
	if err := f.count(fewer); err != nil || f.suspect != nil {
		t.Errorf("a key whose purge was told: %v, suspect %v", err, f.suspect)
	}
	f.known.Subjects, fewer.Subjects = 2, 1
	if err := f.count(fewer); err != nil || f.suspect == nil {
		t.Errorf("a key less, though there are new messages: %v, suspect %v", err, f.suspect)
	}
	f.suspect = nil
	f.note(stream(12, 5))
	if err := f.count(stream(12, 6)); err != nil || f.suspect == nil {
		t.Errorf("one less, for the first time: %v, suspect %v", err, f.suspect)
	}
	if err := f.count(stream(12, 6)); !errors.Is(err, errRestart) || f.resetFor != ReasonPurged {
		t.Errorf("one less, and nobody has told why: %v, reset for %q", err, f.resetFor)
	}
}

// Who comes back for a bucket that was missing is reset when the feed finds it, also where that comes before anybody was told that it
// is missing: else the subscription waited for ever.
func TestBucketFoundBeforeItIsToldMissing(t *testing.T) {
	for name, options := range map[string]SubscribeOptions{
		"known point":   {Resume: &Point{Position: kvclient.Position{Epoch: "b", Revision: 1}}},
		"unknown point": {UnknownPoint: true, UpdatesOnly: true},
	} {
		t.Run(name, func(t *testing.T) {
			bucket, _ := kvclient.ParseBucketName("b")
			f := newFeed(newHub(Options{}.withDefaults()), bucket)
			f.setState(missing, kvclient.ErrBucketNotFound)
			s := &Subscription{feed: f, options: options, wake: Token(make(chan struct{}, 1)), keys: -1, folds: true}
			f.mu.Lock()
			s.attach(true)
			f.mu.Unlock()
			f.startAt(nil, stream(1, 0))
			f.setState(live, nil)
			events, _ := s.poll(nil, 10)
			if len(events) != 1 || events[0].Kind != Reset || events[0].Reason != ReasonEpoch || s.phase != inReading {
				t.Errorf("told %+v, in phase %d", events, s.phase)
			}
		})
	}
}

// Who comes back for a bucket that is missing before the source knows it is told nothing until the
// source has looked. It may find that the bucket is there after all: a server that has just started
// does not know of every stream yet.
func TestAbsenceBeforeTheSourceKnows(t *testing.T) {
	t.Parallel()
	arrive := func() (*Feed, *Subscription, chan struct{}) {
		f := bare(stream(1, 0))
		f.setState(live, nil)
		wake := make(chan struct{}, 1)
		options := SubscribeOptions{Resume: &Point{Position: kvclient.Position{Epoch: "a", Revision: 1}}}
		s := &Subscription{feed: f, options: options, wake: Token(wake), keys: -1, folds: true}
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
		f.setState(missing, kvclient.ErrBucketNotFound)
		wantTold(t, s, BucketDeleted)
	})
	t.Run("there", func(t *testing.T) {
		f, s, wake := arrive()
		wantTold(t, s)
		q := f.question()
		if _, err := f.compare(q, stream(1, 0)); err != nil {
			t.Fatal(err)
		}
		<-wake
		wantTold(t, s, Reset)
	})
	t.Run("there when the question was sent before", func(t *testing.T) {
		f, _, _ := arrive()
		q := f.question()
		late := &Subscription{feed: f, wake: func() {}, keys: -1}
		f.mu.Lock()
		late.attach(true)
		f.mu.Unlock()
		if _, err := f.compare(q, stream(1, 0)); err != nil {
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

// What is stored and does not come is overdue, unless something else came, or the source has just been started.
func TestOverdue(t *testing.T) {
	clock := time.Unix(0, 0)
	f := bare(stream(10, 0))
	f.now = func() time.Time { return clock }
	late := func(position kvclient.Revision, after time.Duration) bool {
		clock = clock.Add(after)
		err := f.overdue(position)
		if err != nil && !errors.Is(err, kvclient.ErrTimeout) {
			t.Errorf("%v", err)
		}
		return err != nil
	}
	const most = overdueAfter - time.Millisecond
	for i, step := range []struct {
		position kvclient.Revision
		after    time.Duration
		late     bool
	}{{10, 0, false}, {10, most, false}, {11, most, false}, {11, most, false}, {11, time.Millisecond, true}, {11, 0, true}} {
		if late(step.position, step.after) != step.late {
			t.Errorf("step %d: late %v", i, !step.late)
		}
	}
	f.startAt(nil, stream(12, 0))
	if late(11, 0) {
		t.Error("late at once after a start")
	}
}

// A client that was cut within a snapshot with history may hold a value whose marker vanishes by age
// before it comes back, and that marker may be one that the feed never read.
func TestSnapshotWithHistoryIsNotResumedWhereMarkersVanish(t *testing.T) {
	for lifetime, want := range map[time.Duration]error{0: nil, time.Second: errUnvouched} {
		s := stream(8, 0)
		s.Lifetime = lifetime
		f := bare(s)
		r := &reading{feed: f, key: readingKey{history: true, after: 2, to: 8}}
		if err := r.begins(8, kvclient.Check{}); err != want {
			t.Errorf("markers may vanish after %v: %v, want %v", lifetime, err, want)
		}
	}
}
