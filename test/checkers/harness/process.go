package harness

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// natsRole is the first argument of a checker's binary that is to be a nats-server.
const natsRole = "nats-server"

// NATSProcess returns a nats-server with JetStream in a process of its own, which can be killed and
// paused. It runs the checker's binary, self, which must call ServeNATSIfChild.
func NATSProcess(self, port, dir string) *Process {
	return &Process{Name: self, Args: []string{natsRole, port, dir}, Log: os.Stderr}
}

// Connect returns a connection to the nats-server at addr, which need not be there yet. The
// connection tries for ever, and quickly, to reach the server again, and buffers nothing meanwhile.
func Connect(addr string) (*nats.Conn, error) {
	return nats.Connect("nats://"+addr, nats.RetryOnFailedConnect(true), nats.MaxReconnects(-1),
		nats.ReconnectWait(20*time.Millisecond), nats.ReconnectJitter(0, 0),
		nats.ReconnectBufSize(-1))
}

// ServeNATSIfChild runs the server of NATSProcess until SIGTERM and ends the process, if this is
// the process to do so. With syncAlways the server syncs what it stores before it acknowledges it
// (sync_interval: always).
func ServeNATSIfChild(syncAlways bool) {
	if len(os.Args) == 4 && os.Args[1] == natsRole {
		Exit(natsRole, serveNATS(os.Args[2], os.Args[3], syncAlways))
	}
}

func serveNATS(port, dir string, syncAlways bool) error {
	n, err := strconv.Atoi(port)
	if err != nil {
		return err
	}
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: n, JetStream: true,
		StoreDir: dir, SyncAlways: syncAlways, NoLog: true, NoSigs: true})
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

// Process is a child process. It can be started again, with the same arguments and therefore with
// the same ports and store.
type Process struct {
	Name string    // The path of its binary.
	Args []string  // Without the name.
	Log  io.Writer // Takes its output.
	cmd  *exec.Cmd
}

// Start starts the process, and does not wait until it is ready.
func (p *Process) Start() error {
	p.cmd = exec.Command(p.Name, p.Args...)
	p.cmd.Stdout, p.cmd.Stderr = p.Log, p.Log
	return p.cmd.Start()
}

// Stop sends a signal and waits for the end of the process. It returns an error if the process had
// ended before, or ends otherwise than by SIGKILL or, after SIGTERM, with success.
func (p *Process) Stop(signal os.Signal) error {
	if p == nil || p.cmd == nil || p.cmd.Process == nil {
		return nil
	}
	_ = p.cmd.Process.Signal(signal)
	err := p.cmd.Wait()
	status, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus)
	if ok && signal == syscall.SIGKILL && status.Signal() == syscall.SIGKILL {
		return nil
	}
	if err == nil && signal != syscall.SIGTERM {
		return errors.New("ended by itself")
	}
	return err
}

// Signal sends a signal, such as SIGSTOP or SIGCONT.
func (p *Process) Signal(s os.Signal) error { return p.cmd.Process.Signal(s) }
