// Linearizable runs clients of two gateways and of NATS between faults and checks that one order explains all that they were told; see
// README.md.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"kvgateway/test/checkers/harness"
)

func main() {
	if len(os.Args) == 4 && os.Args[1] == "nats-server" {
		exit(harness.ServeNATS(os.Args[2], os.Args[3], true))
	}
	r := &run{}
	flag.DurationVar(&r.duration, "duration", 2*time.Minute, "how long clients and faults run")
	flag.Uint64Var(&r.seed, "seed", uint64(time.Now().UnixNano()), "of every random choice")
	flag.StringVar(&r.gatewayBinary, "gateway", "bin/gateway", "the gateway's binary")
	flag.StringVar(&r.output, "output", "test/output/linearizable", "where logs and histories that cannot be explained go")
	flag.StringVar(&r.only, "only", "", "names of the faults to inject, with commas, or none; all by default")
	flag.Parse()
	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-interrupted
		r.stop() // children would live on
		exit(errors.New("interrupted"))
	}()
	exit(r.all())
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "linearizable:", err)
		os.Exit(1)
	}
	os.Exit(0)
}
