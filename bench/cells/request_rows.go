package cells

import (
	"fmt"
	"slices"

	"kvgateway/bench/load"
	"kvgateway/bench/meter"
	"kvgateway/bench/report"
	"kvgateway/bench/roles"
)

// A requestSample is one round of one system. Times are in microseconds.
type requestSample struct {
	ops       float64 // a second
	p50, p99  float64
	cpu       float64   // of all serving processes, for each operation
	cpuEach   []float64 // of each of them, the system's own first
	generator float64   // CPU of the load generator for each operation
}

func newRequestSample(out load.Outcome, used meter.CPU) requestSample {
	ops := float64(out.Operations)
	s := requestSample{
		ops: ops / out.Elapsed.Seconds(),
		p50: meter.Microseconds(out.P50), p99: meter.Microseconds(out.P99),
		generator: meter.Microseconds(used.Generator) / ops,
	}
	for _, d := range used.Serving {
		s.cpuEach = append(s.cpuEach, meter.Microseconds(d)/ops)
		s.cpu += meter.Microseconds(d) / ops
	}
	return s
}

// A requestResult has the samples of each system in a cell, in the order of the rounds.
type requestResult struct {
	cell    load.Cell
	samples map[string][]requestSample
}

// values returns a figure of a system, one value for each round; none if the system did not run.
func (r requestResult) values(system string, figure func(requestSample) float64) []float64 {
	var values []float64
	for _, s := range r.samples[system] {
		values = append(values, figure(s))
	}
	return values
}

func cpuOf(s requestSample) float64 { return s.cpu }
func opsOf(s requestSample) float64 { return s.ops }
func p50Of(s requestSample) float64 { return s.p50 }
func p99Of(s requestSample) float64 { return s.p99 }
func genOf(s requestSample) float64 { return s.generator }

func cpuOfProcess(i int) func(requestSample) float64 {
	return func(s requestSample) float64 { return s.cpuEach[i] }
}

// requestRows returns the rows of all cells.
func requestRows(all []requestResult) (rows []report.Row) {
	for _, r := range all {
		for _, system := range roles.Systems {
			if len(r.samples[system]) > 0 {
				rows = append(rows, r.row(system, all))
			}
		}
	}
	return rows
}

// row returns the figures of a system that ran, and its ratios to those that ran as well.
func (r requestResult) row(system string, all []requestResult) report.Row {
	row := report.Row{Cell: r.cell.String(), System: system}
	cpu := r.values(system, cpuOf)
	row.Set("cpu_us", cpu)
	row.Set("ops_per_second", r.values(system, opsOf))
	row.Set("p50_us", r.values(system, p50Of))
	row.Set("p99_us", r.values(system, p99Of))
	if !roles.DrivesItself(system) {
		row.Set("generator_us", r.values(system, genOf))
	}
	if len(r.samples[system][0].cpuEach) == 2 {
		row.SetNumber("own_cpu_us", meter.SpreadOf(r.values(system, cpuOfProcess(0))).Median)
		row.SetNumber("nats_cpu_us", meter.SpreadOf(r.values(system, cpuOfProcess(1))).Median)
	}
	switch system {
	case roles.GatewayEmbedded:
		r.compare(&row, cpu, all, roles.RawInProcess, roles.ThinEmbedded)
	case roles.GatewayExternal:
		r.compare(&row, cpu, all, roles.RawTCP, roles.ThinExternal)
	}
	if plain, found := resultOf(all, plainCell(r.cell)); found {
		row.Set("cpu_to_put", meter.Ratios(cpu, plain.values(system, cpuOf)))
	}
	return row
}

// compare sets the ratios of a gateway to its parts, to the thin gateway, and to the bare handler.
func (r requestResult) compare(
	row *report.Row, cpu []float64, all []requestResult, raw, thin string,
) {
	bare := r.values(roles.Bare, cpuOf)
	row.Set("cpu_to_parts", meter.Ratios(cpu, bare, r.values(raw, cpuOf)))
	row.Set("cpu_to_thin", meter.Ratios(cpu, r.values(thin, cpuOf)))
	row.Set("p50_to_bare",
		meter.Ratios(r.values(row.System, p50Of), r.values(roles.Bare, p50Of)))

	// Raw NATS with one request at a time is in another cell, so medians are compared.
	alone := r.cell
	alone.Connections = 1
	single, found := resultOf(all, alone)
	if one := single.values(raw, cpuOf); found && len(bare) > 0 && len(one) > 0 {
		row.SetNumber("cpu_to_single_parts", meter.SpreadOf(cpu).Median/
			(meter.SpreadOf(bare).Median+meter.SpreadOf(one).Median))
	}
}

// resultOf finds the result of a cell.
func resultOf(all []requestResult, c load.Cell) (r requestResult, found bool) {
	at := slices.IndexFunc(all, func(r requestResult) bool { return r.cell == c })
	if at < 0 {
		return r, false
	}
	return all[at], true
}

// summary returns a cell in one line, for the progress.
func (r requestResult) summary() string {
	text := fmt.Sprintf("%-12s", r.cell)
	for _, name := range roles.Systems {
		if cpu := r.values(name, cpuOf); len(cpu) > 0 {
			text += fmt.Sprintf("  %s %.1f µs %.1fk/s", name, meter.SpreadOf(cpu).Median,
				meter.SpreadOf(r.values(name, opsOf)).Median/1000)
		}
	}
	return text
}
