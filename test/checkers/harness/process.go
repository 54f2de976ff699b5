package harness

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

// ServeNATS is the role that a checker's binary takes as a child: a server that can be killed and paused as a process. With syncAlways
// it syncs what it stores before it acknowledges it (sync_interval: always). It returns after SIGTERM.
func ServeNATS(port, dir string, syncAlways bool) error {
	n, err := strconv.Atoi(port)
	if err != nil {
		return err
	}
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: n, JetStream: true, StoreDir: dir, SyncAlways: syncAlways, NoLog: true, NoSigs: true})
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

// Process is a child that is started again with the same arguments, so with the same ports and store.
type Process struct {
	Name string
	Args []string
	Log  io.Writer
	cmd  *exec.Cmd
}

// Start starts it, and does not wait until it is ready.
func (p *Process) Start() error {
	p.cmd = exec.Command(p.Name, p.Args...)
	p.cmd.Stdout, p.cmd.Stderr = p.Log, p.Log
	return p.cmd.Start()
}

// Stop sends a signal and waits for the end. Any other end than by SIGKILL or, after SIGTERM, with success is an error: the
// process failed before.
func (p *Process) Stop(signal os.Signal) error {
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

// Signal sends a signal, such as SIGSTOP and SIGCONT.
func (p *Process) Signal(s os.Signal) error { return p.cmd.Process.Signal(s) }
