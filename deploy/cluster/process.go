package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	// stopTimeout is how long a process may take to end before it is killed.
	stopTimeout = 25 * time.Second
	// pollInterval is how often a process that starts is asked whether it is ready.
	pollInterval = 50 * time.Millisecond
)

// A process is one program of the cluster.
type process struct {
	// name is its name, url its address, and log the file that it writes to.
	name, url, log string
	// cmd is the running program.
	cmd *exec.Cmd
	// stopping says that stop was called.
	stopping atomic.Bool
	// exited is closed when the process has ended.
	exited chan struct{}
}

// launch starts a program and does not wait for anything.
func (c *cluster) launch(name, url, program string, args ...string) (*process, error) {
	if err := os.MkdirAll(c.dir, 0o700); err != nil {
		return nil, err
	}
	p := &process{name: name, url: url, log: filepath.Join(c.dir, name+".log"),
		cmd: exec.Command(program, args...), exited: make(chan struct{})}
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	p.cmd.Stdout, p.cmd.Stderr = log, log
	p.cmd.SysProcAttr = childAttributes()
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	c.processes = append(c.processes, p)
	go func() {
		_ = p.cmd.Wait() // the status is read from ProcessState
		close(p.exited)
		if !p.stopping.Load() {
			c.ended <- p
		}
	}()
	return p, nil
}

// await waits until an address of the process answers 200. If the process has ended, the answer was
// that of a stranger.
func (p *process) await(ctx context.Context, url string) error {
	for {
		err := ask(ctx, url)
		select {
		case <-p.exited:
			return fmt.Errorf("%s has ended (%v):\n%s", p.name, p.cmd.ProcessState, p.lastLines())
		default:
		}
		if err == nil {
			return nil
		}
		select {
		case <-p.exited: // which the next round tells
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready: %w:\n%s", p.name, err, p.lastLines())
		case <-time.After(pollInterval):
		}
	}
}

// ask returns nil if an address answers 200.
func ask(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", url, resp.Status)
	}
	return nil
}

// lastLines returns the end of the log.
func (p *process) lastLines() string {
	text, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-2000):])
}

// stop asks the process to end, kills it if it does not, and waits for it.
func (p *process) stop() {
	p.stopping.Store(true)
	if p.cmd.Process.Signal(syscall.SIGTERM) != nil {
		_ = p.cmd.Process.Kill() // Windows has no SIGTERM
	}
	select {
	case <-p.exited:
	case <-time.After(stopTimeout):
		_ = p.cmd.Process.Kill()
		<-p.exited
	}
}
