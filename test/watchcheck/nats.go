package main

import (
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// serveNATS is the role that this binary takes as a child: a server that can be killed and paused as a process.
func serveNATS(port, dir string) error {
	n, err := strconv.Atoi(port)
	if err != nil {
		return err
	}
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: n, JetStream: true, StoreDir: dir, NoLog: true})
	if err != nil {
		return err
	}
	s.Start()
	s.WaitForShutdown()
	return nil
}

// Process is a child that is started again with the same arguments, so with the same ports and store.
type Process struct {
	name string
	args []string
	log  io.Writer
	cmd  *exec.Cmd
}

func (p *Process) Start() error {
	p.cmd = exec.Command(p.name, p.args...)
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	return p.cmd.Start()
}

// Stop sends a signal and waits for the end. Any other end than by SIGKILL or, after SIGTERM, with success is an error: the
// process failed before.
func (p *Process) Stop(signal os.Signal) error {
	if p.cmd == nil || p.cmd.Process == nil {
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

// Proxy stands between gateway and NATS, so that their connection can be cut while the writers' own holds.
type Proxy struct {
	listener net.Listener
	target   string
	mu       sync.Mutex
	refuse   bool
	open     map[net.Conn]bool
}

func NewProxy(target string) (*Proxy, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &Proxy{listener: l, target: target, open: map[net.Conn]bool{}}
	go p.accept()
	return p, nil
}

func (p *Proxy) accept() {
	for {
		c, err := p.listener.Accept()
		if err != nil {
			return
		}
		go p.join(c)
	}
}

func (p *Proxy) join(c net.Conn) {
	defer c.Close()
	up, err := net.Dial("tcp", p.target)
	if err != nil {
		return
	}
	defer up.Close()
	p.mu.Lock()
	if p.refuse {
		p.mu.Unlock()
		return
	}
	p.open[c] = true
	p.mu.Unlock()
	go func() { _, _ = io.Copy(up, c); up.Close() }()
	_, _ = io.Copy(c, up)
	p.mu.Lock()
	delete(p.open, c)
	p.mu.Unlock()
}

// Cut ends every connection and refuses new ones for a while.
func (p *Proxy) Cut(d time.Duration) {
	p.mu.Lock()
	p.refuse = true
	for c := range p.open {
		c.Close()
	}
	p.mu.Unlock()
	time.Sleep(d)
	p.mu.Lock()
	p.refuse = false
	p.mu.Unlock()
}
