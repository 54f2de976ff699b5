package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"kvgateway/bench/cells"
	"kvgateway/bench/report"
	"kvgateway/bench/roles"
)

// commands are the benchmarks beside that of single requests, and what makes README.md of their
// results.
var commands = map[string]cells.Command{
	"watch": cells.Streams, "many": cells.Many, "transactions": cells.Transactions,
	"callers": cells.Callers, "memory": cells.Memory, "returns": cells.Returns,
	"report": writeReport,
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

// writeReport makes the plots and the tables of README.md from the files of results.
func writeReport(_ context.Context, args []string, _, stderr io.Writer) error {
	flags := flag.NewFlagSet("bench report", flag.ContinueOnError)
	flags.SetOutput(stderr)
	dir := flags.String("dir", "bench", "`directory` of README.md, results and plots")
	if err := flags.Parse(args); err != nil {
		return err
	}
	texts, err := report.Generate(*dir)
	if err != nil {
		return err
	}
	return report.WriteAll(texts)
}
