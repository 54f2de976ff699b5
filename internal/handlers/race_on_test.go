//go:build race

package handlers_test

// raceEnabled tells that the race detector makes everything some ten times slower.
const raceEnabled = true

// slowdown is how many times as long tests wait for what must come. Where several of them move 50,000 entries at once on two slow cores, a
// minute is not enough.
const slowdown = 4
