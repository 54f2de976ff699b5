package natstest

import (
	"context"
	"testing"
	"time"
)

// pollInterval is the time between two looks at a condition.
const pollInterval = 2 * time.Millisecond

// Eventually waits until the condition holds, and fails the test if it does not hold within the
// given time. The condition must not block for long, since that is not interrupted. what says in
// the test's failure what did not happen.
func Eventually(tb testing.TB, within time.Duration, what string, condition func() bool) {
	tb.Helper()
	deadline := time.Now().Add(within)
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	for !condition() {
		if time.Now().After(deadline) {
			tb.Fatalf("not within %v: %s", within, what)
		}
		<-ticker.C
	}
}

// Holds checks for the given time that the condition holds, and fails the test once it does not.
func Holds(tb testing.TB, during time.Duration, what string, condition func() bool) {
	tb.Helper()
	deadline := time.Now().Add(during)
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	for time.Now().Before(deadline) {
		if !condition() {
			tb.Fatalf("did not hold for %v: %s", during, what)
		}
		<-ticker.C
	}
}

// contextFor returns a context that ends after the given time. It does not end with the test, since
// it is for what is done in the test's cleanup, too.
func contextFor(d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), d)
}
