package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	err := run(signalContext(), os.Args[1:], os.Stdout, os.Stderr)
	if err != nil {
		fmt.Fprintf(os.Stderr, "gateway: %v\n", err)
	}
	os.Exit(exitCode(err))
}

// signalContext returns a context that the first signal ends. A second signal ends the process at
// once, however soon it comes. With signal.NotifyContext a second signal was lost if it came before
// the first was dealt with.
func signalContext() context.Context {
	ctx, cancel := context.WithCancelCause(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		cancel(fmt.Errorf("%v signal received", <-signals))
		<-signals
		os.Exit(1)
	}()
	return ctx
}

// exitCode returns 0 for a clean end, 2 for settings that cannot work, which only a change of them
// can fix, and 1 for all other errors.
func exitCode(err error) int {
	var usage *usageError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &usage):
		return 2
	}
	return 1
}
