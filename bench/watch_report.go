package main

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
)

type watchFigure func(watchSample) float64

// of is the spread of a system's figure over the rounds, or its ratio to another system's, taken round by round. There is none of one that
// lost events in a round.
func (r watchResult) of(system string, f watchFigure, to string) (spread, bool) {
	lost := func(s watchSample) bool { return s.Lost }
	if slices.ContainsFunc(r.Samples[system], lost) || slices.ContainsFunc(r.Samples[to], lost) {
		return spread{}, false
	}
	var values []float64
	for i, s := range r.Samples[system] {
		v := f(s)
		if to != "" {
			if i >= len(r.Samples[to]) {
				break
			}
			v /= f(r.Samples[to][i])
		}
		values = append(values, v)
	}
	if len(values) == 0 {
		return spread{}, false
	}
	return spreadOf(values), true
}

func writeWatchReport(w io.Writer, s watchSettings, results []watchResult, puts []putResult, joins []joinResult, started time.Time) error {
	var b strings.Builder
	m := thisMachine()
	fmt.Fprintf(&b, "%s: %d cores (%s), %s, %s, nats-server %s; %d rounds of %s, %s in all. Median (minimum–maximum).\n\n",
		started.UTC().Format(time.DateOnly), m.Cores, m.CPU, m.System, m.Go, m.NATSServer, s.rounds, s.time, time.Since(started).Round(time.Second))
	watchTable(results, s.systems).write(&b)
	stoppedTable(results, s.systems).write(&b)
	rampTable(results, s.systems).write(&b)
	putTable(puts).write(&b)
	joinTable(joins).write(&b)
	_, err := io.WriteString(w, b.String())
	return err
}

func watchColumns(c watchCell) []string {
	filters := "one"
	switch {
	case c.Slow:
		filters = "one, and one reader stopped"
	case c.Distinct:
		filters = "distinct"
	}
	return []string{strconv.Itoa(c.Subscribers), filters, strconv.Itoa(c.Rate)}
}

func watchTable(results []watchResult, systems []string) table {
	t := table{
		title: "**Delivery**: CPU of the server, µs an event stored without followers, and µs a delivery beyond that, with its ratio to the others' " +
			"of the same round; the ratio of an event with all its deliveries; latency from PUT to arrival, ms",
		columns: []string{"subscribers", "filters", "events/s", "system", "deliveries/s", "event µs", "delivery µs", "to nchan", "to fan-out", "to fan-out-kv",
			"in all, to fan-out-kv", "p50 ms", "p99 ms", "max ms", "generator µs"},
	}
	for _, r := range results {
		for _, name := range systems {
			cpu := func(s watchSample) float64 { return s.CPU }
			t.rows = append(t.rows, append(watchColumns(r.Cell), name,
				show(r.of(name, func(s watchSample) float64 { return s.Deliveries }, "")),
				show(r.of(name, func(s watchSample) float64 { return s.EventCPU }, "")),
				show(r.of(name, cpu, "")), showRatio(r.of(name, cpu, watchNchan)), showRatio(r.of(name, cpu, watchFanOut)), showRatio(r.of(name, cpu, watchFanOutKV)),
				showRatio(r.of(name, func(s watchSample) float64 { return s.Total }, watchFanOutKV)),
				show(r.of(name, func(s watchSample) float64 { return s.P50 / 1000 }, "")),
				show(r.of(name, func(s watchSample) float64 { return s.P99 / 1000 }, "")),
				show(r.of(name, func(s watchSample) float64 { return s.Max / 1000 }, "")),
				show(r.of(name, func(s watchSample) float64 { return s.Generator }, ""))))
		}
	}
	return t
}

func stoppedTable(results []watchResult, systems []string) table {
	t := table{
		title:   "**Among readers of which one stopped**, its socket full: p99 of the others, ms, and without it, measured right before",
		columns: []string{"subscribers", "events/s", "system", "without", "with", "ratio"},
	}
	for _, r := range results {
		if !r.Cell.Slow {
			continue
		}
		for _, name := range systems {
			t.rows = append(t.rows, []string{strconv.Itoa(r.Cell.Subscribers), strconv.Itoa(r.Cell.Rate), name,
				show(r.of(name, func(s watchSample) float64 { return s.AloneP99 / 1000 }, "")),
				show(r.of(name, func(s watchSample) float64 { return s.P99 / 1000 }, "")),
				showRatio(r.of(name, func(s watchSample) float64 { return s.P99 / s.AloneP99 }, ""))})
		}
	}
	return t
}

func rampTable(results []watchResult, systems []string) table {
	t := table{
		title:   "**A subscriber**: memory of the server, KB (proportional set size after the measurement, less that before the first); time and CPU to accept it, µs",
		columns: []string{"subscribers", "filters", "events/s", "system", "memory KB", "accepted in µs", "CPU µs"},
	}
	for _, r := range results {
		if r.Cell.Slow {
			continue
		}
		for _, name := range systems {
			t.rows = append(t.rows, append(watchColumns(r.Cell), name,
				show(r.of(name, func(s watchSample) float64 { return s.Memory }, "")),
				show(r.of(name, func(s watchSample) float64 { return s.RampTime }, "")),
				show(r.of(name, func(s watchSample) float64 { return s.RampCPU }, ""))))
		}
	}
	return t
}

func putTable(puts []putResult) table {
	t := table{
		title:   fmt.Sprintf("**A put's latency**, p50 in µs, at %d puts a second, with no watcher and with %d of other keys", putRate, quietWatchers),
		columns: []string{"system", "no watcher", "watchers", "ratio"},
	}
	for _, r := range puts {
		ratios := make([]float64, len(r.Alone))
		for i := range ratios {
			ratios[i] = r.Among[i] / r.Alone[i]
		}
		t.rows = append(t.rows, []string{r.System, show(spreadOf(r.Alone), true), show(spreadOf(r.Among), true), showRatio(spreadOf(ratios), true)})
	}
	return t
}

func joinTable(joins []joinResult) table {
	t := table{
		title:   fmt.Sprintf("**A snapshot of %d keys to %d clients that join at once**", snapshotEntries, joiningClients),
		columns: []string{"system", "until all had it, ms", "CPU µs an entry and client"},
	}
	for _, r := range joins {
		t.rows = append(t.rows, []string{r.System, show(spreadOf(r.Millis), true), show(spreadOf(r.CPU), true)})
	}
	return t
}
