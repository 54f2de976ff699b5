//go:build race

package handlers_test

// raceEnabled reports whether the race detector is on, which makes everything some ten times
// slower.
const raceEnabled = true

// slowdown is the factor by which tests wait longer. If several tests move 50,000 entries at once
// on two slow cores, a minute is not enough.
const slowdown = 4
