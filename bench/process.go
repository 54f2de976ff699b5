package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

const (
	startTimeout = 20 * time.Second // until a process has said where it listens
	stopTimeout  = 15 * time.Second // from SIGTERM until it is killed
	pollInterval = 10 * time.Millisecond
)

// process is one that we started. Its output goes to a file, since a pipe would make the load generator read it.
type process struct {
	name    string
	cmd     *exec.Cmd
	logFile string
	done    chan struct{} // closed when it has ended
	address string        // where it listens, from the "addr" of its first JSON line that has one
}

// startProcess starts a program and waits until it has logged its address. ignore is an address that is not the one
// looked for (the admin listener's), or "".
func startProcess(ctx context.Context, name, dir, ignore, program string, args ...string) (*process, error) {
	p, err := launch(name, dir, program, args...)
	if err != nil {
		return nil, err
	}
	if err := p.waitForAddress(ctx, ignore); err != nil {
		p.stop()
		return nil, err
	}
	return p, nil
}

// launch starts a program.
func launch(name, dir, program string, args ...string) (*process, error) {
	p := &process{name: name, logFile: filepath.Join(dir, name+".log"), done: make(chan struct{})}
	log, err := os.OpenFile(p.logFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	p.cmd = exec.Command(program, args...)
	p.cmd.Stdout, p.cmd.Stderr, p.cmd.SysProcAttr = log, log, childAttributes()
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	go func() { p.cmd.Wait(); close(p.done) }()
	return p, nil
}

// startRole starts this very program in another role.
func startRole(ctx context.Context, name, dir, role string, args ...string) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return startProcess(ctx, name, dir, "", self, append([]string{"role", role}, args...)...)
}

func (p *process) waitForAddress(ctx context.Context, ignore string) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		if p.address = p.loggedAddress(ignore); p.address != "" {
			return nil
		}
		select {
		case <-p.done:
			return fmt.Errorf("%s ended at its start: %s", p.name, p.lastOutput())
		case <-ctx.Done():
			return fmt.Errorf("%s logged no addr: %w: %s", p.name, ctx.Err(), p.lastOutput())
		case <-tick.C:
		}
	}
}

func (p *process) loggedAddress(ignore string) string {
	output, _ := os.ReadFile(p.logFile)
	for line := range bytes.Lines(output) {
		var entry struct {
			Addr string `json:"addr"`
		}
		if json.Unmarshal(line, &entry) == nil && entry.Addr != "" && entry.Addr != ignore {
			return entry.Addr
		}
	}
	return ""
}

// lastOutput is for error messages: the end of the log.
func (p *process) lastOutput() string {
	output, _ := os.ReadFile(p.logFile)
	return string(bytes.TrimSpace(output[max(0, len(output)-1000):]))
}

// forgetOutput empties the log: an access line a request would fill a disk in the course of a run.
func (p *process) forgetOutput() error {
	return os.Truncate(p.logFile, 0)
}

// stop asks the process to end, and kills it if it does not.
func (p *process) stop() {
	p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(stopTimeout):
		p.cmd.Process.Kill()
		<-p.done
	}
}

// cpu is the CPU time that the process has used, all threads, user and system.
func (p *process) cpu() (time.Duration, error) {
	select {
	case <-p.done:
		return 0, errors.New(p.name + " has ended: " + p.lastOutput())
	default:
		return cpuTime(p.cmd.Process.Pid)
	}
}
