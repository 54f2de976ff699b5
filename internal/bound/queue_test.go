package bound_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"kvgateway/internal/bound"
)

func TestOwnerCannotFillTheQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBound(func(s *bound.Spec) {
			s.Wait, s.Queue, s.OwnerQueue = time.Minute, 10, 2
		})
		held := take(t, b, "greedy", 10)
		var waiting sync.WaitGroup
		for range 2 {
			waiting.Go(func() { take(t, b, "greedy", 1).Release() })
		}
		synctest.Wait()
		if full := tryTake(t, b, "greedy", 1); full == nil || !full.OfOwner {
			t.Errorf("a third claim of the owner that waits: %+v", full)
		}
		waiting.Go(func() { take(t, b, "modest", 1).Release() })
		synctest.Wait()
		held.Release()
		waiting.Wait()
	})
}

func TestRefusalsOfADroppedBoundStayCounted(t *testing.T) {
	set := bound.NewSet()
	set.New(spec(nil))
	one := set.New(spec(nil))
	take(t, one, "a", 10)
	if err := one.Take(t.Context(), new(bound.Hold), "a", 1, nil); err == nil {
		t.Fatal("granted beyond the limit")
	}
	set.Drop(one)
	if r := set.Read(); len(r) != 1 || r[0].Refused != 1 || r[0].Used != 0 {
		t.Errorf("readings %+v", r)
	}
}

// Several goroutines take and release at once: the same hold is released twice, and claims are
// granted at the moment at which they are given up.
func TestBoundSurvivesConcurrentUse(t *testing.T) {
	b := newBound(func(s *bound.Spec) {
		s.PerOwner, s.Wait, s.Patience = 8, time.Minute, time.Nanosecond
	})
	var users sync.WaitGroup
	for i := range 16 {
		owner := string(rune('a' + i%4))
		users.Go(func() {
			for j := range 200 {
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(j)*time.Microsecond)
				var h bound.Hold
				if b.Take(ctx, &h, owner, int64(1+j%5), h.Release) == nil {
					other := make(chan struct{})
					go func() { h.Release(); close(other) }()
					h.Shrink(1)
					h.Release()
					<-other
				}
				cancel()
			}
		})
	}
	users.Wait()
	if used := b.Used(); used != 0 {
		t.Errorf("%d are held by nobody", used)
	}
}

// A claim is taken out of a line of any length in constant time. While the 40,000 claims of one
// client are given up, as when its connections are closed, the claims of another are granted.
func TestManyClaimsThatAreGivenUpDelayNobody(t *testing.T) {
	b := newBound(func(s *bound.Spec) { s.PerOwner, s.Wait = 5, time.Minute })
	take(t, b, "greedy", 5)
	ctx, cancel := context.WithCancel(t.Context())
	var greedy sync.WaitGroup
	const claims = 40_000
	for range claims {
		greedy.Go(func() { _ = b.Take(ctx, new(bound.Hold), "greedy", 1, nil) })
	}
	for b.Waiting() < claims {
		time.Sleep(time.Millisecond)
	}
	cancel()
	worst := time.Duration(0)
	for b.Waiting() > 0 {
		began := time.Now()
		take(t, b, "modest", 1).Release()
		worst = max(worst, time.Since(began))
	}
	if worst > time.Second {
		t.Errorf("a claim of another client took %v", worst)
	}
	t.Logf("a claim of another client took at most %v", worst)
	greedy.Wait()
}

func TestQueueWithoutALengthIsRefused(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("a bound was made whose queue nothing bounds")
		}
	}()
	newBound(func(s *bound.Spec) { s.Wait, s.QueuedBy = time.Second, "" })
}

// A line whose claims never fit does not keep the others from room that is free, neither while one
// of its claims waits nor when that has given up and the next one is the first.
func TestLineThatNeverFitsDelaysOthersForAMoment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBound(func(s *bound.Spec) {
			s.Limit, s.PerOwner, s.Queue = 100, 50, 100
			s.Wait, s.Patience = 5*time.Second, time.Hour
		})
		take(t, b, "a", 50)
		take(t, b, "b", 40)
		ctx, stop := context.WithCancel(t.Context())
		var large sync.WaitGroup
		for range 20 {
			large.Go(func() {
				if h := new(bound.Hold); b.Take(ctx, h, "large", 50, nil) == nil {
					h.Release()
				}
			})
			time.Sleep(50 * time.Millisecond)
		}
		defer large.Wait()
		defer stop()
		for range 100 {
			began := time.Now()
			h := new(bound.Hold)
			if err := b.Take(t.Context(), h, "small", 5, nil); err != nil {
				t.Fatalf("a claim for which there is room: %v", err)
			}
			h.Release()
			if waited := time.Since(began); waited > 500*time.Millisecond {
				t.Fatalf("a claim for which there is room waited for %v", waited)
			}
			time.Sleep(50 * time.Millisecond)
		}
	})
}

// A large claim gets its turn although there are always small ones that would fit.
func TestLargeClaimIsServedBesideSmallOnes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBound(func(s *bound.Spec) {
			s.Limit, s.Queue, s.Wait, s.Patience = 100, 1000, 5*time.Second, time.Hour
		})
		ctx, stop := context.WithCancel(t.Context())
		var small sync.WaitGroup
		for i := range 40 {
			small.Go(func() {
				for ctx.Err() == nil {
					h := new(bound.Hold)
					if b.Take(ctx, h, fmt.Sprint("small ", i), 5, nil) == nil {
						time.Sleep(10 * time.Millisecond)
						h.Release()
					}
				}
			})
		}
		time.Sleep(100 * time.Millisecond)
		began := time.Now()
		h := new(bound.Hold)
		if err := b.Take(t.Context(), h, "large", 90, nil); err != nil {
			t.Fatalf("a large claim beside small ones: %v", err)
		}
		if waited := time.Since(began); waited > time.Second {
			t.Errorf("it waited for %v", waited)
		}
		h.Release()
		stop()
		small.Wait()
	})
}
