package cells

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"kvgateway/bench/load"
	"kvgateway/bench/report"
	"kvgateway/bench/roles"
)

// streamSettings is what the command line of `bench watch` says.
type streamSettings struct {
	common
	otherArgs  []string // further arguments of `gateway serve` for gateway-goroutines
	systems    []string // in the order in which they take turns
	cells      []load.StreamCell
	puts       bool // measure puts among many watchers
	joins      bool // measure snapshots for clients that join at once
	rounds     int
	time       time.Duration // length of a measurement
	profileDir string        // save profiles of the gateways into this directory
}

// streamMatrix returns all cells. With one filter most have about as many deliveries a second, few
// enough for two cores. One has five times as many, and one has more than anything delivers there.
func streamMatrix() (cells []load.StreamCell) {
	for _, c := range [][2]int{
		{100, 200}, {1000, 20}, {1000, 100}, {1000, 2000}, {5000, 4}, {10000, 2},
	} {
		cells = append(cells, load.StreamCell{Subscribers: c[0], Rate: c[1]})
	}
	for _, c := range [][2]int{{100, 1000}, {1000, 5000}, {5000, 5000}, {10000, 5000}} {
		cells = append(cells, load.StreamCell{Subscribers: c[0], Distinct: true, Rate: c[1]})
	}
	return append(cells, load.StreamCell{Subscribers: 1000, Rate: 20, Slow: true})
}

// Streams measures the streaming of changes.
func Streams(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	s, err := parseStreamSettings(args, stderr)
	if err != nil {
		return err
	}
	lab, err := newStreamLab(s, stderr)
	if err != nil {
		return err
	}
	defer lab.close()
	started := time.Now()
	// If it fails, what was measured before is worth showing.
	failed := lab.measureAll(ctx)
	r := report.Results{Run: report.Run{
		Benchmark: report.Streams, Rounds: s.rounds, RoundTime: s.time.String(),
	}, Rows: lab.rows}
	return errors.Join(failed, s.finish(r, started, stdout))
}

func parseStreamSettings(args []string, stderr io.Writer) (s streamSettings, err error) {
	flags := flag.NewFlagSet("bench watch", flag.ContinueOnError)
	flags.SetOutput(stderr)
	s.define(flags)
	otherArgs := flags.String("other-args", "--stream-loops 0",
		"further `arguments` of gateway serve for the system gateway-goroutines")
	systems := flags.String("systems", "",
		"systems to run, a comma-separated `list` of "+strings.Join(roles.StreamSystems, ", "))
	cells := flags.String("cell", "", "cells to run: subscribers/filters/events a second, "+
		"comma-separated; filters is one, distinct, or slow: one with a reader that stopped; "+
		"puts and joins are the last two tables")
	flags.IntVar(&s.rounds, "rounds", 3,
		"measurements of each system in each cell, each with new processes")
	flags.DurationVar(&s.time, "time", 3*time.Second, "length of one measurement")
	flags.StringVar(&s.profileDir, "profile", "",
		"save CPU and heap profiles of the gateways into this `directory`")
	if err := flags.Parse(args); err != nil {
		return s, err
	}
	s.otherArgs = strings.Fields(*otherArgs)
	if s.rounds < 1 || s.time < 100*time.Millisecond {
		return s, errors.New("-rounds must be at least 1 and -time at least 100ms")
	}
	return s, errors.Join(s.chooseSystems(*systems), s.chooseCells(*cells))
}

// chooseSystems takes those that can run here if none are named.
func (s *streamSettings) chooseSystems(list string) error {
	if list == "" {
		missing := func(name string) bool { return name == roles.Nchan && !roles.NchanFound() }
		s.systems = slices.DeleteFunc(slices.Clone(roles.StreamSystems), missing)
		return nil
	}
	s.systems = strings.Split(list, ",")
	for _, name := range s.systems {
		if !slices.Contains(roles.StreamSystems, name) {
			return fmt.Errorf("-systems: %q is none of %s",
				name, strings.Join(roles.StreamSystems, ", "))
		}
	}
	return nil
}

func (s *streamSettings) chooseCells(list string) error {
	if list == "" {
		s.cells, s.puts, s.joins = streamMatrix(), true, true
		return nil
	}
	for text := range strings.SplitSeq(list, ",") {
		switch text {
		case report.PutsAmongWatchers:
			s.puts = true
		case report.JoinsAtOnce:
			s.joins = true
		default:
			c, err := parseStreamCell(text)
			if err != nil {
				return err
			}
			s.cells = append(s.cells, c)
		}
	}
	return nil
}

// maxSubscribers leaves some of the file descriptors that a process can have for other things.
const maxSubscribers = 15000

func parseStreamCell(text string) (c load.StreamCell, err error) {
	parts := strings.Split(text, "/")
	if len(parts) != 3 || !slices.Contains([]string{"one", "distinct", "slow"}, parts[1]) {
		return c, fmt.Errorf("-cell: %q is not subscribers/one|distinct|slow/events, "+
			"puts or joins", text)
	}
	subscribers, err1 := strconv.Atoi(parts[0])
	rate, err2 := strconv.Atoi(parts[2])
	if err1 != nil || err2 != nil ||
		subscribers < 1 || subscribers > maxSubscribers || rate < 1 {
		return c, fmt.Errorf("-cell: %q: subscribers go from 1 to %d, events from 1",
			text, maxSubscribers)
	}
	return load.StreamCell{Subscribers: subscribers, Distinct: parts[1] == "distinct",
		Rate: rate, Slow: parts[1] == "slow"}, nil
}
