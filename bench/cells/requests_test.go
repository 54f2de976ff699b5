package cells

import (
	"fmt"
	"slices"
	"testing"

	"kvgateway/bench/load"
	"kvgateway/bench/report"
	"kvgateway/bench/roles"
)

func rowOf(t *testing.T, rows []report.Row, cell, system string) report.Row {
	t.Helper()
	row := report.Results{Rows: rows}.Row(cell, system)
	if len(row.Figures) == 0 {
		t.Fatalf("no figures of %s in %s", system, cell)
	}
	return row
}

// cpuSamples returns samples that differ in their CPU only.
func cpuSamples(cpu ...float64) (samples []requestSample) {
	for _, c := range cpu {
		samples = append(samples, requestSample{cpu: c, cpuEach: []float64{c}})
	}
	return samples
}

// A disturbance that doubled one round's figures leaves its ratio as it was.
func TestRatioToThePartsIsTakenRoundByRound(t *testing.T) {
	rows := requestRows([]requestResult{{
		cell: load.Cell{Operation: load.OpGet, Connections: 32, ValueBytes: 128},
		samples: map[string][]requestSample{
			roles.GatewayEmbedded: cpuSamples(50, 100, 60),
			roles.GatewayExternal: cpuSamples(50, 100, 60),
			roles.Bare:            cpuSamples(25, 50, 25),
			roles.RawInProcess:    cpuSamples(15, 30, 15),
		}}})
	got := rowOf(t, rows, "get/32/128", roles.GatewayEmbedded).Figures["cpu_to_parts"]
	if want := (report.Figure{Median: 1.25, Min: 1.25, Max: 1.5}); got != want {
		t.Errorf("%v, not %v", got, want)
	}
	external := rowOf(t, rows, "get/32/128", roles.GatewayExternal)
	if f, found := external.Figures["cpu_to_parts"]; found {
		t.Errorf("%v is a ratio to a system that did not run", f)
	}
}

func TestUnbatchedRatioTakesRawFromTheCellOfOneConnection(t *testing.T) {
	one := requestResult{
		cell:    load.Cell{Operation: load.OpGet, Connections: 1, ValueBytes: 128},
		samples: map[string][]requestSample{roles.RawInProcess: cpuSamples(20)},
	}
	many := requestResult{
		cell: load.Cell{Operation: load.OpGet, Connections: 32, ValueBytes: 128},
		samples: map[string][]requestSample{roles.GatewayEmbedded: cpuSamples(60),
			roles.Bare: cpuSamples(30), roles.RawInProcess: cpuSamples(10)},
	}
	row := rowOf(t, requestRows([]requestResult{one, many}), "get/32/128", roles.GatewayEmbedded)
	if got := row.Numbers["cpu_to_single_parts"]; got != 1.2 {
		t.Errorf("%v", got)
	}
	row = rowOf(t, requestRows([]requestResult{many}), "get/32/128", roles.GatewayEmbedded)
	if n, found := row.Numbers["cpu_to_single_parts"]; found {
		t.Errorf("%v is a ratio without the cell of one connection", n)
	}
}

func cellsOf(t *testing.T, list string) []load.Cell {
	t.Helper()
	cells, err := parseCells(list)
	if err != nil {
		t.Fatal(err)
	}
	return cells
}

// Puts with more than a value take turns with the plain one.
func TestGroupsHaveThePlainPutFirst(t *testing.T) {
	cells := cellsOf(t, "put-key/32/128,get/32/128,put/32/128,put-ttl/32/128,put-ttl/1/128")
	got := fmt.Sprint(groups(cells))
	if want := "[[get/32/128] [put/32/128 put-key/32/128 put-ttl/32/128] [put-ttl/1/128]]"; got !=
		want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestPutWithAKeyIsComparedWithThePlainOne(t *testing.T) {
	cells := cellsOf(t, "put/32/128,put-key/32/128")
	rows := requestRows([]requestResult{
		{cells[0], map[string][]requestSample{roles.Bare: cpuSamples(10, 20, 40)}},
		{cells[1], map[string][]requestSample{
			roles.Bare: cpuSamples(11, 20, 50), roles.RawTCP: cpuSamples(1)}},
	})
	got := rowOf(t, rows, "put-key/32/128", roles.Bare).Figures["cpu_to_put"]
	if want := (report.Figure{Median: 1.1, Min: 1, Max: 1.25}); got != want {
		t.Errorf("%v, not %v", got, want)
	}
	raw := rowOf(t, rows, "put-key/32/128", roles.RawTCP)
	if f, found := raw.Figures["cpu_to_put"]; found {
		t.Errorf("%v is a ratio of a system that did not run", f)
	}
}

func TestParseCells(t *testing.T) {
	got := fmt.Sprint(cellsOf(t, "get/32/128,put/*/4096"))
	if want := "[get/32/128 put/1/4096 put/32/4096 put/256/4096]"; got != want {
		t.Errorf("%s, not %s", got, want)
	}
	if !slices.Equal(cellsOf(t, "put-key/32/128,put-ttl/32/128"), extraCells()) {
		t.Error("the extra cells are others")
	}
	all := product(operations, connections, valueSizes)
	if !slices.Equal(cellsOf(t, "*/*/*"), all) {
		t.Error("*/*/* is not the whole matrix")
	}
	for _, bad := range []string{"", "get/32", "head/1/128", "get/0/128", "get/1/x",
		"get/100000/128", "get/1/9999999"} {
		if _, err := parseCells(bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}
