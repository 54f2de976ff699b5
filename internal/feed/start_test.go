package feed

import (
	"testing"

	"kvgateway/internal/kv"
)

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
