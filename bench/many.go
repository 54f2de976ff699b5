package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"
)

// manySettings is what the command line of `bench many` says.
type manySettings struct {
	gateway string
	args    []string // further arguments of `gateway serve`
	entries int      // of an import and an export
	rounds  int
	tempDir string
}

// manyKeys is how many keys a multi-get asks for.
const manyKeys = 100

// A manyWay is one way of doing something with many keys. It returns how many entries a second went through.
type manyWay struct {
	name string
	run  func(ctx context.Context) (float64, error)
}

// A manyPair is what the gateway does in one request, and the way that it is compared with.
type manyPair struct {
	what         string
	one, against manyWay
}

func runMany(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	s, err := parseManySettings(args, stderr)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp(s.tempDir, "kvgw-bench-many-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	starter := &starter{settings: settings{gateway: s.gateway, gatewayArgs: s.args}, dir: dir}
	defer starter.stop()
	lab, err := newManyLab(ctx, starter, s.entries)
	if err != nil {
		return err
	}
	defer lab.close()
	started := time.Now()
	t := table{
		title: fmt.Sprintf("**Many keys**, entries a second: the gateway in one request, and the loop that it saves, on the same nats-server process; "+
			"imports and exports have %d entries of %d bytes", s.entries, valueBytes),
		columns: []string{"what", "one request", "entries/s", "against", "entries/s", "ratio"},
	}
	for _, pair := range lab.pairs() {
		one, against, err := pair.measure(ctx, s.rounds)
		if err != nil {
			return fmt.Errorf("%s: %w", pair.what, err)
		}
		ratios := make([]float64, len(one))
		for i := range one {
			ratios[i] = one[i] / against[i]
		}
		t.rows = append(t.rows, []string{pair.what, pair.one.name, show(spreadOf(one), true), pair.against.name, show(spreadOf(against), true), showRatio(spreadOf(ratios), true)})
		fmt.Fprintf(stderr, "%s: %.0f and %.0f entries/s\n", pair.what, spreadOf(one).Median, spreadOf(against).Median)
	}
	var b strings.Builder
	m := thisMachine()
	fmt.Fprintf(&b, "%s: %d cores (%s), %s, %s, nats-server %s; %d rounds, %s in all. Median (minimum–maximum).\n\n",
		started.UTC().Format(time.DateOnly), m.Cores, m.CPU, m.System, m.Go, m.NATSServer, s.rounds, time.Since(started).Round(time.Second))
	t.write(&b)
	_, err = io.WriteString(stdout, b.String())
	return err
}

func parseManySettings(args []string, stderr io.Writer) (manySettings, error) {
	var s manySettings
	flags := flag.NewFlagSet("bench many", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&s.gateway, "gateway", "bin/gateway", "the gateway's `binary`")
	gatewayArgs := flags.String("gateway-args", "", "further `arguments` of gateway serve, separated by blanks")
	flags.IntVar(&s.entries, "entries", 50_000, "entries of an import and an export")
	flags.IntVar(&s.rounds, "rounds", 5, "measured rounds of each way")
	flags.StringVar(&s.tempDir, "temp", "", "`directory` for data, removed at the end (default the system's)")
	if err := flags.Parse(args); err != nil {
		return s, err
	}
	s.args = strings.Fields(*gatewayArgs)
	if s.entries < manyKeys || s.rounds < 1 {
		return s, errors.New("-entries must be at least " + strconv.Itoa(manyKeys) + " and -rounds at least 1")
	}
	return s, nil
}

// measure lets the two ways take turns, each round beginning with the other one, after a round that does not count.
func (p manyPair) measure(ctx context.Context, rounds int) (one, against []float64, err error) {
	for round := range rounds + 1 {
		order := []manyWay{p.one, p.against}
		if round%2 == 1 {
			order[0], order[1] = order[1], order[0]
		}
		for _, way := range order {
			rate, err := way.run(ctx)
			if err != nil {
				return nil, nil, fmt.Errorf("%s: %w", way.name, err)
			}
			switch {
			case round == 0:
			case way.name == p.one.name:
				one = append(one, rate)
			default:
				against = append(against, rate)
			}
		}
	}
	return one, against, nil
}
