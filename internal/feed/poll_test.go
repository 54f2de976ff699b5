package feed

import (
	"slices"
	"testing"

	"kvgateway/internal/kv"
	"kvgateway/internal/kvclient"
)

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
			f.source.startAt(nil, streamAt(1, 0))
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
		q := f.source.newQuestion()
		if _, err := f.source.compareAnswer(q, streamAt(1, 0)); err != nil {
			t.Fatal(err)
		}
		<-wake
		wantTold(t, s, Reset)
	})
	t.Run("there when the question was sent before", func(t *testing.T) {
		f, _, _ := arrive()
		q := f.source.newQuestion()
		late := &Subscription{feed: f, wake: func() {}, keys: -1}
		f.mu.Lock()
		late.attach(true)
		f.mu.Unlock()
		if _, err := f.source.compareAnswer(q, streamAt(1, 0)); err != nil {
			t.Fatal(err)
		}
		wantTold(t, late)
	})
	t.Run("another", func(t *testing.T) {
		f, s, _ := arrive()
		wantTold(t, s)
		f.source.startAt(nil, kvclient.StreamState{Epoch: "b", Last: 1, Messages: 1})
		wantTold(t, s, Reset)
	})
}

// A subscription that cannot be caught up is told so, and nothing else, whatever happens to the
// source before its next poll.
func TestSubscriptionThatLeavesIsToldNothingElse(t *testing.T) {
	t.Parallel()
	for name, happens := range map[string]func(f *Feed){
		"nothing":            func(*Feed) {},
		"the source is lost": func(f *Feed) { f.setState(stale, kv.ErrTimeout) },
		"the log goes on":    (*Feed).continueAfterLoss,
		"the log begins anew": func(f *Feed) {
			f.source.startAt(nil, kvclient.StreamState{Epoch: "z"})
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := subscriptionFollowing(t, 10)
			s.feed.subs[s] = struct{}{}
			for range maxLags + 1 {
				s.giveUp()
			}
			happens(s.feed)
			events, _ := s.Poll(nil, 10)
			if len(events) != 1 || events[0].Kind != GoAway || events[0].Reason != ReasonSlow {
				t.Errorf("told %+v", events)
			}
			if events, more := s.Poll(nil, 10); len(events) != 0 || more {
				t.Errorf("told %+v after the end", events)
			}
		})
	}
}
