package bound_test

import (
	"context"
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
