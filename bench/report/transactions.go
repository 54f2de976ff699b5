package report

import (
	"fmt"
	"slices"
	"strings"
)

// besideWriters begins the names of the cells in which transactions were sent beside other clients'
// puts. The rest of the name is how many a second.
const besideWriters = "beside/"

// TransactionsBeside returns the name of the cell with so many transactions a second.
func TransactionsBeside(rate int) string { return fmt.Sprint(besideWriters, rate) }

// transactionTable compares one client's transactions with its single puts. The systems are the
// values of --sync.
func transactionTable(r Results) table {
	t := table{
		title:   "**Transactions of one client**, values of 128 bytes",
		columns: []string{"bucket", "request", "`--sync`", "p50", "p99", "keys a second"},
	}
	for _, row := range r.Rows {
		if strings.HasPrefix(row.Cell, besideWriters) {
			continue
		}
		bucket, request, _ := strings.Cut(row.Cell, "/")
		t.rows = append(t.rows, []string{bucket, request, row.System, row.showMillis("p50_ms"),
			row.showMillis("p99_ms"), row.showNumber("keys_per_second", 0)})
	}
	return t.withoutEmptyColumns()
}

// writerTable shows what transactions cost the bucket's other writers.
func writerTable(r Results) table {
	t := table{
		title: "**PUTs of 16 clients to a bucket on file**, beside one client's transactions of " +
			"two keys",
		columns: []string{"`--sync`", "transactions a second", "PUTs a second", "p50", "p99"},
	}
	for _, row := range r.Rows {
		if strings.HasPrefix(row.Cell, besideWriters) {
			t.rows = append(t.rows, []string{row.System,
				row.showNumber("transactions_per_second", 0), row.showNumber("puts_per_second", 0),
				row.showMillis("p50_ms"), row.showMillis("p99_ms")})
		}
	}
	return t
}

// withoutEmptyColumns leaves out the columns in which no row has a figure.
func (t table) withoutEmptyColumns() table {
	for i := len(t.columns) - 1; i >= 0; i-- {
		measured := func(row []string) bool { return row[i] != absent }
		if slices.ContainsFunc(t.rows, measured) {
			continue
		}
		t.columns = slices.Delete(t.columns, i, i+1)
		for j := range t.rows {
			t.rows[j] = slices.Delete(t.rows[j], i, i+1)
		}
	}
	return t
}

// showMillis returns milliseconds with two digits or more.
func (r Row) showMillis(name string) string {
	n, measured := r.Numbers[name]
	switch {
	case !measured:
		return absent
	case n < 10:
		return r.showNumber(name, 1) + " ms"
	}
	return r.showNumber(name, 0) + " ms"
}
