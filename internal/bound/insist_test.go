package bound_test

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"kvgateway/internal/bound"
)

func TestSmallClaimUsesTheReserve(t *testing.T) {
	b := newBound(func(s *bound.Spec) {
		s.Limit, s.PerOwner, s.Reserve, s.Small, s.Wait = 20, 15, 5, 2, time.Minute
	})
	take(t, b, "a", 15)
	if b.Try(new(bound.Hold), "b", 3, nil) {
		t.Fatal("a large claim used the reserve")
	}
	take(t, b, "a", 2) // although its share is used up as well
	take(t, b, "b", 2)
	if b.Try(new(bound.Hold), "b", 2, nil) {
		t.Fatal("a small claim exceeded the limit")
	}
}

func TestSmallClaimDoesNotWaitBehindALargeOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBound(func(s *bound.Spec) {
			s.Limit, s.Reserve, s.Small, s.Wait = 20, 5, 2, time.Minute
		})
		held := take(t, b, "a", 15)
		granted := false
		go func() { take(t, b, "b", 10); granted = true }()
		synctest.Wait()
		take(t, b, "c", 2)
		full := []*bound.Hold{take(t, b, "c", 2), take(t, b, "c", 1)}
		small := false
		go func() { take(t, b, "c", 1); small = true }()
		synctest.Wait()
		full[1].Release()
		synctest.Wait()
		if !small || granted {
			t.Fatalf("small claim granted: %v, large: %v", small, granted)
		}
		held.Release()
		synctest.Wait()
		if !granted {
			t.Fatal("the large claim starves")
		}
	})
}

func TestInsistentClaimEvictsTheLargestOfItsKind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBound(func(s *bound.Spec) { s.Limit, s.Patience = 20, time.Second })
		evicted := ""
		insist := func(name string, size int64) bool {
			h := new(bound.Hold)
			defer synctest.Wait()
			return b.Insist(h, "", size, func() { evicted += name; h.Release() })
		}
		answer := new(bound.Hold)
		evict := func() { evicted += "answer"; answer.Release() }
		if err := b.Take(t.Context(), answer, "", 14, evict); err != nil {
			t.Fatal(err)
		}
		if !insist("a", 2) || !insist("b", 4) || !insist("c", 3) || evicted != "b" {
			t.Fatalf("evicted %q for c", evicted)
		}
		if insist("d", 5) {
			t.Fatal("a claim larger than all others was granted")
		}
		time.Sleep(2 * time.Second) // now all holds have stalled
		answer.Progress()           // and the answer goes on
		if !insist("e", 3) || evicted != "bc" {
			t.Fatalf("evicted %q for e: the largest stalled hold goes first", evicted)
		}
	})
}

func TestInsistentClaimsHaveHalfOfTheLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBound(func(s *bound.Spec) { s.Limit, s.Patience = 20, time.Second })
		insist := func(size int64) bool {
			h := new(bound.Hold)
			defer synctest.Wait()
			return b.Insist(h, "", size, h.Release)
		}
		for range 10 {
			if !insist(4) {
				t.Fatal("a claim that is not the largest was refused")
			}
			if b.Used() > 10 {
				t.Fatalf("claims that insist hold %d of 20", b.Used())
			}
		}
		take(t, b, "a", 10)
		if !insist(4) || b.Used() > 20 {
			t.Fatalf("%d are held", b.Used())
		}
	})
}

func TestHoldIsEvictedOnlyWhileItIsEvictable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBound(func(s *bound.Spec) { s.Wait, s.Patience = 10*time.Second, time.Second })
		var evicted atomic.Bool
		held := take(t, b, "a", 10)
		go func() {
			if h := new(bound.Hold); b.Take(t.Context(), h, "b", 1, nil) == nil {
				h.Release()
			}
		}()
		time.Sleep(5 * time.Second)
		if evicted.Load() {
			t.Fatal("evicted without an evict function")
		}
		held.Evictable(func() { evicted.Store(true); held.Release() })
		time.Sleep(500 * time.Millisecond)
		if evicted.Load() {
			t.Fatal("evicted before the patience was over")
		}
		held.Evictable(nil)
		held.Evictable(func() { evicted.Store(true); held.Release() })
		time.Sleep(2 * time.Second)
		if !evicted.Load() {
			t.Fatal("not evicted")
		}
	})
}
