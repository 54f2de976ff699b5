package meter

import (
	"slices"
	"time"
)

// A Spread is what a figure came to over the rounds of a run.
type Spread struct{ Median, Min, Max float64 }

// SpreadOf returns the spread of at least one value.
func SpreadOf(values []float64) Spread {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	return Spread{(sorted[(n-1)/2] + sorted[n/2]) / 2, sorted[0], sorted[n-1]}
}

// Ratios divides the values of each round by the sum of the others' of that round: whatever
// disturbs a round disturbs all systems in it, so a ratio varies less than the values do. It has as
// many rounds as all of them have.
func Ratios(values []float64, others ...[]float64) []float64 {
	rounds := len(values)
	for _, other := range others {
		rounds = min(rounds, len(other))
	}
	ratios := make([]float64, rounds)
	for i := range ratios {
		var sum float64
		for _, other := range others {
			sum += other[i]
		}
		ratios[i] = values[i] / sum
	}
	return ratios
}

// Microseconds returns a duration in microseconds, with a fraction.
func Microseconds(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1000 }
