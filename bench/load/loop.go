package load

import (
	"errors"
	"sync"
	"time"

	"kvgateway/bench/meter"
)

// A Driver keeps the workers of a system ready for one cell, so that rounds of several systems can
// take turns without connecting again. Between rounds the workers are idle.
type Driver interface {
	// Run does a round of about that length.
	Run(time.Duration) (Outcome, error)
	// Close disconnects the workers.
	Close()
}

// An Outcome is what a round came to as the callers saw it. The names of the fields are a part of
// the raw role's protocol.
type Outcome struct {
	Operations int64
	Elapsed    time.Duration // from the first request to the last answer
	P50, P99   time.Duration // of an operation's latency
}

func newOutcome(latencies *meter.Histogram, elapsed time.Duration) Outcome {
	return Outcome{latencies.Count(), elapsed, latencies.Quantile(0.50), latencies.Quantile(0.99)}
}

// A Step does one operation and waits for its answer.
type Step func() error

// ClosedLoop lets each worker do one operation after the other for about d. Every operation that
// was begun is finished and counted. One that fails ends its worker and fails the round: how fast
// errors are says nothing.
func ClosedLoop(workers []Step, d time.Duration) (Outcome, error) {
	all := meter.NewHistogram()
	latencies := make([]*meter.Histogram, len(workers))
	for i := range latencies {
		latencies[i] = meter.NewHistogram()
	}
	failures := make([]error, len(workers))
	var running sync.WaitGroup
	start := time.Now()
	for i, work := range workers {
		running.Go(func() { failures[i] = loop(work, start.Add(d), latencies[i]) })
	}
	running.Wait()
	elapsed := time.Since(start)
	for _, h := range latencies {
		all.Merge(h)
	}
	return newOutcome(all, elapsed), errors.Join(failures...)
}

// loop reads the clock once an operation: the end of one is the beginning of the next.
func loop(work Step, deadline time.Time, latencies *meter.Histogram) error {
	for before := time.Now(); before.Before(deadline); {
		if err := work(); err != nil {
			return err
		}
		after := time.Now()
		latencies.Observe(after.Sub(before))
		before = after
	}
	return nil
}
