package report

import "strings"

// manyTable compares what the gateway does in one request with the loop that it saves. The name of
// a cell begins with what is done. Its first row is the gateway's, and the second that of the loop.
func manyTable(r Results) table {
	t := table{
		title: "**Many keys**, entries a second: the gateway in one request, and the loop that " +
			"it saves, on the same nats-server process",
		columns: []string{"what", "one request", "entries/s", "against", "entries/s", "ratio"},
	}
	for _, cell := range r.cells() {
		pair := r.rowsOf(cell)
		if len(pair) != 2 {
			continue
		}
		what, _, _ := strings.Cut(cell, "/")
		t.rows = append(t.rows, []string{what,
			pair[0].System, pair[0].show("entries_per_second"),
			pair[1].System, pair[1].show("entries_per_second"),
			pair[0].showRatio("to_loop")})
	}
	return t
}
