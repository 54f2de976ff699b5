package report

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"slices"
	"strconv"

	"kvgateway/bench/meter"
)

// The benchmarks.
const (
	Requests     = "requests"
	Streams      = "streams"
	Many         = "many"
	Transactions = "transactions"
)

// Results are what a run of a benchmark found out. A file of results has one JSON value a line: the
// [Run], and then the rows.
type Results struct {
	Run  Run
	Rows []Row
}

// A Run says how, when and where figures were measured.
type Run struct {
	Benchmark string        `json:"benchmark"` // one of the constants above
	Date      string        `json:"date"`      // of the run's start, in UTC
	Took      string        `json:"took,omitempty"`
	Rounds    int           `json:"rounds,omitempty"`
	RoundTime string        `json:"round_time,omitempty"`
	Gateway   string        `json:"gateway,omitempty"` // its command line
	Build     string        `json:"build,omitempty"`   // how the gateway describes itself
	Machine   meter.Machine `json:"machine"`
	Note      string        `json:"note,omitempty"` // what else a reader has to know, Markdown
}

// A Row has the figures of one system in one cell. Their names end in their units; ratios have
// none. The tables leave out what a row does not have.
type Row struct {
	Cell   string `json:"cell"`
	System string `json:"system"`
	// Figures have a median, a minimum and a maximum over the rounds. In JSON they are arrays of
	// these three.
	Figures map[string]Figure `json:"figures,omitempty"`
	// Numbers are not taken round by round.
	Numbers map[string]float64 `json:"numbers,omitempty"`
	// Rounds are the values of which the figures were made.
	Rounds map[string][]float64 `json:"rounds,omitempty"`
}

// A Figure is a [meter.Spread] that is an array in JSON.
type Figure meter.Spread

// MarshalJSON writes median, minimum and maximum.
func (f Figure) MarshalJSON() ([]byte, error) {
	return json.Marshal([]float64{f.Median, f.Min, f.Max})
}

// UnmarshalJSON reads what MarshalJSON writes.
func (f *Figure) UnmarshalJSON(text []byte) error {
	var values []float64
	if err := json.Unmarshal(text, &values); err != nil {
		return err
	}
	if len(values) != 3 {
		return fmt.Errorf("%s is not median, minimum and maximum", text)
	}
	*f = Figure{values[0], values[1], values[2]}
	return nil
}

// Set makes a figure of its values, one for each round. It does nothing if there are none, or if
// one of them is not finite, as the ratio to a system that used nothing measurable.
func (r *Row) Set(name string, values []float64) {
	unusable := func(v float64) bool { return math.IsNaN(v) || math.IsInf(v, 0) }
	if len(values) == 0 || slices.ContainsFunc(values, unusable) {
		return
	}
	if r.Figures == nil {
		r.Figures, r.Rounds = make(map[string]Figure), make(map[string][]float64)
	}
	rounded := make([]float64, len(values))
	for i, v := range values {
		rounded[i] = significant(v)
	}
	r.Figures[name], r.Rounds[name] = Figure(meter.SpreadOf(rounded)), rounded
}

// significant rounds to six digits, which is more than any figure is good for.
func significant(v float64) float64 {
	rounded, err := strconv.ParseFloat(strconv.FormatFloat(v, 'g', 6, 64), 64)
	if err != nil {
		return v
	}
	return rounded
}

// SetNumber sets a number that is not taken round by round.
func (r *Row) SetNumber(name string, value float64) {
	if math.IsNaN(value) || math.IsInf(value, 0) {
		return
	}
	if r.Numbers == nil {
		r.Numbers = make(map[string]float64)
	}
	r.Numbers[name] = significant(value)
}

// Row returns the row of a system in a cell, which is empty if there is none.
func (r Results) Row(cell, system string) Row {
	for _, row := range r.Rows {
		if row.Cell == cell && row.System == system {
			return row
		}
	}
	return Row{Cell: cell, System: system}
}

// rowsOf returns the rows of a cell.
func (r Results) rowsOf(cell string) (rows []Row) {
	for _, row := range r.Rows {
		if row.Cell == cell {
			rows = append(rows, row)
		}
	}
	return rows
}

// cells returns the names of the cells in the order in which they first appear.
func (r Results) cells() (names []string) {
	for _, row := range r.Rows {
		if !slices.Contains(names, row.Cell) {
			names = append(names, row.Cell)
		}
	}
	return names
}

// Write writes a file of results.
func (r Results) Write(file string) error {
	var text bytes.Buffer
	lines := json.NewEncoder(&text)
	lines.SetEscapeHTML(false)
	err := lines.Encode(r.Run)
	for _, row := range r.Rows {
		if err == nil {
			err = lines.Encode(row)
		}
	}
	if err != nil {
		return err
	}
	return os.WriteFile(file, text.Bytes(), 0o644)
}

// Read reads a file of results.
func Read(file string) (r Results, err error) {
	text, err := os.Open(file)
	if err != nil {
		return r, err
	}
	defer text.Close()
	lines := json.NewDecoder(bufio.NewReader(text))
	lines.DisallowUnknownFields()
	if err := lines.Decode(&r.Run); err != nil {
		return r, fmt.Errorf("%s: %w", file, err)
	}
	for lines.More() {
		var row Row
		if err := lines.Decode(&row); err != nil {
			return r, fmt.Errorf("%s: row %d: %w", file, len(r.Rows)+1, err)
		}
		r.Rows = append(r.Rows, row)
	}
	return r, nil
}
