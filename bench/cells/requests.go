package cells

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"kvgateway/bench/load"
	"kvgateway/bench/report"
	"kvgateway/bench/roles"
)

// requestSettings is what the command line of single requests says.
type requestSettings struct {
	common
	systems    []string      // in the order in which they take turns
	cells      []load.Cell   // the requests that are measured
	rounds     int           // of each system in each cell
	roundTime  time.Duration // length of one round
	profileDir string        // profile one cell into this directory instead of measuring
}

// Requests measures single requests.
func Requests(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	s, err := parseRequestSettings(args, stderr)
	if err != nil {
		return err
	}
	lab, err := newRequestLab(s, stderr)
	if err != nil {
		return err
	}
	defer lab.close()
	if s.profileDir != "" {
		return lab.profile(ctx, stdout)
	}
	started := time.Now()
	measured, err := lab.measureAll(ctx)
	if err != nil {
		return err
	}
	r := report.Results{Run: report.Run{
		Benchmark: report.Requests, Rounds: s.rounds, RoundTime: s.roundTime.String(),
		Gateway: lab.starter.CommandLine(),
	}, Rows: requestRows(measured)}
	return s.finish(r, started, stdout)
}

func parseRequestSettings(args []string, stderr io.Writer) (s requestSettings, err error) {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(stderr)
	s.define(flags)
	systems := flags.String("systems", strings.Join(roles.Systems, ","),
		"systems to run, a comma-separated `list`")
	cells := flags.String("cell", "", "cells to run: operation/connections/bytes, "+
		"comma-separated; * is any of the full matrix")
	quick := flags.Bool("quick", false, "a minute and a half: 3 rounds of 32 connections and "+
		"128 bytes, and of GET at 1 connection")
	flags.IntVar(&s.rounds, "rounds", 5, "measured rounds of each system in each cell")
	flags.DurationVar(&s.roundTime, "time", 550*time.Millisecond, "length of one round")
	flags.StringVar(&s.profileDir, "profile", "", "profile the one -cell of the one system in "+
		"-systems (default gateway-embedded) into this `directory`")
	if err := flags.Parse(args); err != nil {
		return s, err
	}
	if *quick && !given(flags, "rounds") {
		s.rounds = 3
	}
	return s, errors.Join(s.chooseSystems(*systems, given(flags, "systems")),
		s.chooseCells(*cells, *quick), s.check())
}

func (s *requestSettings) chooseSystems(list string, given bool) error {
	if s.profileDir != "" && !given {
		list = roles.GatewayEmbedded
	}
	for name := range strings.SplitSeq(list, ",") {
		if !slices.Contains(roles.Systems, name) {
			return fmt.Errorf("-systems: %q is none of %s",
				name, strings.Join(roles.Systems, ", "))
		}
		s.systems = append(s.systems, name)
	}
	return nil
}

func (s *requestSettings) chooseCells(list string, quick bool) (err error) {
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

func (s *requestSettings) check() error {
	if s.rounds < 1 || s.roundTime < 50*time.Millisecond {
		return errors.New("-rounds must be at least 1 and -time at least 50ms")
	}
	if s.profileDir != "" && (len(s.cells) != 1 || len(s.systems) != 1) {
		return errors.New("-profile takes one -cell, such as get/32/128, and one of -systems")
	}
	return nil
}
