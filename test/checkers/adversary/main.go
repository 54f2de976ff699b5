// Adversary attacks the gateway and checks what an innocent client notices of it; see README.md.
package main

import (
	"context"
	"errors"
	"flag"
	"os"
	"os/signal"
	"syscall"
	"time"

	"kvgateway/test/checkers/harness"
)

func main() {
	if len(os.Args) > 1 && (os.Args[1] == "attack" || os.Args[1] == "honest") {
		exit(serveChild(os.Args[1], os.Args[2:]))
	}
	r := &run{}
	flag.DurationVar(&r.duration, "duration", 2*time.Minute, "how long everything may take")
	flag.Uint64Var(&r.seed, "seed", uint64(time.Now().UnixNano()),
		"the seed of every random choice")
	flag.StringVar(&r.binary, "gateway", "bin/gateway", "the gateway's binary")
	flag.StringVar(&r.output, "output", "test/output/adversary",
		"the directory that the gateway's logs go to")
	flag.StringVar(&r.only, "only", "",
		"the attacks to make, separated by commas, or none; all by default")
	flag.StringVar(&r.same, "same-address", "",
		"the attacks to make from the innocent client's address too, separated by commas, or all")
	flag.DurationVar(&r.each, "each", 0, "how long each attack lasts; 0 to share out the duration")
	flag.IntVar(&r.rate, "rate", 60, "how many requests the innocent client makes a second")
	flag.Float64Var(&r.limits.Slack, "slack", 1,
		"a factor for the bounds of time, for a slow machine")
	list := flag.Bool("list", false, "list the attacks")
	flag.Parse()
	if *list {
		printAttacks()
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := r.all(ctx)
	stop()
	exit(err)
}

func exit(err error) { harness.Exit("adversary", err) }

var errInterrupted = errors.New("interrupted")
