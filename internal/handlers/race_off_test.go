//go:build !race

package handlers_test

// raceEnabled reports whether the race detector is on.
const raceEnabled = false

// slowdown is the factor by which tests wait longer.
const slowdown = 1
