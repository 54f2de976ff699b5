package bound

import (
	"testing"
	"time"
)

// Displace evicts the largest hold that is larger than the claim, and takes its place at once; it
// takes nothing from holds that have as much or less.
func TestDisplaceTakesFromTheLargestOnly(t *testing.T) {
	b := NewSet().New(Spec{Name: "b", Of: "b", Unit: Bytes, Limit: 100, AtLimit: "b"})
	var large, small, third Hold
	left := make(chan *Hold, 3)
	evict := func(h *Hold) func() { return func() { left <- h } }
	claim := func(h *Hold, size int64, want bool) {
		t.Helper()
		if got := b.Displace(h, size, evict(h)); got != want {
			t.Fatalf("a claim of %d: %v", size, got)
		}
	}
	claim(&large, 60, true)
	claim(&small, 30, true)
	claim(&third, 61, false) // it would be the largest itself
	claim(&small, 60, false) // and this one as large as the other
	claim(&third, 20, true)
	if used := b.Used(); used != 110 {
		t.Errorf("%d are held while the largest leaves", used)
	}
	claim(&large, 70, false) // it is leaving
	select {
	case h := <-left:
		if h != &large {
			t.Fatal("another hold was evicted")
		}
		h.Release()
	case <-time.After(10 * time.Second):
		t.Fatal("nothing was evicted")
	}
	claim(&third, 70, true)
	claim(&large, 10, true)
	if h := <-left; h != &third {
		t.Error("the largest by then was not evicted")
	}
	third.Release()
	if used := b.Used(); used != 40 || len(left) != 0 {
		t.Errorf("%d are held, and %d more were evicted", used, len(left))
	}
}
