package bound_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"kvgateway/internal/bound"
)

// spec returns a spec with a limit of 10 bytes, which change may change.
func spec(change func(*bound.Spec)) bound.Spec {
	s := bound.Spec{
		Name:     "test",
		Of:       "what a test holds",
		Unit:     bound.Bytes,
		Limit:    10,
		AtLimit:  "refused",
		QueuedBy: "the test",
	}
	if change != nil {
		change(&s)
	}
	return s
}

// newBound makes a bound in a set of its own.
func newBound(change func(*bound.Spec)) *bound.Bound { return bound.NewSet().New(spec(change)) }

// tryTake claims size for an owner, and returns the refusal, nil if there is none.
func tryTake(t *testing.T, b *bound.Bound, owner string, size int64) *bound.FullError {
	t.Helper()
	err := b.Take(t.Context(), new(bound.Hold), owner, size, nil)
	full, _ := errors.AsType[*bound.FullError](err)
	return full
}

// take claims size for an owner, and fails the test if it is not granted.
func take(t *testing.T, b *bound.Bound, owner string, size int64) *bound.Hold {
	t.Helper()
	h := new(bound.Hold)
	if err := b.Take(t.Context(), h, owner, size, nil); err != nil {
		t.Fatalf("take %d for %q: %v", size, owner, err)
	}
	return h
}

func TestClaimBeyondTheLimitIsRefused(t *testing.T) {
	set := bound.NewSet()
	b := set.New(spec(nil))
	held := take(t, b, "a", 10)
	if full := tryTake(t, b, "b", 1); full == nil || full.OfOwner {
		t.Fatalf("a claim beyond the limit: %+v", full)
	}
	held.Release()
	held.Release()
	take(t, b, "b", 1).Release()
	if r := set.Read()[0]; r.Used != 0 || r.Refused != 1 {
		t.Fatalf("reading %+v", r)
	}
}

func TestOwnerCannotTakeMoreThanItsShare(t *testing.T) {
	b := newBound(func(s *bound.Spec) { s.PerOwner = 4 })
	take(t, b, "a", 3)
	if full := tryTake(t, b, "a", 2); full == nil || !full.OfOwner {
		t.Fatalf("a second claim of the same owner: %+v", full)
	}
	take(t, b, "b", 4)
	take(t, b, "", 3) // the gateway has no share
}

func TestClaimLargerThanTheLimitIsGrantedAlone(t *testing.T) {
	b := newBound(nil)
	h := take(t, b, "a", 1000)
	if h.Size() != 10 {
		t.Fatalf("holds %d", h.Size())
	}
	h.Shrink(2)
	take(t, b, "b", 8)
}

func TestOwnersThatWaitTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBound(func(s *bound.Spec) { s.Limit, s.Wait = 1, time.Minute })
		held := take(t, b, "greedy", 1)
		order := make(chan string, 5)
		claim := func(owner string) {
			go func() {
				h := take(t, b, owner, 1)
				order <- owner
				h.Release()
			}()
			synctest.Wait()
		}
		for range 4 {
			claim("greedy")
		}
		claim("modest")
		held.Release()
		synctest.Wait()
		close(order)
		var got []string
		for owner := range order {
			got = append(got, owner)
		}
		if strings.Join(got, " ") != "greedy modest greedy greedy greedy" {
			t.Fatalf("order %v", got)
		}
	})
}

func TestClaimOfAnExhaustedShareDelaysNobodyElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBound(func(s *bound.Spec) { s.PerOwner, s.Wait = 4, time.Minute })
		held := take(t, b, "a", 4)
		granted := false
		go func() { take(t, b, "a", 1); granted = true }()
		synctest.Wait()
		take(t, b, "b", 4)
		if granted {
			t.Fatal("the share was exceeded")
		}
		held.Release()
		synctest.Wait()
		if !granted {
			t.Fatal("the share is free, and the claim still waits")
		}
	})
}

func TestClaimIsRefusedAfterItsWaitAndHoldsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBound(func(s *bound.Spec) { s.Wait = time.Second })
		held := take(t, b, "a", 6)
		began := time.Now()
		if tryTake(t, b, "b", 6) == nil {
			t.Fatal("granted beyond the limit")
		}
		if waited := time.Since(began); waited != time.Second {
			t.Fatalf("waited %v", waited)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		err := b.Take(ctx, new(bound.Hold), "b", 6, nil)
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("a claim whose context ends: %v", err)
		}
		held.Release()
		if b.Used() != 0 {
			t.Fatalf("%d held by nobody", b.Used())
		}
	})
}

func TestQueueHasALimitedLength(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBound(func(s *bound.Spec) { s.Wait, s.Queue = time.Minute, 1 })
		held := take(t, b, "a", 10)
		go func() { take(t, b, "b", 1) }()
		synctest.Wait()
		if tryTake(t, b, "c", 1) == nil {
			t.Fatal("the queue grew beyond its limit")
		}
		held.Release()
		synctest.Wait()
		if b.Used() != 1 {
			t.Fatalf("%d held", b.Used())
		}
	})
}

func TestLargestStalledHoldIsEvicted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		set := bound.NewSet()
		b := set.New(spec(func(s *bound.Spec) { s.Wait, s.Patience = 10*time.Second, time.Second }))
		var evicted []string
		hold := func(name string, size int64) *bound.Hold {
			h := new(bound.Hold)
			evict := func() { evicted = append(evicted, name); h.Release() }
			if err := b.Take(t.Context(), h, name, size, evict); err != nil {
				t.Fatal(err)
			}
			return h
		}
		hold("small", 2)
		hold("large", 3)
		busy := hold("busy", 5)
		stop := make(chan struct{})
		go func() {
			for {
				select {
				case <-stop:
					return
				case <-time.After(100 * time.Millisecond):
					busy.Progress()
				}
			}
		}()
		began := time.Now()
		take(t, b, "new", 3)
		if waited := time.Since(began); waited < time.Second || waited > 1100*time.Millisecond {
			t.Fatalf("granted after %v", waited)
		}
		close(stop)
		synctest.Wait()
		if strings.Join(evicted, " ") != "large" || set.Read()[0].Evicted != 1 {
			t.Fatalf("evicted %v", evicted)
		}
	})
}

func TestHoldGrowsOnlyIntoWhatIsFree(t *testing.T) {
	b := newBound(func(s *bound.Spec) { s.PerOwner = 8 })
	h := take(t, b, "a", 2)
	if !h.Grow(8) || h.Grow(9) {
		t.Fatal("grew beyond its share, or not up to it")
	}
	other := take(t, b, "b", 2)
	if other.Grow(3) {
		t.Fatal("grew beyond the limit")
	}
	h.Release()
	if !other.Grow(8) {
		t.Fatal("what was given back is not free")
	}
}

func TestFullQueueRefusesNoClaimThatFits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBound(func(s *bound.Spec) {
			s.PerOwner, s.Wait, s.Queue = 4, time.Minute, 4
		})
		for _, owner := range []string{"one", "two"} {
			take(t, b, owner, 4)
			for range 2 {
				go func() { _ = b.Take(t.Context(), new(bound.Hold), owner, 1, nil) }()
			}
			synctest.Wait()
		}
		take(t, b, "modest", 2)
	})
}

func TestOwnerUsesAtMostHalfOfTheQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBound(func(s *bound.Spec) {
			s.PerOwner, s.Wait, s.Queue = 10, time.Minute, 4
		})
		held, began := take(t, b, "greedy", 10), time.Now()
		for range 2 {
			go func() { take(t, b, "greedy", 10).Release() }()
		}
		synctest.Wait()
		full := tryTake(t, b, "greedy", 1)
		if waited := time.Since(began); full == nil || !full.OfOwner || waited > 0 {
			t.Fatalf("one owner uses more than half of the queue: %v after %v", full, waited)
		}
		go func() { take(t, b, "modest", 1).Release() }()
		synctest.Wait()
		held.Release()
		synctest.Wait()
	})
}

func TestHoldIsExtendedBeforeNewClaimsOfItsOwner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBound(func(s *bound.Spec) { s.Wait = time.Minute })
		first, other := take(t, b, "a", 4), take(t, b, "b", 6)
		var order []string
		go func() { take(t, b, "a", 4); order = append(order, "new") }()
		synctest.Wait()
		go func() {
			if err := first.Extend(t.Context(), 8); err != nil {
				t.Error(err)
			}
			order = append(order, "extended")
		}()
		synctest.Wait()
		other.Release()
		synctest.Wait()
		if strings.Join(order, " ") != "extended" || first.Size() != 8 || b.Used() != 8 {
			t.Fatalf("%v, %d held of %d", order, first.Size(), b.Used())
		}
		first.Release()
		synctest.Wait()
		if strings.Join(order, " ") != "extended new" {
			t.Fatalf("%v", order)
		}
	})
}

func TestHoldThatCannotBeExtendedKeepsWhatItHas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBound(func(s *bound.Spec) { s.Wait = time.Second })
		h := take(t, b, "a", 4)
		take(t, b, "b", 6)
		_, full := errors.AsType[*bound.FullError](h.Extend(t.Context(), 5))
		if !full || h.Size() != 4 {
			t.Fatalf("holds %d, refused: %v", h.Size(), full)
		}
	})
}

func TestHoldsThatWaitForEachOtherAreEvicted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBound(func(s *bound.Spec) { s.Wait, s.Patience = time.Minute, time.Second })
		done := make(chan error, 2)
		for _, owner := range []string{"a", "b"} {
			ctx, cancel := context.WithCancel(t.Context())
			h := new(bound.Hold)
			if err := b.Take(ctx, h, owner, 5, cancel); err != nil {
				t.Fatal(err)
			}
			go func() {
				err := h.Extend(ctx, 10)
				h.Release()
				done <- err
			}()
		}
		one, two := <-done, <-done
		if (one == nil) == (two == nil) {
			t.Fatalf("%v, %v: want that one goes on", one, two)
		}
	})
}

func TestPinnedHoldIsNotEvicted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBound(func(s *bound.Spec) { s.Wait, s.Patience = time.Minute, time.Second })
		h := new(bound.Hold)
		if err := b.Take(t.Context(), h, "a", 10, func() { t.Error("evicted") }); err != nil {
			t.Fatal(err)
		}
		h.Evictable(nil)
		time.AfterFunc(10*time.Second, h.Release)
		take(t, b, "b", 10)
	})
}

func TestBusyTimeDoesNotCountAsStalled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBound(func(s *bound.Spec) { s.Wait, s.Patience = time.Minute, 10*time.Second })
		h := new(bound.Hold)
		if err := b.Take(t.Context(), h, "a", 10, func() { h.Release() }); err != nil {
			t.Fatal(err)
		}
		time.Sleep(9 * time.Second)
		h.Idle(2 * time.Second)
		began := time.Now()
		take(t, b, "b", 10)
		if waited := time.Since(began); waited < 8*time.Second || waited > 9*time.Second {
			t.Fatalf("evicted after %v", waited)
		}
	})
}

func TestTableSaysWhatHappensAtTheLimit(t *testing.T) {
	set := bound.NewSet()
	set.New(spec(func(s *bound.Spec) {
		s.Limit, s.PerOwner, s.Setting = 64<<20, 32<<20, "--memory"
	}))
	set.New(bound.Spec{
		Name:     "age",
		Of:       "an export",
		Unit:     bound.Seconds,
		Duration: time.Hour,
		AtLimit:  "it ends",
	})
	want := "| `age` | an export | 1h |  | it ends |  |\n" +
		"| `test` | what a test holds | 64 MiB | 32 MiB | refused | `--memory` |\n"
	if table := bound.Table(set.Read()); !strings.HasSuffix(table, want) {
		t.Fatalf("table:\n%s", table)
	}
}

func BenchmarkTakeAndRelease(b *testing.B) {
	limit := newBound(nil)
	var h bound.Hold
	for b.Loop() {
		if limit.Take(b.Context(), &h, "", 1, nil) != nil {
			b.Fatal("refused")
		}
		h.Release()
	}
}

func TestPartsOfAnOwnerTakeTurnsAndShare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBound(func(s *bound.Spec) { s.PerOwner, s.Limit, s.Wait = 2, 4, time.Hour })
		x := bound.Part("a", "x")
		held := []*bound.Hold{take(t, b, x, 1), take(t, b, x, 1)}
		got := make(chan string, 10)
		wait := func(part string) {
			go func() {
				if b.Take(t.Context(), new(bound.Hold), bound.Part("a", part), 1, nil) == nil {
					got <- part
				}
			}()
			synctest.Wait()
		}
		wait("x")
		wait("x")
		wait("y")
		take(t, b, bound.Part("b", "x"), 1).Release() // the share of another owner
		for _, h := range held {
			h.Release()
			synctest.Wait()
		}
		first, second := <-got, <-got
		if first == second {
			t.Errorf("two claims of %q were granted in a row", first)
		}
		if b.Used() != 2 {
			t.Errorf("%d held", b.Used())
		}
	})
}

// A bound that becomes smaller keeps what is held, and one that becomes larger grants those that
// wait.
func TestLimitThatChangesGrantsWhatItAllows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBound(func(s *bound.Spec) { s.PerOwner, s.Limit, s.Wait = 3, 4, time.Hour })
		held := take(t, b, "a", 3)
		b.Adjust(2, 1)
		if b.Used() != 3 || b.Limit() != 2 {
			t.Errorf("%d of %d are held", b.Used(), b.Limit())
		}
		granted := make(chan error, 1)
		go func() { granted <- b.Take(t.Context(), new(bound.Hold), "b", 1, nil) }()
		synctest.Wait()
		select {
		case err := <-granted:
			t.Errorf("beyond the limit: %v", err)
		default:
		}
		b.Adjust(4, 3)
		if err := <-granted; err != nil {
			t.Error(err)
		}
		held.Release()
	})
}
