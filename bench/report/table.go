package report

import (
	"fmt"
	"slices"
	"strings"
)

// A table is a Markdown table with a heading.
type table struct {
	title   string
	columns []string
	rows    [][]string
}

// write leaves out a table without rows.
func (t table) write(b *strings.Builder) {
	if len(t.rows) == 0 {
		return
	}
	fmt.Fprintf(b, "%s\n\n", wrap(t.title))
	rule := strings.Repeat("---|", len(t.columns))
	fmt.Fprintf(b, "| %s |\n|%s\n", strings.Join(t.columns, " | "), rule)
	for _, row := range t.rows {
		fmt.Fprintf(b, "| %s |\n", strings.Join(row, " | "))
	}
	b.WriteByte('\n')
}

// fold writes tables, if they have rows, so that a reader has to open them.
func fold(b *strings.Builder, summary string, tables ...table) {
	var inside strings.Builder
	for _, t := range tables {
		t.write(&inside)
	}
	if inside.Len() > 0 {
		fmt.Fprintf(b, "<details><summary>%s</summary>\n\n%s</details>\n\n", summary, &inside)
	}
}

// absent stands for a figure that was not measured.
const absent = "–"

// show returns a figure with the digits that mean something.
func (r Row) show(name string) string {
	f, ok := r.Figures[name]
	if !ok {
		return absent
	}
	digits := 0
	if f.Median < 100 {
		digits = 1
	}
	return fmt.Sprintf("%.*f (%.*f–%.*f)", digits, f.Median, digits, f.Min, digits, f.Max)
}

// showRatio returns a ratio with its spread.
func (r Row) showRatio(name string) string {
	f, ok := r.Figures[name]
	if !ok {
		return absent
	}
	return fmt.Sprintf("**%.2f** (%.2f–%.2f)", f.Median, f.Min, f.Max)
}

// showNumber returns a number with so many digits after the point.
func (r Row) showNumber(name string, digits int) string {
	n, ok := r.Numbers[name]
	if !ok {
		return absent
	}
	return fmt.Sprintf("%.*f", digits, n)
}

// mediansOf returns the medians of a figure in a system's rows of several cells.
func (r Results) mediansOf(cells []string, system, figure string) (medians []float64) {
	for _, cell := range cells {
		if f, ok := r.Row(cell, system).Figures[figure]; ok {
			medians = append(medians, f.Median)
		}
	}
	return medians
}

// showRange returns the lowest and the highest of some values.
func showRange(values []float64, digits int) string {
	if len(values) == 0 {
		return absent
	}
	lowest, highest := slices.Min(values), slices.Max(values)
	if lowest == highest {
		return fmt.Sprintf("%.*f", digits, lowest)
	}
	return fmt.Sprintf("%.*f to %.*f", digits, lowest, digits, highest)
}
