package main

import (
	"fmt"
	"strconv"
	"strings"
)

// table is a markdown table with a heading.
type table struct {
	title   string
	columns []string
	rows    [][]string
}

// write leaves a table without rows out.
func (t table) write(b *strings.Builder) {
	if len(t.rows) == 0 {
		return
	}
	fmt.Fprintf(b, "%s\n\n", t.title)
	fmt.Fprintf(b, "| %s |\n|%s\n", strings.Join(t.columns, " | "), strings.Repeat("---|", len(t.columns)))
	for _, row := range t.rows {
		fmt.Fprintf(b, "| %s |\n", strings.Join(row, " | "))
	}
	b.WriteByte('\n')
}

func cellColumns(c cell) []string {
	return []string{strings.ToUpper(c.Operation), strconv.Itoa(c.Connections), strconv.Itoa(c.ValueBytes)}
}

// show prints a spread with the digits that mean something, or a dash if the system did not run.
func show(s spread, ok bool) string {
	if !ok {
		return "–"
	}
	digits := 0
	if s.Median < 100 {
		digits = 1
	}
	return fmt.Sprintf("%.*f (%.*f–%.*f)", digits, s.Median, digits, s.Min, digits, s.Max)
}

func showRatio(s spread, ok bool) string {
	if !ok {
		return "–"
	}
	return fmt.Sprintf("**%.2f** (%.2f–%.2f)", s.Median, s.Min, s.Max)
}

func showNumber(n float64, ok bool) string {
	if !ok {
		return "–"
	}
	return fmt.Sprintf("%.2f", n)
}
