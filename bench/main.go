package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"kvgateway/bench/cells"
	"kvgateway/bench/roles"
)

// commands are the benchmarks beside that of single requests.
var commands = map[string]cells.Command{
	"watch": cells.Streams, "many": cells.Many, "transactions": cells.Transactions,
}

func main() {
	args := os.Args[1:]
	if len(args) > 1 && args[0] == "role" {
		exitOn(roles.Run(args[1], args[2:]))
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	command := cells.Requests
	if len(args) > 0 && commands[args[0]] != nil {
		command, args = commands[args[0]], args[1:]
	}
	exitOn(command(ctx, args, os.Stdout, os.Stderr))
}

// exitOn ends the program with status 1 if there is an error. Asking for -help is none.
func exitOn(err error) {
	if err == nil || errors.Is(err, flag.ErrHelp) {
		return
	}
	fmt.Fprintln(os.Stderr, "bench:", err)
	os.Exit(1)
}
