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
	if h := take(t, b, "a", 15); h.Size() != 12 {
		t.Fatalf("large claims have %d of a share of 15", h.Size())
	}
	take(t, b, "b", 3)
	if b.Try(new(bound.Hold), "b", 3, nil) {
		t.Fatal("a large claim used the reserve")
	}
	take(t, b, "a", 2) // a part of its share is kept for small claims
	if b.Try(new(bound.Hold), "a", 2, nil) {
		t.Fatal("an owner exceeded its share")
	}
	take(t, b, "b", 2)
	if b.Try(new(bound.Hold), "b", 2, nil) {
		t.Fatal("a small claim exceeded the limit")
	}
}

// However much one owner has in small holds, there is room for the larger claims of others: small
// holds are charged to the reserve first, and an owner has its share and no more.
func TestSmallHoldsLeaveRoomForLargeOnes(t *testing.T) {
	const mib = 1 << 20
	b := newBound(func(s *bound.Spec) {
		s.Limit, s.PerOwner, s.Reserve, s.Small = 96*mib, 48*mib, 24*mib, 128<<10
	})
	for b.Try(new(bound.Hold), "greedy", 128<<10, nil) {
	}
	if used := b.Used(); used != 48*mib {
		t.Errorf("one owner has %d MiB in small holds", used/mib)
	}
	for i := range 36 {
		if !b.Try(new(bound.Hold), "modest", 1*mib, nil) {
			t.Fatalf("no room for %d MiB of another owner beside them", i+1)
		}
	}
	if !b.Try(new(bound.Hold), "modest", 128<<10, nil) {
		t.Error("no room for a small claim of another owner beside them")
	}
}

// Small claims for which the reserve has no room take turns with larger ones.
func TestSmallClaimsBeyondTheReserveTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBound(func(s *bound.Spec) {
			s.Limit, s.Reserve, s.Small, s.Wait = 20, 4, 2, time.Minute
		})
		held := take(t, b, "a", 16)
		for range 2 {
			take(t, b, "a", 2) // the reserve is full
		}
		granted := make(chan string, 20)
		claim := func(owner string, size int64) {
			go func() {
				h := take(t, b, owner, size)
				granted <- owner
				time.Sleep(time.Second)
				h.Release()
			}()
			synctest.Wait()
		}
		claim("large", 16)
		for range 16 {
			claim("small", 2)
		}
		held.Release()
		synctest.Wait()
		if first := <-granted; first != "large" {
			t.Errorf("granted to %s", first)
		}
		for range 16 {
			<-granted
		}
		time.Sleep(2 * time.Second) // until all holds are released
	})
}

// As many holds as a claim needs are evicted at once, and what they give back is saved for it.
func TestClaimEvictsAsManyAsItNeeds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		set := bound.NewSet()
		b := set.New(spec(func(s *bound.Spec) {
			s.Limit, s.Reserve, s.Small, s.Wait, s.Patience = 24, 4, 1, 10*time.Second, time.Second
		}))
		for range 20 {
			h := new(bound.Hold)
			if err := b.Take(t.Context(), h, "stuck", 1, func() {
				time.Sleep(time.Duration(1+b.Used()) * time.Millisecond) // one after the other
				h.Release()
			}); err != nil {
				t.Fatal(err)
			}
		}
		others := make(chan struct{})
		for range 4 { // these fill the reserve
			take(t, b, "other", 1)
		}
		time.Sleep(2 * time.Second)
		began := time.Now()
		go func() {
			defer close(others)
			for time.Since(began) < time.Second { // takes whatever is free
				b.Try(new(bound.Hold), "other", 1, nil)
				time.Sleep(time.Millisecond)
			}
		}()
		h := take(t, b, "large", 10)
		if took := time.Since(began); took > 100*time.Millisecond {
			t.Errorf("granted after %v", took)
		}
		if evicted := set.Read()[0].Evicted; evicted != 10 {
			t.Errorf("%d were evicted for a claim of 10", evicted)
		}
		h.Release()
		<-others
	})
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

// Clients that take a little are not stalled, so what they hold together decides who makes room.
// With 70 streams of one client that each held 0.8 MB, another client's stream was cut at each
// event of 1 MB.
func TestInsistentClaimEvictsOfTheOwnerWithMost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBound(func(s *bound.Spec) { s.Limit, s.Patience = 40, time.Second })
		var many, one atomic.Int32 // how many holds of each owner are evicted
		insist := func(owner string, size int64) bool {
			evicted := &many
			if owner == "one" {
				evicted = &one
			}
			h := new(bound.Hold)
			defer synctest.Wait()
			return b.Insist(h, owner, size, func() {
				evicted.Add(1)
				h.Release()
			})
		}
		for range 6 {
			if !insist("many", 3) {
				t.Fatal("refused while there was room")
			}
		}
		want := func(claim string, ofMany, ofOne int32) {
			t.Helper()
			if many.Load() != ofMany || one.Load() != ofOne {
				t.Errorf("%s: %d of many and %d of one are evicted", claim, many.Load(), one.Load())
			}
		}
		if !insist("one", 5) {
			t.Error("a claim beside those of another owner, larger in all, is refused")
		}
		want("the first claim", 1, 0)
		if !insist("one", 4) {
			t.Error("the next claim is refused")
		}
		want("the next claim", 3, 0)
		if insist("one", 11) {
			t.Error("a claim was granted that makes its owner the one with most")
		}
	})
}
