package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// costTable compares the CPU of the gateway with that of its parts, both at as many requests at a time.
func costTable(cells []cellResult) table {
	t := table{
		title: "**CPU per operation, µs**, and its ratio to the bare handler and raw NATS together (aim: at most 1.15)",
		columns: []string{"operation", "conns", "bytes", "bare", "raw in process", "raw TCP",
			"gateway embedded", "ratio", "gateway + external server", "ratio"},
	}
	for _, r := range cells {
		t.rows = append(t.rows, append(cellColumns(r.Cell),
			show(r.of(bare, cpuOf)), show(r.of(rawInProcess, cpuOf)), show(r.of(rawTCP, cpuOf)),
			show(r.of(gatewayEmbedded, cpuOf)), showRatio(r.ratio(cpuOf, gatewayEmbedded, bare, rawInProcess)),
			showParts(r, gatewayExternal), showRatio(r.ratio(cpuOf, gatewayExternal, bare, rawTCP))))
	}
	return t
}

// extraTable compares the CPU of puts that have more than a value with that of plain ones in the same rounds.
func extraTable(cells []cellResult) table {
	t := table{
		title: "**What an Idempotency-Key and a ttl cost**: CPU per operation as the quotient of that of a plain PUT in the same rounds " +
			"(aim for the gateway: at most 1.10)",
		columns: append([]string{"operation", "conns", "bytes"}, allSystems...),
	}
	for _, r := range cells {
		plain := cell{plainOf(r.Cell.Operation), r.Cell.Connections, r.Cell.ValueBytes}
		at := slices.IndexFunc(cells, func(other cellResult) bool { return other.Cell == plain })
		if at < 0 {
			continue
		}
		row := cellColumns(r.Cell)
		for _, name := range allSystems {
			row = append(row, showRatio(r.over(cells[at], cpuOf, name)))
		}
		t.rows = append(t.rows, row)
	}
	return t
}

// thinTable compares the CPU of the gateway with two baselines that, like it, cannot send NATS requests in batches.
func thinTable(cells []cellResult) table {
	t := table{
		title: "**The same against unbatched baselines**: the thin gateway (bare handler with a raw request in it), µs; the " +
			"gateway's ratio to it; and to the bare handler plus raw NATS with one request at a time",
		columns: []string{"operation", "conns", "bytes", "thin embedded", "ratio to thin", "ratio to the parts",
			"thin + external server", "ratio to thin", "ratio to the parts"},
	}
	for _, r := range cells {
		t.rows = append(t.rows, append(cellColumns(r.Cell),
			show(r.of(thinEmbedded, cpuOf)), showRatio(r.ratio(cpuOf, gatewayEmbedded, thinEmbedded)),
			showNumber(r.unbatched(cells, gatewayEmbedded, rawInProcess)),
			showParts(r, thinExternal), showRatio(r.ratio(cpuOf, gatewayExternal, thinExternal)),
			showNumber(r.unbatched(cells, gatewayExternal, rawTCP))))
	}
	return t
}

// latencyTable compares the median latency at one connection, where nothing queues.
func latencyTable(cells []cellResult) table {
	t := table{
		title: "**p50 latency at one connection, µs**, and its ratio to the bare handler's (aim for GET, embedded: at most 1.4)",
		columns: []string{"operation", "bytes", "bare", "raw in process", "raw TCP",
			"thin embedded", "gateway embedded", "ratio", "thin external", "gateway external", "ratio"},
	}
	for _, r := range cells {
		if r.Cell.Connections != 1 {
			continue
		}
		t.rows = append(t.rows, []string{strings.ToUpper(r.Cell.Operation), strconv.Itoa(r.Cell.ValueBytes),
			show(r.of(bare, p50Of)), show(r.of(rawInProcess, p50Of)), show(r.of(rawTCP, p50Of)),
			show(r.of(thinEmbedded, p50Of)), show(r.of(gatewayEmbedded, p50Of)), showRatio(r.ratio(p50Of, gatewayEmbedded, bare)),
			show(r.of(thinExternal, p50Of)), show(r.of(gatewayExternal, p50Of)), showRatio(r.ratio(p50Of, gatewayExternal, bare))})
	}
	return t
}

// detailTable has everything, a row for each system of each cell.
func detailTable(cells []cellResult) table {
	t := table{
		title:   "All systems; generator is the load generator's own CPU per operation (the raw systems drive themselves).",
		columns: []string{"operation", "conns", "bytes", "system", "ops/s", "p50 µs", "p99 µs", "CPU µs/op", "generator µs/op"},
	}
	for _, r := range cells {
		for _, name := range allSystems {
			if len(r.Samples[name]) == 0 {
				continue
			}
			generator := "–"
			if name != rawInProcess && name != rawTCP {
				generator = show(r.of(name, generatorOf))
			}
			t.rows = append(t.rows, append(cellColumns(r.Cell), name, show(r.of(name, opsOf)),
				show(r.of(name, p50Of)), show(r.of(name, p99Of)), showParts(r, name), generator))
		}
	}
	return t
}

// showParts is a system's CPU, with what each process used if there are several.
func showParts(r cellResult, system string) string {
	text := show(r.of(system, cpuOf))
	if len(r.Samples[system]) == 0 || len(r.Samples[system][0].CPUEach) < 2 {
		return text
	}
	var parts []string
	for i := range r.Samples[system][0].CPUEach {
		part, _ := r.of(system, eachOf(i))
		parts = append(parts, fmt.Sprintf("%.1f", part.Median))
	}
	return text + " = " + strings.Join(parts, " + ")
}
