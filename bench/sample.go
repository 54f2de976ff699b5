package main

import (
	"os"
	"slices"
	"time"
)

// cpuReading is the CPU time used so far, of each serving process and of the load generator.
type cpuReading struct {
	serving   []time.Duration
	generator time.Duration
}

func readCPU(serving []*process) (r cpuReading, err error) {
	for _, p := range serving {
		used, err := p.cpu()
		if err != nil {
			return r, err
		}
		r.serving = append(r.serving, used)
	}
	r.generator, err = cpuTime(os.Getpid())
	return r, err
}

func (r cpuReading) since(before cpuReading) cpuReading {
	used := cpuReading{generator: r.generator - before.generator}
	for i := range r.serving {
		used.serving = append(used.serving, r.serving[i]-before.serving[i])
	}
	return used
}

// sample is one round of one system.
type sample struct {
	OpsPerSecond float64   `json:"ops_per_second"`
	P50          float64   `json:"p50_us"` // microseconds, as are all below
	P99          float64   `json:"p99_us"`
	CPU          float64   `json:"cpu_us_per_op"`           // all serving processes
	CPUEach      []float64 `json:"cpu_us_per_op_each"`      // gateway, nats-server
	GeneratorCPU float64   `json:"generator_cpu_us_per_op"` // nothing for the raw systems: they drive themselves
}

func newSample(out outcome, used cpuReading) sample {
	ops := float64(out.Operations)
	s := sample{
		OpsPerSecond: ops / out.Elapsed.Seconds(),
		P50:          microseconds(out.P50), P99: microseconds(out.P99),
		GeneratorCPU: microseconds(used.generator) / ops,
	}
	for _, d := range used.serving {
		s.CPUEach = append(s.CPUEach, microseconds(d)/ops)
		s.CPU += microseconds(d) / ops
	}
	return s
}

func microseconds(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1000 }

// spread is what the rounds of a figure came to.
type spread struct {
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
}

// spreadOf needs at least one value.
func spreadOf(values []float64) spread {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	return spread{(sorted[(n-1)/2] + sorted[n/2]) / 2, sorted[0], sorted[n-1]}
}

// cellResult has the samples of each system by name, one for each round and in the order of the rounds.
type cellResult struct {
	Cell    cell                `json:"cell"`
	Samples map[string][]sample `json:"samples"`
}

// figure picks a number from a sample.
type figure func(sample) float64

func cpuOf(s sample) float64       { return s.CPU }
func opsOf(s sample) float64       { return s.OpsPerSecond }
func p50Of(s sample) float64       { return s.P50 }
func p99Of(s sample) float64       { return s.P99 }
func generatorOf(s sample) float64 { return s.GeneratorCPU }
func eachOf(i int) figure          { return func(s sample) float64 { return s.CPUEach[i] } }

// of is the spread of a system's figure over the rounds; ok is false if the system did not run.
func (r cellResult) of(system string, f figure) (_ spread, ok bool) {
	return r.ratio(f, system)
}

// ratio divides, round by round, the figure of a system by the sum of those of others, by 1 if there are none: what
// disturbed a round disturbed all its systems. ok is false if one of them did not run.
func (r cellResult) ratio(f figure, system string, others ...string) (_ spread, ok bool) {
	rounds := len(r.Samples[system])
	for _, name := range others {
		rounds = min(rounds, len(r.Samples[name]))
	}
	if rounds == 0 {
		return spread{}, false
	}
	values := make([]float64, rounds)
	for i := range values {
		values[i] = f(r.Samples[system][i])
		var sum float64
		for _, name := range others {
			sum += f(r.Samples[name][i])
		}
		if len(others) > 0 {
			values[i] /= sum
		}
	}
	return spreadOf(values), true
}

// over divides, round by round, a system's figure in this cell by that in another of the same group.
func (r cellResult) over(other cellResult, f figure, system string) (_ spread, ok bool) {
	rounds := min(len(r.Samples[system]), len(other.Samples[system]))
	if rounds == 0 {
		return spread{}, false
	}
	values := make([]float64, rounds)
	for i := range values {
		values[i] = f(r.Samples[system][i]) / f(other.Samples[system][i])
	}
	return spreadOf(values), true
}

// unbatched compares a system's cost with that of its parts when raw NATS gets one request at a time: median over medians,
// since that is another cell's. ok is false if the run has no such cell.
func (r cellResult) unbatched(all []cellResult, system, raw string) (ratio float64, ok bool) {
	alone := cell{r.Cell.Operation, 1, r.Cell.ValueBytes}
	at := slices.IndexFunc(all, func(other cellResult) bool { return other.Cell == alone })
	if at < 0 {
		return 0, false
	}
	whole, okWhole := r.of(system, cpuOf)
	http, okHTTP := r.of(bare, cpuOf)
	nats, okNATS := all[at].of(raw, cpuOf)
	return whole.Median / (http.Median + nats.Median), okWhole && okHTTP && okNATS
}
