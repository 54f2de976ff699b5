package report

import "math"

// A scale places values on the axis of a plot.
type scale struct {
	low, high float64 // the ends of the axis
	log       bool
	left      int // where the axis begins, in pixels
}

// scale returns one that has room for all figures and the aim. A linear one begins at 0, or below
// if there are negative figures.
func (p plot) scale() scale {
	s := scale{low: math.Inf(1), high: p.aim, log: p.log}
	longest := len(p.left)
	for _, group := range p.groups {
		longest = max(longest, len(group.label))
		for _, f := range group.values {
			if f == nil {
				continue
			}
			for _, v := range []float64{f.Min, f.Median, f.Max} {
				if v > 0 || !p.log {
					s.low, s.high = min(s.low, v), max(s.high, v)
				}
			}
		}
	}
	s.left = plotMargin + 24 + letterWidth*longest
	if s.log && s.low <= s.high {
		s.low, s.high = lower(s.low), upper(s.high)
		return s
	}
	s.log, s.low = false, min(s.low, 0) // A logarithmic axis needs positive figures.
	s.high = max(s.high, s.low+1e-9)
	return s
}

// x returns where a value stands, in pixels from the left. Values beyond the ends stand at the
// ends: a logarithmic axis has no place for 0.
func (s scale) x(v float64) float64 {
	low, high := s.low, s.high
	v = min(max(v, low), high)
	if s.log {
		v, low, high = math.Log(v), math.Log(low), math.Log(high)
	}
	width := float64(plotWidth - plotMargin - valueWidth - s.left)
	return float64(s.left) + width*(v-low)/(high-low)
}

// steps are the first digits that ticks can have.
var steps = []float64{1, 2, 5}

// ticks returns the values at which the axis has lines.
func (s scale) ticks() (ticks []float64) {
	if s.log {
		for v := lower(s.low); v <= s.high*1.001; v = above(v) {
			if len(ticks) == 0 || s.x(v)-s.x(ticks[len(ticks)-1]) >= tickSpacing/2 {
				ticks = append(ticks, v)
			}
		}
		return ticks
	}
	step := lower((s.high - s.low) / 1000)
	for s.x(s.low+step)-s.x(s.low) < tickSpacing {
		step = above(step)
	}
	for n := math.Ceil(s.low / step); n*step <= s.high*1.001; n++ {
		ticks = append(ticks, n*step)
	}
	return ticks
}

// lower returns the largest step of any power of ten that is not above v, and upper the smallest
// that is not below it. v is positive.
func lower(v float64) float64 {
	power := math.Pow(10, math.Floor(math.Log10(v)))
	below := power
	for _, step := range steps {
		if step*power <= v*1.000001 {
			below = step * power
		}
	}
	return below
}

func upper(v float64) float64 {
	below := lower(v)
	if below >= v*0.999999 {
		return below
	}
	return above(below)
}

// above returns the next step after one.
func above(step float64) float64 {
	power := math.Pow(10, math.Floor(math.Log10(step*1.000001)))
	for _, digit := range steps {
		if digit*power > step*1.000001 {
			return digit * power
		}
	}
	return 10 * power
}
