package main

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func TestBucketsAreExactToOnePercent(t *testing.T) {
	for _, d := range []time.Duration{0, 1, 127, 128, 129, 255, 256, 1000, 63_600, 4_309_000, time.Second, 17 * time.Minute} {
		got := middleOf(bucketOf(d))
		if math.Abs(float64(got-d)) > 0.01*float64(d) {
			t.Errorf("%v is read as %v", d, got)
		}
	}
}

func TestBucketsGrowAndStayInRange(t *testing.T) {
	last := 0
	for d := time.Duration(1); d > 0 && d < math.MaxInt64/2; d += d/50 + 1 {
		bucket := bucketOf(d)
		if bucket < last || bucket >= bucketCount {
			t.Fatalf("bucket %d of %v follows %d, of %d", bucket, d, last, bucketCount)
		}
		last = bucket
	}
	if bucketOf(-time.Second) != 0 || bucketOf(math.MaxInt64) != bucketCount-1 {
		t.Error("a duration out of range is not in the first or last bucket")
	}
}

func TestQuantiles(t *testing.T) {
	var h, other histogram
	if h.quantile(0.5) != 0 {
		t.Error("an empty histogram has a median")
	}
	random := rand.New(rand.NewPCG(1, 2))
	var all []time.Duration
	for i := range 10_000 {
		d := time.Duration(random.ExpFloat64() * float64(time.Millisecond))
		all = append(all, d)
		if i%2 == 0 {
			h.observe(d)
		} else {
			other.observe(d)
		}
	}
	h.merge(&other)
	slices.Sort(all)
	for _, q := range []float64{0, 0.5, 0.99, 1} {
		want := all[int(q*float64(len(all)-1))]
		if got := h.quantile(q); math.Abs(float64(got-want)) > 0.01*float64(want)+1 {
			t.Errorf("quantile %v is %v, not %v", q, got, want)
		}
	}
}

func TestObserveDoesNotAllocate(t *testing.T) {
	var h histogram
	if n := testing.AllocsPerRun(100, func() { h.observe(time.Millisecond) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
