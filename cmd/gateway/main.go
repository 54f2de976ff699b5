// Command gateway serves NATS Key/Value buckets over HTTP, on an embedded nats-server or on yours.
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
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // from the first signal on, a second one ends the process at once
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	if err != nil {
		fmt.Fprintf(os.Stderr, "gateway: %v\n", err)
	}
	os.Exit(exitCode(err))
}

// exitCode is 0 for a clean end, 2 for settings that cannot work, which only a change of them mends, and 1 for the rest.
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
