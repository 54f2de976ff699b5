package main

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// putResult is a put's latency with nobody and with many quiet watchers, p50 in microseconds.
type putResult struct {
	System       string
	Alone, Among []float64
	Watchers     int
}

const (
	quietWatchers = 10000
	putRate       = 500
)

// measurePuts measures puts that concern no watcher, with none and with many.
func (l *watchLab) measurePuts(ctx context.Context) (results []putResult, err error) {
	for _, name := range l.gateways() {
		r := putResult{System: name, Watchers: quietWatchers}
		for range l.settings.rounds {
			err := l.with(ctx, name, func(sys *watchSystem) error {
				if err := warm(sys); err != nil {
					return err
				}
				c := watchCell{Subscribers: 1, Rate: putRate}
				alone, err := sendEvents(sys, c, l.settings.time)
				if err != nil {
					return err
				}
				requests := make([][]byte, quietWatchers)
				for i := range requests {
					requests[i] = sys.subscribe(quietWatchers + i) // of keys that nobody writes
				}
				subs, err := subscribe(sys.address, requests, 1)
				if err != nil {
					return err
				}
				defer subs.close()
				among, err := sendEvents(sys, c, l.settings.time)
				if err != nil {
					return err
				}
				r.Alone = append(r.Alone, microseconds(alone.puts.Quantile(0.5)))
				r.Among = append(r.Among, microseconds(among.puts.Quantile(0.5)))
				return nil
			})
			if err != nil {
				return results, fmt.Errorf("puts: %s: %w", name, err)
			}
		}
		fmt.Fprintf(l.progress, "puts %s: p50 %.0f µs alone, %.0f among %d watchers\n", name, spreadOf(r.Alone).Median, spreadOf(r.Among).Median, quietWatchers)
		results = append(results, r)
	}
	return results, nil
}

// gateways are those of the systems that are the gateway.
func (l *watchLab) gateways() []string {
	return slices.DeleteFunc(slices.Clone(l.settings.systems), func(name string) bool { return name != watchGateway && name != watchOrdinary })
}

// joinResult is what a snapshot took that many clients asked for at the same time.
type joinResult struct {
	System string
	Millis []float64 // until all had all of it
	CPU    []float64 // microseconds an entry and client
}

const (
	snapshotEntries = 10000
	joiningClients  = 100
)

// measureJoins lets many clients join a large bucket at once.
func (l *watchLab) measureJoins(ctx context.Context) (results []joinResult, err error) {
	for _, name := range l.gateways() {
		r := joinResult{System: name}
		for range l.settings.rounds {
			err := l.with(ctx, name, func(sys *watchSystem) error {
				if err := sys.fill(snapshotEntries); err != nil {
					return err
				}
				before, err := sys.usage()
				if err != nil {
					return err
				}
				subs, err := subscribe(sys.address, slices.Repeat([][]byte{sys.snapshot()}, joiningClients), 1)
				if err != nil {
					return err
				}
				defer subs.close()
				expected := make(chan int64, 1)
				expected <- snapshotEntries * joiningClients
				if err := subs.collect(expected); err != nil {
					return err
				}
				after, err := sys.usage()
				if err != nil {
					return err
				}
				r.Millis = append(r.Millis, float64(after.at.Sub(before.at))/float64(time.Millisecond))
				r.CPU = append(r.CPU, microseconds(after.cpu.since(before.cpu).serving[0])/snapshotEntries/joiningClients)
				return nil
			})
			if err != nil {
				return results, fmt.Errorf("joins: %s: %w", name, err)
			}
		}
		fmt.Fprintf(l.progress, "joins %s: %.0f ms, %.2f µs CPU an entry and client\n", name, spreadOf(r.Millis).Median, spreadOf(r.CPU).Median)
		results = append(results, r)
	}
	return results, nil
}
