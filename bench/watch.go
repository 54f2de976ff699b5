package main

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
)

// The systems that stream changes.
const (
	watchFanOut   = "fan-out"            // a bare net/http handler: a goroutine, a write and a flush an event for each client
	watchFanOutKV = "fan-out-kv"         // the same, following a bucket with the KV client, its NATS in the process
	watchNchan    = "nchan"              // nginx with the nchan module, from memory
	watchGateway  = "gateway"            // gateway serve, its NATS in the process
	watchOrdinary = "gateway-goroutines" // the same with a goroutine for each stream, or other -other-args
)

var watchSystems = []string{watchFanOut, watchFanOutKV, watchNchan, watchGateway, watchOrdinary}

// watchSettings is what the command line of `bench watch` says.
type watchSettings struct {
	gateway    string
	args       []string // further arguments of `gateway serve`
	otherArgs  []string // those of the gateway with goroutines
	systems    []string
	cells      []watchCell
	puts       bool // measure puts among many watchers
	joins      bool // measure snapshots for clients that join at once
	rounds     int
	time       time.Duration // of a measurement
	tempDir    string
	profileDir string
}

// watchCell is one combination that all systems are measured at.
type watchCell struct {
	Subscribers int
	Distinct    bool // each subscriber follows a key of its own, and each event goes to one; else each goes to all
	Rate        int  // events a second
	Slow        bool // one subscriber more does not read
}

func (c watchCell) String() string {
	filters := "one"
	if c.Distinct {
		filters = "distinct"
	}
	if c.Slow {
		filters = "slow"
	}
	return fmt.Sprintf("%d/%s/%d", c.Subscribers, filters, c.Rate)
}

// fullWatchMatrix asks for about as many deliveries a second in each cell with one filter, few enough for two cores, in one for five times
// as many, and in one for more than anything delivers there.
func fullWatchMatrix() []watchCell {
	return []watchCell{
		{100, false, 200, false}, {1000, false, 20, false}, {1000, false, 100, false}, {1000, false, 2000, false}, {5000, false, 4, false}, {10000, false, 2, false},
		{100, true, 1000, false}, {1000, true, 5000, false}, {5000, true, 5000, false}, {10000, true, 5000, false},
		{1000, false, 20, true},
	}
}

func runWatch(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	s, err := parseWatchSettings(args, stderr)
	if err != nil {
		return err
	}
	lab, err := newWatchLab(s, stderr)
	if err != nil {
		return err
	}
	defer lab.close()
	started := time.Now()
	results, puts, joins, failed := lab.run(ctx)
	return errors.Join(failed, writeWatchReport(stdout, s, results, puts, joins, started))
}

func parseWatchSettings(args []string, stderr io.Writer) (watchSettings, error) {
	var s watchSettings
	flags := flag.NewFlagSet("bench watch", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&s.gateway, "gateway", "bin/gateway", "the gateway's `binary`")
	gatewayArgs := flags.String("gateway-args", "", "further `arguments` of gateway serve, separated by blanks")
	otherArgs := flags.String("other-args", "--stream-loops 0", "further `arguments` of gateway serve for the system gateway-goroutines")
	systems := flags.String("systems", "", "systems to run, a comma-separated `list` of "+strings.Join(watchSystems, ", "))
	cells := flags.String("cell", "", "cells to run: subscribers/filters/events a second, comma-separated; filters is one, distinct, or slow: one with a reader that stopped; puts and joins are the last two tables")
	flags.IntVar(&s.rounds, "rounds", 3, "measurements of each system in each cell, each with new processes")
	flags.DurationVar(&s.time, "time", 3*time.Second, "length of one measurement")
	flags.StringVar(&s.tempDir, "temp", "", "`directory` for data, removed at the end (default the system's)")
	flags.StringVar(&s.profileDir, "profile", "", "save CPU and heap profiles of the gateways into this `directory`")
	if err := flags.Parse(args); err != nil {
		return s, err
	}
	s.args, s.otherArgs = strings.Fields(*gatewayArgs), strings.Fields(*otherArgs)
	if s.rounds < 1 || s.time < 100*time.Millisecond {
		return s, errors.New("-rounds must be at least 1 and -time at least 100ms")
	}
	return s, errors.Join(s.chooseSystems(*systems), s.chooseCells(*cells))
}

// chooseSystems takes, if none are named, those that can run here.
func (s *watchSettings) chooseSystems(list string) error {
	if list == "" {
		s.systems = watchSystems
		if !nginxFound() {
			s.systems = slices.DeleteFunc(slices.Clone(watchSystems), func(name string) bool { return name == watchNchan })
		}
		return nil
	}
	s.systems = strings.Split(list, ",")
	for _, name := range s.systems {
		if !slices.Contains(watchSystems, name) {
			return fmt.Errorf("-systems: %q is none of %s", name, strings.Join(watchSystems, ", "))
		}
	}
	return nil
}

// maxSubscribers leaves room for what else has files open.
const maxSubscribers = 15000

func (s *watchSettings) chooseCells(list string) error {
	if list == "" {
		s.cells, s.puts, s.joins = fullWatchMatrix(), true, true
		return nil
	}
	for text := range strings.SplitSeq(list, ",") {
		switch text {
		case "puts":
			s.puts = true
			continue
		case "joins":
			s.joins = true
			continue
		}
		parts := strings.Split(text, "/")
		if len(parts) != 3 || !slices.Contains([]string{"one", "distinct", "slow"}, parts[1]) {
			return fmt.Errorf("-cell: %q is not subscribers/one|distinct|slow/events, puts or joins", text)
		}
		subscribers, err1 := strconv.Atoi(parts[0])
		rate, err2 := strconv.Atoi(parts[2])
		if err1 != nil || err2 != nil || subscribers < 1 || subscribers > maxSubscribers || rate < 1 {
			return fmt.Errorf("-cell: %q: subscribers go from 1 to %d, events from 1", text, maxSubscribers)
		}
		s.cells = append(s.cells, watchCell{subscribers, parts[1] == "distinct", rate, parts[1] == "slow"})
	}
	return nil
}
