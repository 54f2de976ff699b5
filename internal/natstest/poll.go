package natstest

import (
	"context"
	"testing"
	"time"
)

const pollInterval = 2 * time.Millisecond

// Eventually waits until the condition holds and fails the test if it does not within that time. The condition must not
// block for long.
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

// Holds fails the test if the condition stops to hold before that time is over.
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

func contextFor(d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), d)
}
