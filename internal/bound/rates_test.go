package bound_test

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"kvgateway/internal/bound"
)

// newRates returns rates of so many in a second.
func newRates(perSecond int64) (*bound.Set, *bound.Rates) {
	set := bound.NewSet()
	return set, set.NewRates(bound.Spec{
		Name: "rate", Of: "a test's", PerOwner: perSecond, AtLimit: "refused",
	})
}

// begin counts how many of n things an owner may begin.
func begin(r *bound.Rates, owner string, n int) (begun int) {
	for range n {
		if _, err := r.Begin(owner); err == nil {
			begun++
		}
	}
	return begun
}

func TestRatesOfOwnersAreTheirOwn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		set, r := newRates(10)
		if left, err := r.Begin("a"); err != nil || left != 9 {
			t.Errorf("after one of 10: %d left, %v", left, err)
		}
		if n := begin(r, "a", 20); n != 9 {
			t.Errorf("%d of the other 9 were begun", n)
		}
		left, err := r.Begin("a")
		full, isFull := errors.AsType[*bound.FullError](err)
		if !isFull || !full.OfOwner || full.Bound.Name != "rate" || left != 0 {
			t.Errorf("beyond the rate: %d left, %v", left, err)
		}
		if n := begin(r, "b", 20); n != 10 {
			t.Errorf("another began %d", n)
		}
		time.Sleep(300 * time.Millisecond)
		if n := begin(r, "a", 20); n != 3 {
			t.Errorf("%d were begun after 0.3 s", n)
		}
		time.Sleep(time.Hour)
		if n := begin(r, "a", 20); n != 10 {
			t.Errorf("%d were begun after an hour", n)
		}
		if reading := set.Read()[0]; reading.Refused != 12+10+17+10 {
			t.Errorf("%d refusals were counted", reading.Refused)
		}
	})
}

// Whoever comes with many names resets nobody's count, and all these have one together.
func TestRatesCannotBeResetByManyOwners(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, r := newRates(10)
		begin(r, "a", 10)
		const names = 200_000
		begun := 0
		for i := range names {
			begun += begin(r, fmt.Sprint("name", i), 10)
		}
		if n := begin(r, "a", 10); n != 0 {
			t.Errorf("%d were begun beyond the rate", n)
		}
		const most = 64 * (1024 + 1) * 10
		if begun > most {
			t.Errorf("%d were begun by %d names, more than %d", begun, names, most)
		}
		time.Sleep(time.Second)
		if n := begin(r, "new", 20); n != 10 {
			t.Errorf("%d were begun by a new name, once the others had paid", n)
		}
	})
}

func BenchmarkRatesBegin(b *testing.B) {
	_, r := newRates(1_000_000)
	for b.Loop() {
		_, _ = r.Begin("192.0.2.1")
	}
}
