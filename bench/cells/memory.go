package cells

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"time"

	"kvgateway/bench/meter"
	"kvgateway/bench/roles"
)

// Memory compares reads that the gateway answers from its own copy of a bucket with a bare handler
// whose answers have the same headers, and with a gateway that has no copy. The cells are a GET by
// 256, 32 and 1 connections as new as the leader has it, and by 32 connections a GET that may be
// old, and one of what the client has. All take turns.
func Memory(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	s := requestSettings{systems: []string{
		roles.BareHeaders, roles.GatewayEmbedded, roles.GatewayExternal,
		roles.MemoryEmbedded, roles.MemoryExternal,
	}}
	flags := flag.NewFlagSet("bench memory", flag.ContinueOnError)
	flags.SetOutput(stderr)
	s.define(flags)
	cells := flags.String("cell", "get/1/128,get/32/128,get/256/128,get-cached/32/128,"+
		"get-304/32/128", "cells to run, as in the benchmark of single requests")
	flags.IntVar(&s.rounds, "rounds", 7, "measured rounds of each system in each cell")
	flags.DurationVar(&s.roundTime, "time", 550*time.Millisecond, "length of one round")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if err := errors.Join(s.chooseCells(*cells, false), s.check()); err != nil {
		return err
	}
	// Without a bound on the requests of a caller, which 256 connections would exceed.
	s.gatewayArgs = append(s.gatewayArgs, "--rate", "0")
	lab, err := newRequestLab(s, stderr)
	if err != nil {
		return err
	}
	defer lab.close()
	measured, err := lab.measureAll(ctx)
	if err != nil {
		return err
	}
	return writeMemory(stdout, measured, s.systems)
}

// writeMemory writes a table of the CPU time for each answer, in all processes that serve.
func writeMemory(out io.Writer, measured []requestResult, systems []string) error {
	text := "| cell | system | CPU µs | to the bare handler | requests a second | p50 µs " +
		"| p99 µs |\n|---|---|---|---|---|---|---|\n"
	for _, r := range measured {
		bare := r.values(roles.BareHeaders, cpuOf)
		for _, system := range systems {
			median := func(figure func(requestSample) float64) float64 {
				return meter.SpreadOf(r.values(system, figure)).Median
			}
			text += fmt.Sprintf("| %s | %s | %.1f | %.2f | %.0f | %.0f | %.0f |\n",
				r.cell, system, median(cpuOf),
				meter.SpreadOf(meter.Ratios(r.values(system, cpuOf), bare)).Median,
				median(opsOf), median(p50Of), median(p99Of))
		}
	}
	_, err := io.WriteString(out, text)
	return err
}
