package report

import (
	"strings"

	"kvgateway/bench/roles"
)

// plots returns the plots of a run, with a name for each that is unique in the run.
func (r Results) plots() (names []string, plots []plot) {
	add := func(name string, p plot) {
		if len(p.groups) > 0 {
			names, plots = append(names, name), append(plots, p)
		}
	}
	switch r.Run.Benchmark {
	case Requests:
		add("parts", requestRatios(r, "cpu_to_parts", 1.15,
			"CPU of the gateway, to the bare handler and raw NATS together"))
		add("thin", requestRatios(r, "cpu_to_thin", 0,
			"CPU of the gateway, to the thin gateway"))
		add("latency", requestLatency(r))
	case Streams:
		add("delivery", streamPlot(r, "delivery_us", "one",
			"CPU of a delivery, each event to all subscribers", "µs a delivery"))
		add("event", streamPlot(r, "event_to_fan-out-kv", "distinct",
			"CPU of an event with its delivery to one subscriber, to the fan-out's",
			"ratio to fan-out-kv"))
		add("latency", streamPlot(r, "p99_ms", "one",
			"p99 from PUT to arrival, each event to all subscribers", "ms"))
		add("memory", streamPlot(r, "memory_kb", "one",
			"Memory of a subscriber", "KB a subscriber"))
	case Many:
		add("rates", manyPlot(r))
	case Transactions:
		add("writers", writerPlot(r))
	}
	return names, plots
}

// requestLabels are what the labels of single requests are.
const requestLabels = "operation / conns / bytes"

// requestRatios compares the gateway with its NATS in the process and in another one.
func requestRatios(r Results, figure string, aim float64, title string) plot {
	p := plot{title: title, axis: "ratio", left: requestLabels,
		aim: aim, series: []string{roles.GatewayEmbedded, roles.GatewayExternal}}
	for _, cell := range r.cells() {
		p.add(label(cell), figure, p.rows(r, cell)...)
	}
	return p
}

// requestLatency compares the systems at one connection.
func requestLatency(r Results) plot {
	p := plot{title: "p50 latency at one connection", axis: "µs", left: requestLabels,
		series: []string{roles.GatewayEmbedded, roles.GatewayExternal, roles.Bare,
			roles.ThinEmbedded, roles.ThinExternal}}
	for _, cell := range r.cells() {
		if connectionsOf(cell) != "1" {
			continue
		}
		p.add(label(cell), "p50_us", p.rows(r, cell)...)
	}
	return p
}

// label names a cell at the left of a plot.
func label(cell string) string {
	columns := cellColumns(cell)
	return strings.Join(columns, " / ")
}

// streamPlot compares the systems in the cells with such filters.
func streamPlot(r Results, figure, filters, title, axis string) plot {
	p := plot{title: title, axis: axis, left: "subscribers / events/s",
		series: []string{roles.Gateway, roles.GatewayGoroutines, roles.Nchan, roles.FanOut,
			roles.FanOutKV},
		log: filters == "one"}
	for _, cell := range streamCells(r, false) {
		columns := strings.Split(cell, "/")
		if columns[1] != filters {
			continue
		}
		p.add(columns[0]+" / "+columns[2], figure, p.rows(r, cell)...)
	}
	return p
}

// manyPlot compares one request with the loop that it saves.
func manyPlot(r Results) plot {
	p := plot{title: "Entries a second: one request, and the loop that it saves",
		axis: "entries a second", left: "what / the loop", log: true,
		series: []string{"one request of the gateway", "the loop"}}
	for _, cell := range r.cells() {
		if pair := r.rowsOf(cell); len(pair) == 2 {
			p.add(strings.ReplaceAll(cell, "/", " / "), "entries_per_second", pair...)
		}
	}
	return p
}

// writerPlot shows how many puts are left beside transactions.
func writerPlot(r Results) plot {
	p := plot{title: "PUTs of 16 clients, beside transactions of two keys",
		axis: "PUTs a second", left: "--sync / transactions/s", series: []string{""}}
	for _, row := range r.Rows {
		puts, measured := row.Numbers["puts_per_second"]
		if measured && strings.HasPrefix(row.Cell, besideWriters) {
			p.groups = append(p.groups, plotGroup{
				row.System + " / " + row.showNumber("transactions_per_second", 0),
				[]*Figure{{puts, puts, puts}},
			})
		}
	}
	return p
}
