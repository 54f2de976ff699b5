package cells

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"kvgateway/bench/load"
	"kvgateway/bench/roles"
)

// A requestLab has the systems running side by side. At most one of them has work at any time.
type requestLab struct {
	settings requestSettings
	root     string // the directory of all files, removed at the end
	starter  *roles.Starter
	progress *progress
}

// newRequestLab makes the directory for data and logs.
func newRequestLab(s requestSettings, stderr io.Writer) (*requestLab, error) {
	dir, err := os.MkdirTemp(s.tempDir, "kvgw-bench-")
	if err != nil {
		return nil, err
	}
	starter := s.starter(dir)
	starter.Cells = s.cells
	steps := len(groups(s.cells)) * s.rounds
	return &requestLab{s, dir, starter, newProgress(stderr, len(s.cells), steps)}, nil
}

// close stops every process and removes their files.
func (l *requestLab) close() {
	l.progress.close()
	l.starter.Stop()
	os.RemoveAll(l.root)
}

// measureAll starts the systems and goes through the cells.
func (l *requestLab) measureAll(ctx context.Context) (results []requestResult, err error) {
	var systems []*roles.System
	for _, name := range l.settings.systems {
		l.progress.say("starting %s", name)
		sys, err := l.starter.Start(ctx, name)
		if err != nil {
			return nil, err
		}
		systems = append(systems, sys)
	}
	for _, group := range groups(l.settings.cells) {
		measured, err := l.measureGroup(ctx, group, systems, len(results))
		if err != nil {
			return nil, err
		}
		for _, result := range measured {
			results = append(results, result)
			l.progress.say("%s", result.summary())
		}
	}
	return results, nil
}

const (
	warmUp = 200 * time.Millisecond // of each system before the first round of a cell
	settle = 60 * time.Millisecond  // of a system before each round, while another had the cores
)

// A turn is a system with workers for a cell.
type turn struct {
	*roles.System
	driver load.Driver
	result *requestResult
}

// measureGroup lets the systems take turns with the cells of a group. Each round begins with
// another one. first is how many cells were measured before.
func (l *requestLab) measureGroup(
	ctx context.Context, group []load.Cell, systems []*roles.System, first int,
) ([]requestResult, error) {
	results := make([]requestResult, len(group))
	var turns []turn
	for i, c := range group {
		results[i] = requestResult{cell: c, samples: make(map[string][]requestSample)}
		for _, sys := range systems {
			d, err := sys.Open(c)
			if err != nil {
				return nil, fmt.Errorf("%s: %s: %w", c, sys.Name, err)
			}
			defer d.Close()
			turns = append(turns, turn{sys, d, &results[i]})
			if _, err := d.Run(warmUp); err != nil {
				return nil, fmt.Errorf("%s: %s: %w", c, sys.Name, err)
			}
		}
	}
	for round := range l.settings.rounds {
		l.progress.step(first, group[0].String(), round, l.settings.rounds)
		for i := range turns {
			now := turns[(round+i)%len(turns)]
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			s, err := measure(now.System, now.driver, l.settings.roundTime)
			if err != nil {
				return nil, fmt.Errorf("%s: %s: %w", now.result.cell, now.Name, err)
			}
			now.result.samples[now.Name] = append(now.result.samples[now.Name], s)
		}
	}
	return results, nil
}

// measure lets a system settle for a moment and measures one round of it.
func measure(sys *roles.System, d load.Driver, t time.Duration) (requestSample, error) {
	if _, err := d.Run(settle); err != nil {
		return requestSample{}, err
	}
	_, s, err := measureOnce(sys, d, t)
	for _, p := range sys.Serving {
		err = errors.Join(err, p.ForgetOutput())
	}
	return s, err
}

// measureOnce reads the CPU time before the first request and after the last answer, so that all of
// it was used for the operations.
func measureOnce(sys *roles.System, d load.Driver, t time.Duration) (
	out load.Outcome, s requestSample, err error) {
	before, err := roles.ReadCPU(sys.Serving)
	if err != nil {
		return out, s, err
	}
	if out, err = d.Run(t); err != nil {
		return out, s, err
	}
	after, err := roles.ReadCPU(sys.Serving)
	if err != nil {
		return out, s, err
	}
	return out, newRequestSample(out, after.Since(before)), nil
}
