package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// lab has the systems running side by side, of which at most one has work at any time.
type lab struct {
	settings settings
	root     string // of all files, removed at the end
	starter  *starter
	progress io.Writer
}

// newLab makes the directory for data and logs.
func newLab(s settings, progress io.Writer) (*lab, error) {
	dir, err := os.MkdirTemp(s.tempDir, "kvgw-bench-")
	if err != nil {
		return nil, err
	}
	return &lab{s, dir, &starter{settings: s, dir: dir}, progress}, nil
}

// close stops every process and removes their files.
func (l *lab) close() {
	l.starter.stop()
	os.RemoveAll(l.root)
}

func (l *lab) say(format string, args ...any) {
	fmt.Fprintf(l.progress, format+"\n", args...)
}

// measureAll starts the systems and goes through the cells.
func (l *lab) measureAll(ctx context.Context) ([]cellResult, error) {
	var systems []*system
	for _, name := range l.settings.systems {
		l.say("starting %s", name)
		sys, err := l.starter.start(ctx, name)
		if err != nil {
			return nil, err
		}
		systems = append(systems, sys)
	}
	var results []cellResult
	for i, c := range l.settings.cells {
		result, err := l.measureCell(ctx, c, systems)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", c, err)
		}
		l.say("%d/%d %s", i+1, len(l.settings.cells), result.summary())
		results = append(results, result)
	}
	return results, nil
}

const (
	warmUp = 200 * time.Millisecond // of each system before the first round of a cell
	settle = 60 * time.Millisecond  // of a system before each round, while another had the cores
)

// measureCell lets the systems take turns, each round beginning with another one.
func (l *lab) measureCell(ctx context.Context, c cell, systems []*system) (cellResult, error) {
	result := cellResult{Cell: c, Samples: make(map[string][]sample)}
	drivers := make([]driver, len(systems))
	for i, sys := range systems {
		d, err := sys.open(c)
		if err != nil {
			return result, fmt.Errorf("%s: %w", sys.name, err)
		}
		defer d.close()
		drivers[i] = d
		if _, err := d.run(warmUp); err != nil {
			return result, fmt.Errorf("%s: %w", sys.name, err)
		}
	}
	for round := range l.settings.rounds {
		for turn := range systems {
			i := (round + turn) % len(systems)
			if err := ctx.Err(); err != nil {
				return result, err
			}
			s, err := measure(systems[i], drivers[i], l.settings.roundTime)
			if err != nil {
				return result, fmt.Errorf("%s: %w", systems[i].name, err)
			}
			result.Samples[systems[i].name] = append(result.Samples[systems[i].name], s)
		}
	}
	return result, nil
}

// measure is one round of one system, after a moment to settle.
func measure(sys *system, d driver, t time.Duration) (sample, error) {
	if _, err := d.run(settle); err != nil {
		return sample{}, err
	}
	_, s, err := measureOnce(sys, d, t)
	for _, p := range sys.serving {
		err = errors.Join(err, p.forgetOutput())
	}
	return s, err
}

// measureOnce reads CPU before the first request and after the last answer, so that it is all the operations' own.
func measureOnce(sys *system, d driver, t time.Duration) (outcome, sample, error) {
	before, err := readCPU(sys.serving)
	if err != nil {
		return outcome{}, sample{}, err
	}
	out, err := d.run(t)
	if err != nil {
		return outcome{}, sample{}, err
	}
	after, err := readCPU(sys.serving)
	return out, newSample(out, after.since(before)), err
}
