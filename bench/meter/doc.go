// Package meter measures. It counts latencies, reads what processes use, and puts the figures of
// several rounds together: medians with their spread, and ratios taken within a round.
package meter
