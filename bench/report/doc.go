// Package report keeps what the benchmarks found out and shows it. There is one format,
// [Results]: bench/results has a file of it for each benchmark, and the tables and plots of
// bench/README.md are made from these files by [Generate]. No figure in them is typed by hand.
package report
