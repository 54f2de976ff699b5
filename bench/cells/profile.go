package cells

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"kvgateway/bench/load"
	"kvgateway/bench/roles"
)

// How long a profile drives its cell. Allocations have a run of their own, since recording each of
// them makes a program several times slower.
const (
	cpuProfileTime   = 10 * time.Second
	allocProfileTime = 3 * time.Second
	profileWarmUp    = time.Second
)

// profile records where one system spends CPU and what it allocates in one cell, and prints the
// commands that show the profiles.
func (l *requestLab) profile(ctx context.Context, w io.Writer) error {
	if err := os.MkdirAll(l.settings.profileDir, 0o755); err != nil {
		return err
	}
	if err := l.profileCPU(ctx, w); err != nil {
		return fmt.Errorf("CPU profile: %w", err)
	}
	l.starter.Stop()
	// The children inherit this, by which the runtime records every allocation, not one in 512 KiB.
	if err := os.Setenv("GODEBUG", "memprofilerate=1"); err != nil {
		return err
	}
	return l.profileAllocations(ctx, w)
}

// startProfiled starts the system to profile, which serves its profiles on a free port, with a
// driver that has warmed it up.
func (l *requestLab) startProfiled(ctx context.Context) (*roles.System, load.Driver, error) {
	address, err := roles.FreeAddress()
	if err != nil {
		return nil, nil, err
	}
	l.starter.Pprof = address
	if l.starter.Dir, err = os.MkdirTemp(l.root, "profile-"); err != nil {
		return nil, nil, err
	}
	sys, err := l.starter.Start(ctx, l.settings.systems[0])
	if err != nil {
		return nil, nil, err
	}
	d, err := sys.Open(l.settings.cells[0])
	if err != nil {
		return nil, nil, err
	}
	if _, err := d.Run(profileWarmUp); err != nil {
		d.Close()
		return nil, nil, err
	}
	return sys, d, nil
}

// profileCPU lets the load go on a little longer than the profile, so that there is nothing else in
// the profile.
func (l *requestLab) profileCPU(ctx context.Context, w io.Writer) error {
	sys, d, err := l.startProfiled(ctx)
	if err != nil {
		return err
	}
	defer d.Close()
	file := filepath.Join(l.settings.profileDir, "cpu.pprof")
	start, err := readMemory(ctx, sys.Pprof)
	if err != nil {
		return err
	}
	saved := make(chan error, 1)
	go func() {
		seconds := strconv.Itoa(int(cpuProfileTime.Seconds()))
		saved <- save(ctx, "http://"+sys.Pprof+"/debug/pprof/profile?seconds="+seconds, file)
	}()
	out, s, err := measureOnce(sys, d, cpuProfileTime+time.Second)
	if err := errors.Join(err, <-saved); err != nil {
		return err
	}
	end, err := readMemory(ctx, sys.Pprof)
	if err != nil {
		return err
	}
	ops := float64(out.Operations)
	fmt.Fprintf(w, "%s, %s: %.0f operations/s, %.1f µs CPU each (profiling included), "+
		"%.1f allocations, %.0f bytes\n  go tool pprof -top %s\n",
		sys.Name, l.settings.cells[0], s.ops, s.cpu,
		(end.Mallocs-start.Mallocs)/ops, (end.TotalAlloc-start.TotalAlloc)/ops, file)
	return nil
}

// profileAllocations saves what had been allocated before the load and after it. The difference is
// the load's.
func (l *requestLab) profileAllocations(ctx context.Context, w io.Writer) error {
	sys, d, err := l.startProfiled(ctx)
	if err != nil {
		return err
	}
	defer d.Close()
	before := filepath.Join(l.settings.profileDir, "allocs-before.pprof")
	after := filepath.Join(l.settings.profileDir, "allocs-after.pprof")
	if err := saveAllocations(ctx, sys.Pprof, before); err != nil {
		return err
	}
	out, err := d.Run(allocProfileTime)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "allocations of %d operations, by line\n  go tool pprof "+
		"-sample_index=alloc_objects -lines -ignore runtime/pprof -top -base %s %s\n",
		out.Operations, before, after)
	return saveAllocations(ctx, sys.Pprof, after)
}

// saveAllocations saves the profile of allocations after several collections of garbage: the
// runtime publishes an allocation two collections later.
func saveAllocations(ctx context.Context, address, file string) (err error) {
	for range 3 {
		err = errors.Join(err, save(ctx, "http://"+address+"/debug/pprof/heap?gc=1", file))
	}
	return err
}

// A memory is the part of runtime.MemStats that counts allocations.
type memory struct{ Mallocs, TotalAlloc float64 }

// readMemory finds the runtime's counters at the end of the text form of the heap profile.
func readMemory(ctx context.Context, address string) (m memory, err error) {
	url := "http://" + address + "/debug/pprof/heap?debug=1"
	answer, err := roles.Send(ctx, http.MethodGet, url, "")
	if err != nil {
		return m, err
	}
	defer answer.Body.Close()
	lines := bufio.NewScanner(answer.Body)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		name, value, _ := strings.Cut(strings.TrimPrefix(lines.Text(), "# "), " = ")
		switch name {
		case "Mallocs":
			m.Mallocs, err = strconv.ParseFloat(value, 64)
		case "TotalAlloc":
			m.TotalAlloc, err = strconv.ParseFloat(value, 64)
		}
		if err != nil {
			return m, err
		}
	}
	return m, lines.Err()
}

// save saves what a URL answers with.
func save(ctx context.Context, url, file string) error {
	answer, err := roles.Send(ctx, http.MethodGet, url, "")
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, answer.Status)
	}
	out, err := os.Create(file)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, answer.Body)
	return errors.Join(err, out.Close())
}
