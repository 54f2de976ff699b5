package main

import (
	"errors"
	"sync"
	"time"
)

// driver keeps a system's workers ready for one cell, so that rounds of several systems can alternate without dialling
// again; workers are idle between rounds.
type driver interface {
	run(d time.Duration) (outcome, error)
	close()
}

// outcome is what a round came to, as the callers saw it. The field names are part of the raw role's protocol.
type outcome struct {
	Operations int64
	Elapsed    time.Duration
	P50, P99   time.Duration
}

func newOutcome(latencies *Histogram, elapsed time.Duration) outcome {
	return outcome{latencies.Count(), elapsed, latencies.Quantile(0.50), latencies.Quantile(0.99)}
}

// step does one operation and waits for its answer.
type step func() error

// closedLoop lets each worker do one operation after another for about d. Every operation started is finished and
// counted. A failed operation ends its worker and fails the round: a benchmark of errors is worth nothing.
func closedLoop(workers []step, d time.Duration) (outcome, error) {
	histograms := make([]*Histogram, len(workers))
	for i := range histograms {
		histograms[i] = NewHistogram()
	}
	failures := make([]error, len(workers))
	var running sync.WaitGroup
	start := time.Now()
	for i, work := range workers {
		running.Go(func() { failures[i] = loop(work, start.Add(d), histograms[i]) })
	}
	running.Wait()
	elapsed := time.Since(start)
	all := histograms[0]
	for _, other := range histograms[1:] {
		all.Merge(other)
	}
	return newOutcome(all, elapsed), errors.Join(failures...)
}

// loop reads the clock once an operation: the end of one is the start of the next.
func loop(work step, deadline time.Time, latencies *Histogram) error {
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
