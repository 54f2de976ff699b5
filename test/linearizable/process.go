package main

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"syscall"

	"github.com/nats-io/nats-server/v2/server"
)

// serveNATS is the role that this binary takes as a child: a server that can be killed and paused as a process, and that syncs what it
// stores before it acknowledges it (sync_interval: always).
func serveNATS(port, dir string) error {
	n, err := strconv.Atoi(port)
	if err != nil {
		return err
	}
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: n, JetStream: true, StoreDir: dir, SyncAlways: true, NoLog: true, NoSigs: true})
	if err != nil {
		return err
	}
	s.Start()
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	go func() { <-stop; s.Shutdown() }()
	s.WaitForShutdown()
	return nil
}

// A process is a child that is started again with the same arguments, so with the same ports and store.
type process struct {
	name string
	args []string
	log  io.Writer
	cmd  *exec.Cmd
}

func (p *process) start() error {
	p.cmd = exec.Command(p.name, p.args...)
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	return p.cmd.Start()
}

// stop sends a signal and waits for the end. Any other end than by SIGKILL or, after SIGTERM, with success is an error: the process
// failed before.
func (p *process) stop(signal os.Signal) error {
	if p == nil || p.cmd == nil || p.cmd.Process == nil {
		return nil
	}
	_ = p.cmd.Process.Signal(signal)
	err := p.cmd.Wait()
	if status, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus); ok && signal == syscall.SIGKILL && status.Signal() == syscall.SIGKILL {
		return nil
	}
	if err == nil && signal != syscall.SIGTERM {
		return errors.New("ended by itself")
	}
	return err
}

func (p *process) signal(s os.Signal) error { return p.cmd.Process.Signal(s) }
