//go:build !race

package handlers_test

const raceEnabled = false

// slowdown is the factor by which tests wait longer.
const slowdown = 1
