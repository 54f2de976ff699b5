package bound

import (
	"testing"
	"testing/synctest"
	"time"
)

// Supplant evicts what has made no progress for the patience, the longest idle first, and nothing
// that is in use, whatever its size.
func TestSupplantTakesFromTheIdlestOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewSet().New(Spec{Name: "b", Of: "b", Unit: Bytes, Limit: 100, AtLimit: "b",
			Patience: time.Minute})
		var used, idle, idlest, pinned, claimed Hold
		left := make(chan *Hold, 5)
		claim := func(h *Hold, size int64, want bool) {
			t.Helper()
			if got := b.Supplant(h, size, func() { left <- h }); got != want {
				t.Fatalf("a claim of %d: %v", size, got)
			}
		}
		gone := func(want *Hold) {
			t.Helper()
			if h := <-left; h != want {
				t.Fatal("another hold was evicted")
			}
			want.Release()
		}
		claim(&idlest, 10, true)
		time.Sleep(time.Second)
		claim(&idle, 20, true)
		claim(&used, 50, true)
		if !b.Supplant(&pinned, 20, nil) {
			t.Fatal("there was room")
		}
		claim(&claimed, 1, false) // nobody is idle yet
		time.Sleep(2 * time.Minute)
		used.Progress()
		claim(&claimed, 31, false) // the idle ones have less
		claim(&claimed, 10, true)
		gone(&idlest)
		claim(&claimed, 30, true)
		gone(&idle)
		claim(&claimed, 31, false)
		if held := b.Used(); held != 100 || len(left) > 0 {
			t.Errorf("%d are held, and %d more were evicted", held, len(left))
		}
	})
}
