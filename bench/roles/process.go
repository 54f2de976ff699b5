package roles

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"kvgateway/bench/meter"
)

const (
	startTimeout = 20 * time.Second // until a process has logged where it listens
	stopTimeout  = 15 * time.Second // from SIGTERM until it is killed
	pollInterval = 10 * time.Millisecond
)

// A Process is one that this program started. Its output goes to a file, since a pipe would have to
// be read by the load generator.
type Process struct {
	Address string // where it listens, from the first JSON line of its output that has an "addr"

	name    string
	cmd     *exec.Cmd
	logFile string
	done    chan struct{} // closed when it has ended
}

// StartProcess starts a program and waits until it has logged its address. ignore is an address
// that is not the one looked for (that of the admin listener), or "".
func StartProcess(ctx context.Context, name, dir, ignore, program string, args ...string) (
	*Process, error) {
	p, err := launch(name, dir, program, args...)
	if err != nil {
		return nil, err
	}
	err = p.until(ctx, "has logged no addr", func() bool {
		p.Address = p.loggedAddress(ignore)
		return p.Address != ""
	})
	if err != nil {
		p.Stop()
		return nil, err
	}
	return p, nil
}

// launch starts a program and does not wait.
func launch(name, dir, program string, args ...string) (*Process, error) {
	p := &Process{
		name: name, logFile: filepath.Join(dir, name+".log"), done: make(chan struct{}),
	}
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
func startRole(ctx context.Context, name, dir, role string, args ...string) (*Process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return StartProcess(ctx, name, dir, "", self, append([]string{"role", role}, args...)...)
}

// until waits until the process is ready. Otherwise the error says what it has not done.
func (p *Process) until(ctx context.Context, otherwise string, ready func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for !ready() {
		select {
		case <-p.done:
			return fmt.Errorf("%s ended at its start: %s", p.name, p.lastOutput())
		case <-ctx.Done():
			return fmt.Errorf("%s %s: %w: %s", p.name, otherwise, ctx.Err(), p.lastOutput())
		case <-tick.C:
		}
	}
	return nil
}

func (p *Process) loggedAddress(ignore string) string {
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

// accepts reports whether something listens at an address.
func accepts(address string) bool {
	conn, err := net.Dial("tcp4", address)
	if err != nil {
		return false
	}
	conn.Close()
	return true
}

// lastOutput returns the end of the log, for error messages.
func (p *Process) lastOutput() string {
	output, _ := os.ReadFile(p.logFile)
	return string(bytes.TrimSpace(output[max(0, len(output)-1000):]))
}

// ForgetOutput empties the log: an access line for every request would fill a disk in the course of
// a run.
func (p *Process) ForgetOutput() error {
	return os.Truncate(p.logFile, 0)
}

// Stop asks the process to end, and kills it if it does not.
func (p *Process) Stop() {
	p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(stopTimeout):
		p.cmd.Process.Kill()
		<-p.done
	}
}

// Memory returns what the process has in memory, in bytes; see [meter.ResidentMemory].
func (p *Process) Memory() (int64, error) { return meter.ResidentMemory(p.cmd.Process.Pid) }

// Written returns how many bytes the process has written, to files and connections.
func (p *Process) Written() (int64, error) { return meter.Written(p.cmd.Process.Pid) }

func (p *Process) cpu() (time.Duration, error) {
	select {
	case <-p.done:
		return 0, errors.New(p.name + " has ended: " + p.lastOutput())
	default:
		return meter.CPUTime(p.cmd.Process.Pid)
	}
}

// ReadCPU reads the CPU time of the processes that serve and of the load generator. It fails if one
// of them has ended.
func ReadCPU(serving []*Process) (c meter.CPU, err error) {
	for _, p := range serving {
		used, err := p.cpu()
		if err != nil {
			return c, err
		}
		c.Serving = append(c.Serving, used)
	}
	c.Generator, err = meter.CPUTime(os.Getpid())
	return c, err
}
