// Adversary attacks the gateway and checks what an innocent client notices of it; see README.md.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	if len(os.Args) > 1 && (os.Args[1] == "attack" || os.Args[1] == "honest") {
		exit(serveChild(os.Args[1], os.Args[2:]))
	}
	r := &run{}
	flag.DurationVar(&r.duration, "duration", 2*time.Minute, "how long everything may take")
	flag.Uint64Var(&r.seed, "seed", uint64(time.Now().UnixNano()), "of every random choice")
	flag.StringVar(&r.binary, "gateway", "bin/gateway", "the gateway's binary")
	flag.StringVar(&r.output, "output", "test/output/adversary", "where the gateway's logs go")
	flag.StringVar(&r.only, "only", "", "names of the attacks to make, with commas; all by default")
	flag.StringVar(
		&r.same,
		"same-address",
		"",
		"names of the attacks to make from the innocent client's own address too, with commas; or all",
	)
	flag.DurationVar(&r.each, "each", 0, "how long each attack lasts; 0 to share out the duration")
	flag.IntVar(&r.rate, "rate", 60, "how many requests the innocent client makes a second")
	flag.Float64Var(
		&r.limits.Slack,
		"slack",
		1,
		"what the bounds of time are multiplied by on a slow machine",
	)
	list := flag.Bool("list", false, "list the attacks")
	flag.Parse()
	if *list {
		tellAttacks()
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := r.all(ctx)
	stop()
	exit(err)
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "adversary:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

var errInterrupted = errors.New("interrupted")
