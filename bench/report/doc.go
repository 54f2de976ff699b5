// Package report keeps what the benchmarks found out, and shows it. There is one format, [Results],
// from which the tables are made.
package report
