package feed

import (
	"kvgateway/internal/kv"
	"kvgateway/internal/kvclient"
	"testing"
	"time"
)

// entryStored is a message of the stream "a", stored so many seconds after the beginning.
func entryStored(key string, r kv.Revision, second int64) kv.Entry {
	e := entry(key, r, kv.Put)
	e.Created = time.Unix(second, 0)
	e.Check = kv.CheckOf(e.Created)
	return e
}

// subscriptionAhead returns a subscription that comes from another gateway, with a point which its
// feed has yet to read. last is the stream's last revision when it comes.
func subscriptionAhead(
	t *testing.T, f *Feed, point Point, last kv.Revision,
) *Subscription {
	t.Helper()
	s := &Subscription{feed: f, options: SubscribeOptions{Resume: &point}, folds: true,
		wake: WakeByToken(make(chan struct{}, 1)), lossesThen: f.journal.losses}
	if s.decide(streamAt(last, 0), sameHistory); owedReset(s) != "" {
		t.Fatalf("reset for %q", owedReset(s))
	}
	return s
}

// owedReset returns the reason of the reset that a subscription owes, "" for none.
func owedReset(s *Subscription) string {
	if s.state == resetOwed {
		return s.reason
	}
	return ""
}

// What a subscription got from another gateway, and its feed has yet to read, may be lost in a
// crash, and its revisions given to other messages. The feed goes on, and would not send those to
// the subscription.
func TestSubscriptionAheadOfALossIsReset(t *testing.T) {
	t.Parallel()
	place := entryStored("k", 12, 12).Position
	for name, tc := range map[string]struct {
		point Point
		last  kv.Revision // of the stream when the subscription comes
		want  string
	}{
		"following":    {Point{Position: place}, 12, ReasonHorizon},
		"not complete": {Point{Position: entryStored("k", 10, 10).Position}, 12, ReasonHorizon},
		"not ahead":    {Point{Position: entryStored("k", 10, 10).Position}, 10, ""},
	} {
		t.Run(name, func(t *testing.T) {
			f := feedAt(streamAt(10, 0))
			f.setState(live, nil)
			attached := subscriptionAhead(t, f, tc.point, tc.last)
			late := subscriptionAhead(t, f, tc.point, tc.last)
			attached.attach(false)
			if f.continueAfterLoss(); owedReset(attached) != tc.want {
				t.Errorf("reset for %q, want %q", owedReset(attached), tc.want)
			}
			// One that had asked before the loss may wait for revisions that will not come.
			if late.attach(false); owedReset(late) != tc.want {
				t.Errorf("one that came late: reset for %q", owedReset(late))
			}
			next := subscriptionAhead(t, f, tc.point, tc.last)
			if next.attach(false); owedReset(next) != "" {
				t.Errorf("one that asked after the loss: reset for %q", owedReset(next))
			}
		})
	}
}

// A feed judges a purge by what it has read. A subscription that came with an id of another
// gateway, beyond that, may hold a value that the feed has yet to read.
func TestPurgeIsNotHarmlessToASubscriptionThatIsAhead(t *testing.T) {
	t.Parallel()
	f := feedAt(streamAt(10, 0))
	f.setState(live, nil)
	marker := entryStored("k", 11, 11)
	marker.Operation = kv.Delete
	f.take([]kv.Entry{marker})
	subscriptionAhead(t, f, Point{Position: entryStored("k", 12, 12).Position}, 12)
	if f.journal.acceptPurge(kvclient.Advisory{Key: "k", At: time.Unix(13, 0)}) {
		t.Error("a purge was accepted beside one that is ahead")
	}
	f.take([]kv.Entry{entryStored("l", 12, 12)})
	if !f.journal.acceptPurge(kvclient.Advisory{Key: "k", At: time.Unix(13, 0)}) {
		t.Error("a purge was not accepted once the feed has come as far")
	}
}

// A part of a snapshot lacks what was overwritten while it was read, and a crash can bring that
// back. So its id is accepted in the stretch in which the snapshot was begun, and in no other.
func TestPartOfASnapshotIsTakenOnlyInItsStretch(t *testing.T) {
	t.Parallel()
	f := feedAt(streamAt(10, 0))
	f.setState(live, nil)
	want := func(when, reason string) {
		t.Helper()
		point := Point{Position: entryStored("k", 10, 10).Position, InSnapshot: true, Sent: 5}
		s := &Subscription{feed: f, options: SubscribeOptions{Resume: &point}, folds: true,
			wake: WakeByToken(make(chan struct{}, 1)), lossesThen: f.journal.losses}
		if s.decide(streamAt(10, 0), sameHistory); owedReset(s) != reason {
			t.Errorf("%s: reset for %q, want %q", when, owedReset(s), reason)
		}
	}
	want("of another feed", ReasonHorizon)
	f.mu.Lock()
	f.journal.noteSnapshot(10)
	f.mu.Unlock()
	want("of this one", "")
	f.continueAfterLoss()
	want("from before a loss", ReasonHorizon)
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
		now := time.Unix(100, 0)
		f.now = func() time.Time { return now }
		f.audit.lastTally.at = time.Unix(10, 0)
		f.take([]kv.Entry{entryStored("l", 12, 12)}) // 11 is gone; 13 has its key
		after := streamAt(12, 0)
		if came {
			q := f.newQuestion()
			f.take([]kv.Entry{entryStored("k", 13, 13)})
			if _, err := f.compareAnswer(q, streamAt(13, 1)); err != nil {
				t.Fatal(err)
			}
			after = streamAt(13, 0)
		}
		f.audit.noteMissed(time.Unix(50, 0))
		if got := f.judgeLoss(after, f.audit.anchor.stored) == nil; got != came {
			t.Errorf("%s: the log goes on: %v", name, got)
		}
	}
}

// When a stream was found empty after everything was removed, its server may not know when the
// last message was stored. Then the stream cannot be distinguished from another one.
func TestAnchorWithoutATimeIdentifiesNothing(t *testing.T) {
	t.Parallel()
	for _, a := range []anchor{{}, {revision: 5}, {stored: time.Unix(1, 0)}} {
		if a.identifies() {
			t.Errorf("%+v identifies a stream", a)
		}
	}
	if a := (anchor{5, time.Unix(1, 0)}); !a.identifies() {
		t.Errorf("%+v identifies nothing", a)
	}
}
