package cells

import (
	"context"
	"fmt"
	"slices"
	"time"

	"kvgateway/bench/load"
	"kvgateway/bench/meter"
	"kvgateway/bench/report"
	"kvgateway/bench/roles"
)

// gateways returns those of the systems that are the gateway.
func (l *streamLab) gateways() (names []string) {
	for _, name := range l.settings.systems {
		if name == roles.Gateway || name == roles.GatewayGoroutines {
			names = append(names, name)
		}
	}
	return names
}

// measureExtra measures the gateways in a cell that is no combination of subscribers and events.
// A measurement adds its round to the values by their names.
func (l *streamLab) measureExtra(
	ctx context.Context, cell string,
	measure func(sys *roles.StreamSystem, values map[string][]float64) error,
	finish func(row *report.Row),
) error {
	gateways := l.gateways()
	values := make([]map[string][]float64, len(gateways))
	for i := range values {
		values[i] = make(map[string][]float64)
	}
	for round := range l.settings.rounds {
		l.progress.step(l.cells, cell, round, l.settings.rounds)
		for i, name := range gateways {
			err := l.with(ctx, name, func(sys *roles.StreamSystem) error {
				return measure(sys, values[i])
			})
			if err != nil {
				return fmt.Errorf("%s: %s: %w", cell, name, err)
			}
		}
	}
	l.cells++
	for i, name := range gateways {
		row := report.Row{Cell: cell, System: name}
		for figure, rounds := range values[i] {
			row.Set(figure, rounds)
		}
		finish(&row)
		l.rows = append(l.rows, row)
	}
	return nil
}

// measurePuts measures the latency of puts that concern no watcher, with none and with many.
func (l *streamLab) measurePuts(ctx context.Context) error {
	c := load.StreamCell{Subscribers: 1, Rate: report.PutRate}
	put := func(sys *roles.StreamSystem) (p50 float64, err error) {
		sending, err := load.SendEvents(sys.Streams, c, l.settings.time)
		if err != nil {
			return 0, err
		}
		return meter.Microseconds(sending.Puts.Quantile(0.5)), nil
	}
	measure := func(sys *roles.StreamSystem, values map[string][]float64) error {
		if err := warm(sys); err != nil {
			return err
		}
		alone, err := put(sys)
		if err != nil {
			return err
		}
		requests := make([][]byte, report.QuietWatchers)
		for i := range requests { // of keys that nobody writes
			requests[i] = sys.Subscribe(report.QuietWatchers + i)
		}
		subs, err := load.Subscribe(sys.Address, requests, 1)
		if err != nil {
			return err
		}
		defer subs.Close()
		among, err := put(sys)
		values["put_alone_us"] = append(values["put_alone_us"], alone)
		values["put_among_us"] = append(values["put_among_us"], among)
		return err
	}
	return l.measureExtra(ctx, report.PutsAmongWatchers, measure, func(row *report.Row) {
		ratios := meter.Ratios(row.Rounds["put_among_us"], row.Rounds["put_alone_us"])
		row.Set("put_to_alone", ratios)
	})
}

// measureJoins lets many clients ask for a snapshot of a large bucket at once.
func (l *streamLab) measureJoins(ctx context.Context) error {
	const deliveries = report.SnapshotEntries * report.JoiningClients
	measure := func(sys *roles.StreamSystem, values map[string][]float64) error {
		if err := sys.Fill(report.SnapshotEntries); err != nil {
			return err
		}
		before, err := sys.Usage()
		if err != nil {
			return err
		}
		requests := slices.Repeat([][]byte{sys.Snapshot()}, report.JoiningClients)
		subs, err := load.Subscribe(sys.Address, requests, 1)
		if err != nil {
			return err
		}
		defer subs.Close()
		expected := make(chan int64, 1)
		expected <- deliveries
		if err := subs.Collect(expected); err != nil {
			return err
		}
		after, err := sys.Usage()
		if err != nil {
			return err
		}
		used := after.CPU.Since(before.CPU).Serving[0]
		values["join_ms"] = append(values["join_ms"],
			float64(after.At.Sub(before.At))/float64(time.Millisecond))
		values["join_us"] = append(values["join_us"], meter.Microseconds(used)/deliveries)
		return nil
	}
	return l.measureExtra(ctx, report.JoinsAtOnce, measure, func(*report.Row) {})
}
