package cells

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"

	"kvgateway/bench/meter"
	"kvgateway/bench/report"
)

// manySettings is what the command line of `bench many` says.
type manySettings struct {
	common
	entries int // of an import and an export
	rounds  int
}

// manyKeys is how many keys a multi-get asks for.
const manyKeys = 100

// A manyWay is one way of doing something with many keys. It returns how many entries a second it
// has dealt with.
type manyWay struct {
	name string
	run  func(ctx context.Context) (float64, error)
}

// A manyPair is what the gateway does in one request, and the loop that it saves.
type manyPair struct {
	cell      string
	one, loop manyWay
}

// Many measures what the gateway does with many keys in one request.
func Many(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	s, err := parseManySettings(args, stderr)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp(s.tempDir, "kvgw-bench-many-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	starter := s.starter(dir)
	defer starter.Stop()
	lab, err := newManyLab(ctx, starter, s.entries)
	if err != nil {
		return err
	}
	defer lab.close()
	started := time.Now()
	r := report.Results{Run: report.Run{Benchmark: report.Many, Rounds: s.rounds,
		Note: fmt.Sprintf("Imports and exports have %d entries of %d bytes.",
			s.entries, manyValueBytes)}}
	pairs := lab.pairs()
	progress := newProgress(stderr, len(pairs), len(pairs)*(s.rounds+1))
	defer progress.close()
	for i, pair := range pairs {
		next := func(round int) { progress.step(i, pair.cell, round, s.rounds+1) }
		rows, err := pair.measure(ctx, s.rounds, next)
		if err != nil {
			return fmt.Errorf("%s: %w", pair.cell, err)
		}
		r.Rows = append(r.Rows, rows...)
	}
	return s.finish(r, started, stdout)
}

func parseManySettings(args []string, stderr io.Writer) (s manySettings, err error) {
	flags := flag.NewFlagSet("bench many", flag.ContinueOnError)
	flags.SetOutput(stderr)
	s.define(flags)
	flags.IntVar(&s.entries, "entries", 50_000, "entries of an import and an export")
	flags.IntVar(&s.rounds, "rounds", 5, "measured rounds of each way")
	if err := flags.Parse(args); err != nil {
		return s, err
	}
	if s.entries < manyKeys || s.rounds < 1 {
		return s, errors.New("-entries must be at least " + strconv.Itoa(manyKeys) +
			" and -rounds at least 1")
	}
	return s, nil
}

// measure lets the two ways take turns, after a round that does not count. Each round begins with
// the other one. It calls next before each round.
func (p manyPair) measure(ctx context.Context, rounds int, next func(round int)) (
	[]report.Row, error) {
	rates := make(map[string][]float64)
	for round := range rounds + 1 {
		next(round)
		order := []manyWay{p.one, p.loop}
		if round%2 == 1 {
			order[0], order[1] = order[1], order[0]
		}
		for _, way := range order {
			rate, err := way.run(ctx)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", way.name, err)
			}
			if round > 0 {
				rates[way.name] = append(rates[way.name], rate)
			}
		}
	}
	one := report.Row{Cell: p.cell, System: p.one.name}
	one.Set("entries_per_second", rates[p.one.name])
	one.Set("to_loop", meter.Ratios(rates[p.one.name], rates[p.loop.name]))
	loop := report.Row{Cell: p.cell, System: p.loop.name}
	loop.Set("entries_per_second", rates[p.loop.name])
	return []report.Row{one, loop}, nil
}
