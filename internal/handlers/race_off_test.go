//go:build !race

package handlers_test

const raceEnabled = false

// slowdown is how many times as long tests wait for what must come.
const slowdown = 1
