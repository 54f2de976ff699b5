package report

import (
	"math"
	"path/filepath"
	"reflect"
	"testing"

	"kvgateway/bench/roles"
)

func TestResultsAreReadAsTheyWereWritten(t *testing.T) {
	row := Row{Cell: "get/1/128", System: roles.GatewayEmbedded}
	row.Set("cpu_us", []float64{3, 1, 2.5})
	row.SetNumber("cpu_to_single_parts", 1.5)
	want := Results{
		Run:  Run{Benchmark: Requests, Date: "2026-11-25", Rounds: 3, Note: "a < b"},
		Rows: []Row{row, {Cell: "get/1/128", System: roles.Bare}},
	}
	file := filepath.Join(t.TempDir(), "results.jsonl")
	if err := want.Write(file); err != nil {
		t.Fatal(err)
	}
	got, err := Read(file)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v\nnot %+v", got, err, want)
	}
	f := got.Row("get/1/128", roles.GatewayEmbedded).Figures["cpu_us"]
	if f != (Figure{2.5, 1, 3}) {
		t.Errorf("%v", f)
	}
}

// A ratio to something that used no measurable CPU is no figure, and JSON has no form for it.
func TestFiguresAreFinite(t *testing.T) {
	var row Row
	row.Set("nothing", nil)
	row.Set("infinite", []float64{1, math.Inf(1)})
	row.SetNumber("undefined", math.NaN())
	if len(row.Figures)+len(row.Rounds)+len(row.Numbers) != 0 {
		t.Errorf("%+v", row)
	}
}
