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
	for _, group := range groups(l.settings.cells) {
		measured, err := l.measureGroup(ctx, group, systems)
		if err != nil {
			return nil, err
		}
		for _, result := range measured {
			results = append(results, result)
			l.say("%d/%d %s", len(results), len(l.settings.cells), result.summary())
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
	*system
	driver driver
	result *cellResult
}

// measureGroup lets the systems take turns with the cells of a group, each round beginning with another one.
func (l *lab) measureGroup(ctx context.Context, group []cell, systems []*system) ([]cellResult, error) {
	results := make([]cellResult, len(group))
	var turns []turn
	for i, c := range group {
		results[i] = cellResult{Cell: c, Samples: make(map[string][]sample)}
		for _, sys := range systems {
			d, err := sys.open(c)
			if err != nil {
				return nil, fmt.Errorf("%s: %s: %w", c, sys.name, err)
			}
			defer d.close()
			turns = append(turns, turn{sys, d, &results[i]})
			if _, err := d.run(warmUp); err != nil {
				return nil, fmt.Errorf("%s: %s: %w", c, sys.name, err)
			}
		}
	}
	for round := range l.settings.rounds {
		for i := range turns {
			now := turns[(round+i)%len(turns)]
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			s, err := measure(now.system, now.driver, l.settings.roundTime)
			if err != nil {
				return nil, fmt.Errorf("%s: %s: %w", now.result.Cell, now.name, err)
			}
			now.result.Samples[now.name] = append(now.result.Samples[now.name], s)
		}
	}
	return results, nil
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
