package meter

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// quantileOf is what a histogram reads a single duration as.
func quantileOf(d time.Duration) time.Duration {
	h := NewHistogram()
	h.Observe(d)
	return h.Quantile(0.5)
}

func TestDurationsAreExactToOnePercent(t *testing.T) {
	durations := []time.Duration{0, 1, 127, 128, 129, 255, 256, 1000, 63_600, 4_309_000,
		time.Second, 17 * time.Minute}
	for d := time.Duration(1); d < time.Minute; d += d/50 + 1 {
		durations = append(durations, d)
	}
	for _, d := range durations {
		if got := quantileOf(d); math.Abs(float64(got-d)) > 0.01*float64(d) {
			t.Errorf("%v is read as %v", d, got)
		}
	}
}

func TestDurationsOutOfRangeCountAsTheNearest(t *testing.T) {
	if got := quantileOf(-time.Second); got != 0 {
		t.Errorf("a negative duration is read as %v", got)
	}
	longest := time.Duration(longestDuration)
	got := quantileOf(math.MaxInt64)
	if math.Abs(float64(got-longest)) > 0.01*float64(longest) {
		t.Errorf("the longest duration is read as %v, not %v", got, longest)
	}
}

func TestEmptyHistogramHasNoQuantiles(t *testing.T) {
	h := NewHistogram()
	if got := h.Quantile(0.99); got != 0 || h.Count() != 0 {
		t.Errorf("quantile %v of %d durations", got, h.Count())
	}
}

// The parts are merged from all workers, so a quantile must be that of all durations together.
func TestMergedHistogramHasTheQuantilesOfAll(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	parts := []*Histogram{NewHistogram(), NewHistogram(), NewHistogram()}
	var all []time.Duration
	for i := range 10_000 {
		d := time.Duration(random.ExpFloat64() * float64(time.Millisecond))
		all = append(all, d)
		parts[i%len(parts)].Observe(d)
	}
	whole := NewHistogram()
	for _, part := range parts {
		whole.Merge(part)
	}
	if whole.Count() != int64(len(all)) || parts[0].Count() != 3334 {
		t.Errorf("%d durations after the merge, and %d in a part", whole.Count(), parts[0].Count())
	}
	slices.Sort(all)
	if want := all[len(all)-1]; whole.Longest() != want || whole.Quantile(1) > want {
		t.Errorf("the longest is %v, quantile 1 %v, not %v",
			whole.Longest(), whole.Quantile(1), want)
	}
	for _, q := range []float64{0, 0.5, 0.99, 1} {
		want := all[int(q*float64(len(all)-1))]
		if got := whole.Quantile(q); math.Abs(float64(got-want)) > 0.01*float64(want)+1 {
			t.Errorf("quantile %v is %v, not %v", q, got, want)
		}
	}
}

func TestObserveDoesNotAllocate(t *testing.T) {
	h := NewHistogram()
	if n := testing.AllocsPerRun(100, func() { h.Observe(time.Millisecond) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
