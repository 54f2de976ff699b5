package report

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Markdown returns the tables of a run.
func (r Results) Markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\n", wrap(r.Run.String()))
	switch r.Run.Benchmark {
	case Requests:
		writeRequests(&b, r)
	case Streams:
		writeStreams(&b, r)
	case Many:
		manyTable(r).write(&b)
	case Transactions:
		transactionTable(r).write(&b)
		writerTable(r).write(&b)
	}
	return b.String()
}

// String describes the run in one line.
func (r Run) String() string {
	m := r.Machine
	parts := []string{fmt.Sprintf("%s: %d cores (%s), %s, %s, nats-server %s",
		r.Date, m.Cores, m.CPU, m.System, m.Go, m.NATSServer)}
	if m.NATSGo != "" {
		parts[0] += ", nats.go " + m.NATSGo
	}
	if r.Gateway != "" {
		parts = append(parts, "`"+r.Gateway+"`")
	}
	if r.Build != "" {
		parts = append(parts, r.Build)
	}
	if rounds := r.rounds(); rounds != "" {
		parts = append(parts, rounds)
	}
	text := strings.Join(parts, "; ") + "."
	if r.Note != "" {
		text += " " + r.Note
	}
	if r.Rounds > 1 {
		text += " Median (minimum–maximum)."
	}
	return text
}

// maxColumns is how wide lines of text are.
const maxColumns = 100

// wrap breaks a line of text between words, so that none is wider than maxColumns if its words are
// not.
func wrap(text string) string {
	var b strings.Builder
	column := 0
	for _, word := range strings.Fields(text) {
		width := utf8.RuneCountInString(word)
		switch {
		case column == 0:
		case column+1+width > maxColumns:
			b.WriteByte('\n')
			column = 0
		default:
			b.WriteByte(' ')
			column++
		}
		b.WriteString(word)
		column += width
	}
	return b.String()
}

// rounds says how long the run was.
func (r Run) rounds() string {
	var parts []string
	if r.Rounds > 0 {
		text := fmt.Sprintf("%d rounds", r.Rounds)
		if r.Rounds == 1 {
			text = "1 round"
		}
		if r.RoundTime != "" {
			text += " of " + r.RoundTime
		}
		parts = append(parts, text)
	}
	if r.Took != "" {
		parts = append(parts, r.Took+" in all")
	}
	return strings.Join(parts, ", ")
}
