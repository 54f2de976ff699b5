package report

import (
	"fmt"
	"slices"
	"strings"

	"kvgateway/bench/roles"
)

func writeRequests(b *strings.Builder, r Results) {
	ratioTable(r).write(b)
	costTable(r).write(b)
	thinTable(r).write(b)
	extraTable(r).write(b)
	latencyTable(r).write(b)
	fold(b, "Every figure", detailTable(r))
}

// isExtra reports whether a cell is a put that is compared with the plain one.
func isExtra(cell string) bool {
	return strings.HasPrefix(cell, "put-")
}

// plainCells returns the cells without those.
func plainCells(r Results) []string { return slices.DeleteFunc(r.cells(), isExtra) }

// cellColumns returns operation, connections and bytes of a cell such as get/32/128.
func cellColumns(cell string) []string {
	columns := strings.Split(cell, "/")
	columns[0] = strings.ToUpper(columns[0])
	return columns
}

// connectionsOf returns the second part of a cell's name.
func connectionsOf(cell string) string { return strings.Split(cell, "/")[1] }

// ratioTable is the run in short: how far the medians of the gateway's ratios go.
func ratioTable(r Results) table {
	t := table{
		title: "**In short**: the median of the gateway's ratios, from the lowest to the highest " +
			"of all operations and sizes",
		columns: []string{"conns", "embedded, to the parts", "to thin",
			"external, to the parts", "to thin"},
	}
	for _, conns := range []string{"1", "32", "256"} {
		cells := slices.DeleteFunc(plainCells(r), func(cell string) bool {
			return connectionsOf(cell) != conns
		})
		row, any := []string{conns}, false
		for _, system := range []string{roles.GatewayEmbedded, roles.GatewayExternal} {
			for _, ratio := range []string{"cpu_to_parts", "cpu_to_thin"} {
				medians := r.mediansOf(cells, system, ratio)
				any = any || len(medians) > 1
				row = append(row, showRange(medians, 2))
			}
		}
		if any {
			t.rows = append(t.rows, row)
		}
	}
	return t
}

// costTable compares the CPU of the gateway with that of its parts at as many requests at a time.
func costTable(r Results) table {
	t := table{
		title: "**CPU per operation, µs**, and its ratio to the bare handler and raw NATS " +
			"together (aim: at most 1.15)",
		columns: []string{"operation", "conns", "bytes", "bare", "raw in process", "raw TCP",
			"gateway embedded", "ratio", "gateway + external server", "ratio"},
	}
	for _, cell := range plainCells(r) {
		embedded, external := r.Row(cell, roles.GatewayEmbedded), r.Row(cell, roles.GatewayExternal)
		row := cellColumns(cell)
		for _, system := range []string{roles.Bare, roles.RawInProcess, roles.RawTCP} {
			row = append(row, r.Row(cell, system).show("cpu_us"))
		}
		t.rows = append(t.rows, append(row,
			embedded.show("cpu_us"), embedded.showRatio("cpu_to_parts"),
			external.showProcesses(), external.showRatio("cpu_to_parts")))
	}
	return t
}

// extraTable compares the CPU of puts that have more than a value with that of plain ones in the
// same rounds.
func extraTable(r Results) table {
	t := table{
		title: "**What an Idempotency-Key and a ttl cost**: CPU per operation as the quotient of " +
			"that of a plain PUT in the same rounds (aim for the gateway: at most 1.10)",
		columns: append([]string{"operation", "conns", "bytes"}, roles.Systems...),
	}
	for _, cell := range r.cells() {
		if !isExtra(cell) {
			continue
		}
		row := cellColumns(cell)
		for _, system := range roles.Systems {
			row = append(row, r.Row(cell, system).showRatio("cpu_to_put"))
		}
		t.rows = append(t.rows, row)
	}
	return t
}

// thinTable compares the CPU of the gateway with two baselines that, like the gateway, cannot send
// requests to NATS in batches.
func thinTable(r Results) table {
	t := table{
		title: "**The same against unbatched baselines**: the thin gateway (bare handler with a " +
			"raw request in it), µs; the gateway's ratio to it; and to the bare handler plus " +
			"raw NATS with one request at a time",
		columns: []string{"operation", "conns", "bytes", "thin embedded", "ratio to thin",
			"ratio to the parts", "thin + external server", "ratio to thin", "ratio to the parts"},
	}
	for _, cell := range plainCells(r) {
		embedded, external := r.Row(cell, roles.GatewayEmbedded), r.Row(cell, roles.GatewayExternal)
		t.rows = append(t.rows, append(cellColumns(cell),
			r.Row(cell, roles.ThinEmbedded).show("cpu_us"), embedded.showRatio("cpu_to_thin"),
			embedded.showNumber("cpu_to_single_parts", 2),
			r.Row(cell, roles.ThinExternal).showProcesses(), external.showRatio("cpu_to_thin"),
			external.showNumber("cpu_to_single_parts", 2)))
	}
	return t
}

// latencyTable compares the median latency at one connection, where nothing queues.
func latencyTable(r Results) table {
	t := table{
		title: "**p50 latency at one connection, µs**, and its ratio to the bare handler's " +
			"(aim for GET, embedded: at most 1.4)",
		columns: []string{"operation", "bytes", "bare", "raw in process", "raw TCP",
			"thin embedded", "gateway embedded", "ratio",
			"thin external", "gateway external", "ratio"},
	}
	for _, cell := range plainCells(r) {
		if connectionsOf(cell) != "1" {
			continue
		}
		columns := cellColumns(cell)
		row := []string{columns[0], columns[2]}
		for _, system := range []string{
			roles.Bare, roles.RawInProcess, roles.RawTCP, roles.ThinEmbedded} {
			row = append(row, r.Row(cell, system).show("p50_us"))
		}
		embedded, external := r.Row(cell, roles.GatewayEmbedded), r.Row(cell, roles.GatewayExternal)
		t.rows = append(t.rows, append(row,
			embedded.show("p50_us"), embedded.showRatio("p50_to_bare"),
			r.Row(cell, roles.ThinExternal).show("p50_us"),
			external.show("p50_us"), external.showRatio("p50_to_bare")))
	}
	return t
}

// detailTable has a row for each system of each cell, if throughput is among the results.
func detailTable(r Results) table {
	t := table{
		title: "All systems; generator is the load generator's own CPU per operation (the raw " +
			"systems drive themselves).",
		columns: []string{"operation", "conns", "bytes", "system",
			"ops/s", "p50 µs", "p99 µs", "CPU µs/op", "generator µs/op"},
	}
	for _, row := range r.Rows {
		if _, measured := row.Figures["ops_per_second"]; measured {
			t.rows = append(t.rows, append(cellColumns(row.Cell), row.System,
				row.show("ops_per_second"), row.show("p50_us"), row.show("p99_us"),
				row.showProcesses(), row.show("generator_us")))
		}
	}
	return t
}

// showProcesses returns a system's CPU and, if it has two processes, what each of them used.
func (r Row) showProcesses() string {
	own, two := r.Numbers["own_cpu_us"]
	if !two {
		return r.show("cpu_us")
	}
	return fmt.Sprintf("%s = %.1f + %.1f", r.show("cpu_us"), own, r.Numbers["nats_cpu_us"])
}
