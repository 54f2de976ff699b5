package bound_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"kvgateway/internal/bound"
)

// begun returns a turn that has a place, and a context that has the turn.
func begun(t *testing.T, b *bound.Bound, owner string) (*bound.Turn, context.Context) {
	t.Helper()
	turn := bound.NewTurn(b, owner)
	if err := turn.Begin(t.Context()); err != nil {
		t.Fatal(err)
	}
	return turn, bound.WithTurn(t.Context(), owner, turn)
}

// used checks how many places are taken.
func used(t *testing.T, b *bound.Bound, want int64) {
	t.Helper()
	if n := b.Used(); n != want {
		t.Errorf("%d places are taken, want %d", n, want)
	}
}

func TestTurnIsPausedUntilAllWaitsEnd(t *testing.T) {
	b := leased()
	turn, _ := begun(t, b, "a")
	turn.Pause()
	turn.Pause() // another goroutine of the request
	used(t, b, 0)
	turn.Resume()
	used(t, b, 0)
	turn.Resume()
	used(t, b, 1)
	turn.End()
	turn.End()
	used(t, b, 0)
	turn.Pause() // by a goroutine that has not ended yet
	turn.Resume()
	used(t, b, 0)
	var none *bound.Turn
	none.Pause()
	none.Resume()
	none.End()
}

// A request that resumes may hold what others wait for, so it waits for nobody. One that begins
// waits.
func TestTurnResumesAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, began := leased(), time.Now()
		var turns []*bound.Turn
		for range 4 {
			turn, _ := begun(t, b, "a")
			turn.Pause()
			turns = append(turns, turn)
		}
		for _, turn := range turns {
			turn.Resume()
		}
		used(t, b, 4) // the share is two
		if took := time.Since(began); took != 0 {
			t.Errorf("resumed after %v", took)
		}
		turn, _ := begun(t, b, "a")
		if took := time.Since(began); took != lease {
			t.Errorf("began after %v", took)
		}
		turn.End()
	})
}

// A claim under the context of a turn pauses the turn while it waits, and only then.
func TestWaitingClaimPausesItsTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		places := leased()
		room := newBound(func(s *bound.Spec) { s.Wait = time.Minute })
		turn, ctx := begun(t, places, "a")
		var first, second bound.Hold
		if err := room.Take(ctx, &first, "a", 10, nil); err != nil {
			t.Fatal(err)
		}
		used(t, places, 1)
		claimed := make(chan error)
		go func() { claimed <- room.Take(ctx, &second, "a", 10, nil) }()
		synctest.Wait()
		used(t, places, 0)
		first.Release()
		if err := <-claimed; err != nil {
			t.Fatal(err)
		}
		used(t, places, 1)
		turn.End()
	})
}
