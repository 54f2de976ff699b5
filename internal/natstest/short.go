package natstest

import "testing"

// Sized returns all, or few if tests are to be short (go test -short). It is for how many keys,
// clients or rounds a test has that proves the same with few of them, only less often.
func Sized(all, few int) int {
	if testing.Short() {
		return few
	}
	return all
}
