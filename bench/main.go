package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

// settings is what the command line says.
type settings struct {
	gateway     string        // path of the gateway's binary
	gatewayArgs []string      // further arguments of `gateway serve`
	systems     []string      // names of the systems to run
	cells       []cell        // what to measure
	rounds      int           // measured rounds of each system in each cell
	roundTime   time.Duration // length of one measured round
	tempDir     string        // where data directories are made, "" for the system's
	jsonFile    string        // every sample is written here, "" for nowhere
	profileDir  string        // profile one cell instead of measuring
}

// others are the benchmarks beside that of single requests, by their names.
var others = map[string]func(ctx context.Context, args []string, stdout, stderr io.Writer) error{
	"watch": runWatch, "many": runMany, "transactions": runTransactions,
}

func main() {
	if len(os.Args) > 2 && os.Args[1] == "role" {
		exitOn(runRole(os.Args[2], os.Args[3:]))
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if len(os.Args) > 1 {
		if other := others[os.Args[1]]; other != nil {
			exitOn(other(ctx, os.Args[2:], os.Stdout, os.Stderr))
			return
		}
	}
	exitOn(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// exitOn ends the program with status 1 if err says so; asking for -help is no failure.
func exitOn(err error) {
	if err == nil || errors.Is(err, flag.ErrHelp) {
		return
	}
	fmt.Fprintln(os.Stderr, "bench:", err)
	os.Exit(1)
}

// run is the whole program but for the process: tables go to stdout, progress to stderr.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	s, err := parseSettings(args, stderr)
	if err != nil {
		return err
	}
	lab, err := newLab(s, stderr)
	if err != nil {
		return err
	}
	defer lab.close()
	if s.profileDir != "" {
		return lab.profile(ctx, stdout)
	}
	started := time.Now()
	results, err := lab.measureAll(ctx)
	if err != nil {
		return err
	}
	report := report{Machine: thisMachine(), Gateway: s.commandLine(), Rounds: s.rounds, RoundTime: s.roundTime.String(),
		Started: started.UTC().Truncate(time.Second), Took: time.Since(started).Round(time.Second).String(), Cells: results}
	if s.jsonFile != "" {
		if err := report.writeJSON(s.jsonFile); err != nil {
			return err
		}
	}
	return report.writeMarkdown(stdout)
}

func parseSettings(args []string, stderr io.Writer) (settings, error) {
	var s settings
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&s.gateway, "gateway", "bin/gateway", "the gateway's `binary`")
	gatewayArgs := flags.String("gateway-args", "", "further `arguments` of gateway serve, separated by blanks")
	systems := flags.String("systems", strings.Join(allSystems, ","), "systems to run, a comma-separated `list`")
	cells := flags.String("cell", "", "cells to run: operation/connections/bytes, comma-separated; * is any of the full matrix")
	quick := flags.Bool("quick", false, "a minute and a half: 3 rounds of 32 connections and 128 bytes, and of GET at 1 connection")
	flags.IntVar(&s.rounds, "rounds", 5, "measured rounds of each system in each cell")
	flags.DurationVar(&s.roundTime, "time", 550*time.Millisecond, "length of one round")
	flags.StringVar(&s.tempDir, "temp", "", "`directory` for data, removed at the end (default the system's)")
	flags.StringVar(&s.jsonFile, "json", "", "write every sample to this `file`")
	flags.StringVar(&s.profileDir, "profile", "", "profile the one -cell of the one system in -systems (default gateway-embedded) into this `directory`")
	if err := flags.Parse(args); err != nil {
		return s, err
	}
	s.gatewayArgs = strings.Fields(*gatewayArgs)
	if *quick && !given(flags, "rounds") {
		s.rounds = 3
	}
	return s, errors.Join(s.chooseSystems(*systems, given(flags, "systems")), s.chooseCells(*cells, *quick), s.check())
}

func given(flags *flag.FlagSet, name string) (found bool) {
	flags.Visit(func(f *flag.Flag) { found = found || f.Name == name })
	return found
}

func (s *settings) chooseSystems(list string, given bool) error {
	if s.profileDir != "" && !given {
		list = gatewayEmbedded
	}
	for _, name := range strings.Split(list, ",") {
		if !isSystem(name) {
			return fmt.Errorf("-systems: %q is none of %s", name, strings.Join(allSystems, ", "))
		}
		s.systems = append(s.systems, name)
	}
	return nil
}

func (s *settings) chooseCells(list string, quick bool) (err error) {
	switch {
	case list != "":
		s.cells, err = parseCells(list)
	case quick:
		s.cells = quickMatrix()
	default:
		s.cells = fullMatrix()
	}
	return err
}

func (s *settings) check() error {
	if s.rounds < 1 || s.roundTime < 50*time.Millisecond {
		return errors.New("-rounds must be at least 1 and -time at least 50ms")
	}
	if s.profileDir != "" && (len(s.cells) != 1 || len(s.systems) != 1) {
		return errors.New("-profile takes one -cell, such as get/32/128, and one of -systems")
	}
	return nil
}
