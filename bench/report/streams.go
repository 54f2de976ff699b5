package report

import (
	"fmt"
	"slices"
	"strings"

	"kvgateway/bench/roles"
)

// The cells of results that are no combination of subscribers, filters and events.
const (
	PutsAmongWatchers = "puts"  // the latency of puts with many quiet watchers
	JoinsAtOnce       = "joins" // a snapshot for many clients at once
)

func writeStreams(b *strings.Builder, r Results) {
	streamRatioTable(r).write(b)
	stoppedTable(r).write(b)
	putTable(r).write(b)
	joinTable(r).write(b)
	fold(b, "Deliveries and subscribers in every cell", deliveryTable(r), subscriberTable(r))
}

// streamCells returns the cells with subscribers, filters and events. Those in which a reader
// stopped are the slow ones.
func streamCells(r Results, slow bool) (cells []string) {
	for _, cell := range r.cells() {
		columns := strings.Split(cell, "/")
		if len(columns) == 3 && slow == (columns[1] == "slow") {
			cells = append(cells, cell)
		}
	}
	return cells
}

// systemsIn returns the systems of a cell, in the order of the tables.
func systemsIn(r Results, cell string) (systems []string) {
	for _, system := range roles.StreamSystems {
		found := func(row Row) bool { return row.Cell == cell && row.System == system }
		if slices.ContainsFunc(r.Rows, found) {
			systems = append(systems, system)
		}
	}
	return systems
}

// streamRatioTable is the run in short: how far the medians of each system go.
func streamRatioTable(r Results) table {
	t := table{
		title: "**In short**: the medians of each system, from the lowest to the highest of all " +
			"cells but those with more to deliver than anything can. A ratio is that of the CPU " +
			"of a delivery, or in all of an event stored and delivered",
		columns: []string{"filters", "system", "delivery µs", "to nchan", "to fan-out",
			"to fan-out-kv", "in all, to fan-out-kv"},
	}
	names := []string{"delivery_us", "delivery_to_nchan", "delivery_to_fan-out",
		"delivery_to_fan-out-kv", "event_to_fan-out-kv"}
	for _, filters := range []string{"one", "distinct"} {
		cells := slices.DeleteFunc(streamCells(r, false), func(cell string) bool {
			return strings.Split(cell, "/")[1] != filters || isOverload(r, cell)
		})
		for _, system := range roles.StreamSystems {
			row, any := []string{filters, system}, false
			for _, name := range names {
				medians := r.mediansOf(cells, system, name)
				any = any || len(medians) > 1
				digits := 2
				if name == "delivery_us" {
					digits = 1
				}
				row = append(row, showRange(medians, digits))
			}
			if any {
				t.rows = append(t.rows, row)
			}
		}
	}
	return t
}

// isOverload reports whether a system lost events in a cell because there were more than it can
// deliver.
func isOverload(r Results, cell string) bool {
	return slices.ContainsFunc(r.Rows, func(row Row) bool {
		return row.Cell == cell && len(row.Figures) == 0
	})
}

// deliveryTable compares what storing and delivering events costs.
func deliveryTable(r Results) table {
	t := table{
		title: "**Delivery**: CPU of the server, µs an event stored without followers, and µs a " +
			"delivery beyond that, with its ratio to the others' of the same round; the ratio of " +
			"an event with all its deliveries; latency from PUT to arrival, ms",
		columns: []string{"subscribers", "filters", "events/s", "system", "deliveries/s",
			"event µs", "delivery µs", "to nchan", "to fan-out", "to fan-out-kv",
			"in all, to fan-out-kv", "p50 ms", "p99 ms", "max ms", "generator µs"},
	}
	for _, cell := range streamCells(r, false) {
		for _, system := range systemsIn(r, cell) {
			row := r.Row(cell, system)
			t.rows = append(t.rows, append(strings.Split(cell, "/"), system,
				row.show("deliveries_per_second"), row.show("event_us"), row.show("delivery_us"),
				row.showRatio("delivery_to_nchan"), row.showRatio("delivery_to_fan-out"),
				row.showRatio("delivery_to_fan-out-kv"), row.showRatio("event_to_fan-out-kv"),
				row.show("p50_ms"), row.show("p99_ms"), row.show("max_ms"),
				row.show("generator_us")))
		}
	}
	return t
}

// stoppedTable shows what other readers notice of one that stopped.
func stoppedTable(r Results) table {
	t := table{
		title: "**Among readers of which one stopped**, its socket full: p99 of the others, ms, " +
			"and without it, measured right before",
		columns: []string{"subscribers", "events/s", "system", "without", "with", "ratio"},
	}
	for _, cell := range streamCells(r, true) {
		columns := strings.Split(cell, "/")
		for _, system := range systemsIn(r, cell) {
			row := r.Row(cell, system)
			t.rows = append(t.rows, []string{columns[0], columns[2], system,
				row.show("p99_alone_ms"), row.show("p99_ms"), row.showRatio("p99_to_alone")})
		}
	}
	return t
}

// subscriberTable compares what a subscriber costs that waits.
func subscriberTable(r Results) table {
	t := table{
		title: "**A subscriber**: memory of the server, KB (proportional set size after the " +
			"measurement, less that before the first); time and CPU to accept it, µs",
		columns: []string{"subscribers", "filters", "events/s", "system",
			"memory KB", "accepted in µs", "CPU µs"},
	}
	for _, cell := range streamCells(r, false) {
		for _, system := range systemsIn(r, cell) {
			row := r.Row(cell, system)
			t.rows = append(t.rows, append(strings.Split(cell, "/"), system,
				row.show("memory_kb"), row.show("accept_us"), row.show("accept_cpu_us")))
		}
	}
	return t
}

// What is fixed of the two measurements beside the cells.
const (
	PutRate       = 500   // puts a second
	QuietWatchers = 10000 // of keys that nobody writes

	SnapshotEntries = 10000
	JoiningClients  = 100
)

// putTable shows what puts notice of quiet watchers.
func putTable(r Results) table {
	t := table{
		title: fmt.Sprintf("**A put's latency**, p50 in µs, at %d puts a second, "+
			"with no watcher and with %d of other keys", PutRate, QuietWatchers),
		columns: []string{"system", "no watcher", "watchers", "ratio"},
	}
	for _, system := range systemsIn(r, PutsAmongWatchers) {
		row := r.Row(PutsAmongWatchers, system)
		t.rows = append(t.rows, []string{system, row.show("put_alone_us"),
			row.show("put_among_us"), row.showRatio("put_to_alone")})
	}
	return t
}

// joinTable shows what a snapshot costs that many clients ask for at once.
func joinTable(r Results) table {
	t := table{
		title: fmt.Sprintf("**A snapshot of %d keys to %d clients that join at once**",
			SnapshotEntries, JoiningClients),
		columns: []string{"system", "until all had it, ms", "CPU µs an entry and client"},
	}
	for _, system := range systemsIn(r, JoinsAtOnce) {
		row := r.Row(JoinsAtOnce, system)
		t.rows = append(t.rows, []string{system, row.show("join_ms"), row.show("join_us")})
	}
	return t
}
