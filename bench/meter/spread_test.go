package meter

import (
	"slices"
	"testing"
	"time"
)

func TestSpreadOf(t *testing.T) {
	for _, test := range []struct {
		values []float64
		want   Spread
	}{
		{[]float64{3}, Spread{3, 3, 3}},
		{[]float64{5, 1, 3}, Spread{3, 1, 5}},
		{[]float64{4, 1, 2, 10}, Spread{3, 1, 10}},
	} {
		before := slices.Clone(test.values)
		if got := SpreadOf(test.values); got != test.want {
			t.Errorf("%v: %v, not %v", test.values, got, test.want)
		}
		if !slices.Equal(test.values, before) {
			t.Errorf("%v has become %v", before, test.values)
		}
	}
}

// A disturbance that doubled one round's figures leaves its ratio as it was.
func TestRatiosAreTakenRoundByRound(t *testing.T) {
	whole, first, second := []float64{50, 100, 60}, []float64{25, 50, 25}, []float64{15, 30, 15}
	got := Ratios(whole, first, second)
	if want := []float64{1.25, 1.25, 1.5}; !slices.Equal(got, want) {
		t.Errorf("%v, not %v", got, want)
	}
}

func TestRatiosHaveTheRoundsOfAll(t *testing.T) {
	if got := Ratios([]float64{2, 4, 6}, []float64{1, 1}); !slices.Equal(got, []float64{2, 4}) {
		t.Errorf("%v", got)
	}
	if got := Ratios([]float64{2, 4, 6}, nil); len(got) != 0 {
		t.Errorf("%v, though the other system did not run", got)
	}
}

func TestCPUSinceSubtractsEachProcess(t *testing.T) {
	before := CPU{Serving: []time.Duration{10, 20}, Generator: 5}
	used := CPU{Serving: []time.Duration{14, 21}, Generator: 8}.Since(before)
	if !slices.Equal(used.Serving, []time.Duration{4, 1}) || used.Generator != 3 {
		t.Errorf("%+v", used)
	}
}
