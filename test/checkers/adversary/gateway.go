package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"kvgateway/test/checkers/harness"
)

// A gateway is the built program as `make run` starts it: on an embedded NATS, with the defaults.
type gateway struct {
	addr, admin string
	dir         string
	cmd         *exec.Cmd
	log         *os.File
	ended       chan error // Has what Wait returned.
}

// startGateway starts a gateway and returns when it is ready. files limits its file descriptors, if
// it is not 0.
func startGateway(ctx context.Context, binary, log string, files int) (g *gateway, err error) {
	g = &gateway{addr: harness.FreeAddr(), admin: harness.FreeAddr(), ended: make(chan error, 1)}
	if g.dir, err = os.MkdirTemp("", "adversary"); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(log), 0o755); err != nil {
		return nil, err
	}
	if g.log, err = os.Create(log); err != nil {
		return nil, err
	}
	args := []string{binary, "serve", "--listen", g.addr, "--admin-listen", g.admin,
		"--data-dir", g.dir, "--log-level", "warn"}
	if files > 0 { // Both limits are set, since the gateway would raise the soft one.
		limited := fmt.Sprintf(`ulimit -n %d && exec "$0" "$@"`, files)
		args = append([]string{"/bin/sh", "-c", limited}, args...)
	}
	g.cmd = exec.Command(args[0], args[1:]...)
	g.cmd.Stdout, g.cmd.Stderr = g.log, g.log
	if err := g.cmd.Start(); err != nil {
		return nil, err
	}
	go func() { g.ended <- g.cmd.Wait() }()
	if err := g.answers(ctx, 10*time.Second); err != nil {
		g.remove()
		return nil, fmt.Errorf("the gateway did not start: %w", err)
	}
	return g, nil
}

// answers waits until the gateway answers on a new connection that it is ready.
func (g *gateway) answers(ctx context.Context, within time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for {
		url := "http://" + g.addr + "/readyz"
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		response, err := client.Do(request)
		if err == nil {
			response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return nil
			}
			err = errors.New(response.Status)
		}
		if ctx.Err() != nil {
			return err
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// stop asks the gateway to end and returns how long that took.
func (g *gateway) stop(within time.Duration) (time.Duration, error) {
	began := time.Now()
	_ = g.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case err := <-g.ended:
		g.ended <- err
		return time.Since(began), err
	case <-time.After(within):
		return time.Since(began), fmt.Errorf("it had not ended %v after SIGTERM", within)
	}
}

// remove kills the gateway, if it still runs, and removes its data.
func (g *gateway) remove() {
	_ = g.cmd.Process.Kill()
	<-g.ended
	_ = os.RemoveAll(g.dir)
	g.log.Close()
}

// peak returns the largest memory that the process has had, in bytes.
func (g *gateway) peak() int64 {
	status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", g.cmd.Process.Pid))
	_, line, found := strings.Cut(string(status), "VmHWM:")
	if !found {
		return 0
	}
	kilobytes, _ := strconv.ParseInt(strings.Fields(line)[0], 10, 64)
	return kilobytes << 10
}

// cpu returns the CPU time that the process has taken.
func (g *gateway) cpu() time.Duration {
	stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", g.cmd.Process.Pid))
	_, rest, found := strings.Cut(string(stat), ") ") // The name before it may have spaces.
	if !found {
		return 0
	}
	fields := strings.Fields(rest)
	user, _ := strconv.ParseInt(fields[11], 10, 64)
	system, _ := strconv.ParseInt(fields[12], 10, 64)
	const tick = 10 * time.Millisecond // USER_HZ is 100 on every platform of Linux.
	return time.Duration(user+system) * tick
}
