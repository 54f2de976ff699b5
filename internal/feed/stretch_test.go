package feed

import (
	"testing"

	"kvgateway/internal/kv"
)

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
