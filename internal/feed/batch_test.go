package feed

import (
	"fmt"
	"strings"
	"testing"

	"kvgateway/internal/kv"
	"kvgateway/internal/kvclient"
)

// subscriptionFollowing returns a subscription that follows the log of a feed with that many
// changes, from the beginning.
func subscriptionFollowing(t *testing.T, changes int, patterns ...string) *Subscription {
	t.Helper()
	f := feedAt(streamAt(0, 0))
	var entries []kv.Entry
	for i := range changes {
		entries = append(entries, entry(fmt.Sprint("k.", i), kv.Revision(i+1), kv.Put))
	}
	f.source.deliver(entries)
	s := subscriptionOf(t, patterns...)
	s.feed, s.tokens = f, tokensOf(s.options.Filters)
	s.generation, s.era = f.journal.generation, f.journal.era
	f.mu.Lock()
	defer f.mu.Unlock()
	f.status.state = live
	s.followLog(0)
	return s
}

func TestPollLooksAtABoundedPartOfTheLog(t *testing.T) {
	t.Parallel()
	const changes = 20_000
	var long []string
	for i := range 16 {
		long = append(long, fmt.Sprint("*", strings.Repeat(".*", 30), ".", i))
	}
	for name, test := range map[string]struct {
		filters []string
		most    kv.Revision // changes that one poll may look at
	}{
		"one filter":         {[]string{"none"}, 400},
		"as many as may be":  {long, 20},
		"one of a few match": {[]string{"k.5000", "k.15000"}, 400},
	} {
		t.Run(name, func(t *testing.T) {
			s := subscriptionFollowing(t, changes, test.filters...)
			found, polls := 0, 0
			for more, before := true, kv.Revision(0); more; polls++ {
				var events []Event
				if events, more = s.Poll(nil, 16); s.cursor-before > test.most {
					t.Fatalf("a poll went from %d to %d", before, s.cursor)
				}
				before = s.cursor
				found += len(events)
			}
			if s.cursor != changes || s.pending != 0 || polls < changes/int(test.most) {
				t.Errorf("at %d after %d polls, pending %d", s.cursor, polls, s.pending)
			}
			if want := strings.Count(strings.Join(test.filters, " "), "000"); found != want {
				t.Errorf("%d of %d changes", found, want)
			}
		})
	}
}

// What happens to the log while changes are matched without the lock is not overlooked.
func TestPollNoticesWhatHappensMeanwhile(t *testing.T) {
	t.Parallel()
	batched := func(t *testing.T) (*Subscription, *batch) {
		s := subscriptionFollowing(t, 200, "late.*")
		_, next := s.poll(nil, 16)
		if next.batch == nil {
			t.Fatal("matched with the feed locked")
		}
		return s, next.batch
	}
	t.Run("more comes", func(t *testing.T) {
		s, b := batched(t)
		s.feed.source.deliver([]kv.Entry{entry("late.1", 201, kv.Put)})
		events, more := s.finishBatch(b, nil)
		if len(events) != 0 || !more {
			t.Fatalf("%d events, more %v, with a change that came meanwhile", len(events), more)
		}
		if events, _ = s.Poll(nil, 16); len(events) != 1 {
			t.Errorf("%d events for what came meanwhile", len(events))
		}
	})
	t.Run("the log begins anew", func(t *testing.T) {
		s, b := batched(t)
		s.feed.source.startAt(nil, kvclient.StreamState{Epoch: "another", Last: 7})
		events, more := s.finishBatch(b, nil)
		if len(events) != 0 || !more || s.cursor > 200 {
			t.Fatalf("%d events, more %v, cursor %d, after a reset", len(events), more, s.cursor)
		}
		if events, _ := s.poll(nil, 16); len(events) != 1 || events[0].Kind != Reset {
			t.Errorf("told %+v", events)
		}
	})
	t.Run("the log moves on", func(t *testing.T) {
		s, b := batched(t)
		s.feed.journal.log.maxCount = 1
		s.feed.source.deliver([]kv.Entry{
			entry("k.x", 201, kv.Put), entry("k.y", 202, kv.Put),
		})
		if _, more := s.finishBatch(b, nil); !more || s.pending == 0 {
			t.Fatalf("more %v, pending %d, behind the log", more, s.pending)
		}
		for _, c := range b.changes[:cap(b.changes)] {
			if c != nil {
				t.Fatal("a list that is not in use keeps a change alive")
			}
		}
	})
}

// A loss after which the log goes on sets a subscription back that is ahead of the feed. What was
// matched without the lock meanwhile belongs to what was before. When it was sent all the same, the
// client was told that its state is complete and exact, then of the reset, and never again that it
// is complete.
func TestPollNoticesThatItWasSetBack(t *testing.T) {
	t.Parallel()
	s := subscriptionFollowing(t, 200, "late.*")
	f := s.feed
	f.subs[s] = struct{}{}
	s.wake, s.folds = func() {}, true
	s.syncDue, s.syncFrom = true, 250 // the stream had 250 when the subscription resumed
	_, next := s.poll(nil, 16)
	if next.batch == nil {
		t.Fatal("matched with the feed locked")
	}
	f.continueAfterLoss()
	if events, more := s.finishBatch(next.batch, nil); len(events) != 0 || !more {
		t.Fatalf("told %+v (more %v) after it was set back, want a reset first", events, more)
	}
	events, _ := s.poll(nil, 16)
	if len(events) != 1 || events[0].Kind != Reset || s.state != inReading || s.sent != 0 {
		t.Errorf("told %+v, sent up to %d in state %d", events, s.sent, s.state)
	}
	if !s.syncDue {
		t.Error("the end of the snapshot will not be told")
	}
}
