package bound_test

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"kvgateway/internal/bound"
)

const lease = 10 * time.Millisecond

// leased returns a bound of four places, of which an owner has two, with a lease.
func leased() *bound.Bound {
	return newBound(func(s *bound.Spec) {
		s.Limit, s.PerOwner, s.Lease, s.Wait = 4, 2, lease, time.Minute
	})
}

func TestLeaseEndsForThoseThatWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, began := leased(), time.Now()
		stuck := []*bound.Hold{take(t, b, "a", 1), take(t, b, "a", 1)}
		take(t, b, "b", 1).Release() // others have room
		var granted []time.Duration
		for range 5 { // two have room at a time, and none is released
			take(t, b, "a", 1)
			granted = append(granted, time.Since(began))
		}
		for i, want := range []time.Duration{lease, lease, 2 * lease, 2 * lease, 3 * lease} {
			if granted[i] != want {
				t.Fatalf("granted after %v", granted)
			}
		}
		for _, h := range stuck { // others have their places by now
			h.Release()
		}
		if used := b.Used(); used != 1 {
			t.Errorf("%d places are taken", used)
		}
	})
}

func TestReleaseBeforeTheEndOfALeaseGrantsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, began := leased(), time.Now()
		held := []*bound.Hold{take(t, b, "a", 1), take(t, b, "a", 1)}
		var waiting sync.WaitGroup
		for range 2 {
			waiting.Go(func() { take(t, b, "a", 1) })
		}
		synctest.Wait()
		time.Sleep(lease / 2)
		for _, h := range held {
			h.Release()
		}
		waiting.Wait()
		if took := time.Since(began); took != lease/2 {
			t.Errorf("granted after %v", took)
		}
		synctest.Wait()
		time.Sleep(lease - 1) // what was granted has its own lease
		if used := b.Used(); used != 2 {
			t.Errorf("%d places are taken", used)
		}
	})
}

// A hold whose lease has ended before it was released can be used again.
func TestHoldIsUsedAgainAfterItsLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := leased()
		h := take(t, b, "a", 1)
		take(t, b, "a", 1)
		take(t, b, "a", 1) // waits for the end of both leases
		h.Release()
		if err := b.Take(t.Context(), h, "b", 1, nil); err != nil {
			t.Fatal(err)
		}
		h.Release()
		if used := b.Used(); used != 1 {
			t.Errorf("%d places are taken", used)
		}
	})
}

// Holds that nobody releases, such as those of a bound of what begins in a second, are freed when
// their leases end, although no claim waits.
func TestLeasesThatAreOverAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := leased()
		for i := range 50 {
			take(t, b, string(rune('a'+i)), 1)
			if used := b.Used(); used > 2 {
				t.Fatalf("%d places are taken", used)
			}
			time.Sleep(lease / 2)
		}
	})
}

// draining returns a bound of 1,000 that drains within a second.
func draining() *bound.Bound {
	return newBound(func(s *bound.Spec) {
		s.Limit, s.PerOwner, s.Lease, s.Wait, s.Drains = 1000, 0, time.Second, time.Minute, true
	})
}

// A bound that drains grants a burst, and then goes on at a steady pace. A hold that is released
// before it has drained gives back what is left of it.
func TestDrainingBoundGrantsAtASteadyPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, began := draining(), time.Now()
		took := func() time.Duration { return time.Since(began).Round(5 * time.Millisecond) }
		for i := range 10 {
			take(t, b, "a", 250)
			// The fifth makes the bound more than full.
			want := time.Duration(max(0, i-4)) * time.Second / 4
			if took() != want {
				t.Errorf("claim %d was granted after %v, want %v", i, took(), want)
			}
		}
		time.Sleep(time.Minute) // a long rest allows no larger burst
		h := take(t, b, "a", 1000)
		if used := b.Used(); used != 1000 {
			t.Errorf("%d are held after a burst, want 1000", used)
		}
		time.Sleep(time.Second / 4)
		if used := b.Used(); used != 750 {
			t.Errorf("%d are held after a quarter of a lease, want 750", used)
		}
		if h.Release(); b.Used() != 0 {
			t.Errorf("%d are held after a release", b.Used())
		}
	})
}

// In a bound that drains, a large claim does not starve behind small ones, and the owner that holds
// least comes first.
func TestDrainingBoundServesTheOwnerThatHoldsLeast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := draining()
		stop := make(chan struct{})
		var flood sync.WaitGroup
		for range 8 {
			flood.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
						take(t, b, "a", 100)
					}
				}
			})
		}
		time.Sleep(5 * time.Second)
		for _, claim := range []struct {
			size int64
			wait time.Duration
		}{
			{1, 0}, {100, 0}, {500, 0}, // it has held less than an eighth before each
			{100, 1500 * time.Millisecond}, // the 100 held before drain first
			{2000, 2 * time.Second},
		} {
			began := time.Now()
			take(t, b, "b", claim.size)
			if took := time.Since(began); took > claim.wait {
				t.Errorf("a claim of %d was granted after %v", claim.size, took)
			}
		}
		close(stop)
		flood.Wait()
	})
}
