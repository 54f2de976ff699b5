package report

import (
	"bytes"
	"flag"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"kvgateway/bench/roles"
)

var update = flag.Bool("update", false, "write the golden files")

// What README.md shows is what the files of results say: neither a figure nor a plot was changed by
// hand, or left behind.
func TestReadmeShowsTheResults(t *testing.T) {
	texts, err := Generate("..")
	if err != nil {
		t.Fatal(err)
	}
	for file, want := range texts {
		if got, err := os.ReadFile(file); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s is not what the results make it (%v): run `make bench-report`", file, err)
		}
	}
	files, err := filepath.Glob("../plots/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if _, made := texts[file]; !made {
			t.Errorf("%s is of no results", file)
		}
	}
}

// exampleResults has what can make a plot or a table difficult: a figure that is missing, a
// negative one, a system that did not run, and rounds that do not differ.
func exampleResults() []Results {
	requests := Results{Run: Run{Benchmark: Requests, Date: "2026-11-25", Rounds: 3,
		RoundTime: "550ms", Gateway: "gateway serve", Took: "1m0s"}}
	embedded := Row{Cell: "get/1/128", System: roles.GatewayEmbedded}
	embedded.Set("cpu_us", []float64{110, 100, 120})
	embedded.Set("cpu_to_parts", []float64{1.1, 1.05, 1.3})
	embedded.Set("p50_us", []float64{90, 90, 90})
	external := Row{Cell: "get/1/128", System: roles.GatewayExternal}
	external.Set("cpu_us", []float64{250, 240, 260})
	external.SetNumber("own_cpu_us", 150.26)
	external.SetNumber("nats_cpu_us", 100)
	other := Row{Cell: "put/32/4096", System: roles.GatewayExternal}
	other.Set("cpu_to_parts", []float64{2.5, 2.25, 3})
	requests.Rows = []Row{embedded, external, other}

	streams := Results{Run: Run{Benchmark: Streams, Date: "2026-11-28", Rounds: 3}}
	for _, system := range []string{"fan-out", "nchan", "gateway"} {
		row := Row{Cell: "1000/one/2000", System: system}
		if system != "fan-out" {
			row.Set("delivery_us", []float64{0.3, 0, -0.5})
			row.Set("memory_kb", []float64{14, 14, 2800})
		}
		streams.Rows = append(streams.Rows, row)
	}
	return []Results{requests, streams}
}

func TestPlotsAndTablesAreGolden(t *testing.T) {
	texts := make(map[string]string)
	for _, r := range exampleResults() {
		names, plots := r.plots()
		for i, name := range names {
			texts[r.Run.Benchmark+"-"+name+".svg"] = plots[i].svg()
			if again := plots[i].svg(); again != texts[r.Run.Benchmark+"-"+name+".svg"] {
				t.Errorf("%s is drawn in two ways", name)
			}
		}
		texts[r.Run.Benchmark+".md"] = r.Markdown()
	}
	for _, name := range slices.Sorted(maps.Keys(texts)) {
		file := filepath.Join("testdata", name)
		if *update {
			if err := os.WriteFile(file, []byte(texts[name]), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if want, err := os.ReadFile(file); err != nil || string(want) != texts[name] {
			t.Errorf("%s differs (%v): see whether it should, and run with -update", file, err)
		}
	}
	golden, err := filepath.Glob("testdata/*")
	if err != nil || len(golden) != len(texts) {
		t.Errorf("%d golden files for %d texts, %v", len(golden), len(texts), err)
	}
}

// A plot is shown by other people's pages: it must not run anything, nor load anything.
func TestPlotsAreInert(t *testing.T) {
	for _, r := range exampleResults() {
		_, plots := r.plots()
		for _, p := range plots {
			p.title = `a<b>&"c"`
			text := p.svg()
			if !strings.Contains(text, "<title>a&lt;b&gt;&amp;&quot;c&quot;</title>") {
				t.Errorf("the title is not escaped: %.300s", text)
			}
			text = strings.Replace(text, `xmlns="http://www.w3.org/2000/svg"`, "", 1)
			for _, bad := range []string{"<script", "http", "href", "url(", "@import", "NaN"} {
				if strings.Contains(text, bad) {
					t.Errorf("%s has %s", p.title, bad)
				}
			}
		}
	}
}

func TestTicksAreRoundNumbers(t *testing.T) {
	for _, test := range []struct {
		scale scale
		want  []float64
	}{
		{scale{low: 0, high: 3.4, left: 200}, []float64{0, 0.5, 1, 1.5, 2, 2.5, 3}},
		{scale{low: 0, high: 380, left: 200}, []float64{0, 50, 100, 150, 200, 250, 300, 350}},
		{scale{low: -45, high: 10, left: 200}, []float64{-40, -30, -20, -10, 0, 10}},
		{scale{low: 0.2, high: 50, left: 200, log: true},
			[]float64{0.2, 0.5, 1, 2, 5, 10, 20, 50}},
	} {
		var got, want []string
		for _, tick := range test.scale.ticks() {
			got = append(got, short(tick))
		}
		for _, tick := range test.want {
			want = append(want, short(tick))
		}
		if !slices.Equal(got, want) {
			t.Errorf("%+v: %v, not %v", test.scale, got, want)
		}
	}
}

func TestPartsOfReadmeMustMatchTheResults(t *testing.T) {
	const page = "before\n<!-- results: a -->\nold\n<!-- end -->\nafter\n"
	got, err := replaceParts([]byte(page), map[string]string{"a": "new\n\n"})
	want := "before\n<!-- results: a -->\n\nnew\n\n<!-- end -->\nafter\n"
	if err != nil || string(got) != want {
		t.Errorf("%q, %v", got, err)
	}
	for name, bad := range map[string]string{
		"results that are not shown": "before\n",
		"no results of that name":    strings.Replace(page, "results: a", "results: b", 1),
		"no end":                     strings.Replace(page, "<!-- end -->\n", "", 1),
		"two ends":                   page + "<!-- end -->\n",
		"a part in a part":           "<!-- results: a -->\n" + page,
	} {
		if _, err := replaceParts([]byte(bad), map[string]string{"a": ""}); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
