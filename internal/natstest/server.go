package natstest

import (
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// startTimeout bounds the start of one server. A server starts within milliseconds; the rest is for
// a busy machine.
const startTimeout = 20 * time.Second

// Options say how a server differs from the usual one, which has JetStream and no authentication.
type Options struct {
	// Domain is that of JetStream, if it is not empty.
	Domain string
	// NoJetStream says that the server has no JetStream.
	NoJetStream bool
	// Configure changes the options of the nats-server, such as its accounts, users and limits. It
	// is called at each start, after all else is set.
	Configure func(*server.Options)
}

// A Server is a nats-server on a fixed port of the loopback interface, with a store that survives
// Stop. Its methods are safe for concurrent use.
type Server struct {
	// tb is the test that fails if the server does not start.
	tb testing.TB
	// dir is the directory of the store.
	dir string
	// port is the same for each start.
	port int

	// mu guards the fields below. It is held while the server starts and stops.
	mu sync.Mutex
	// opts are the options of the next start.
	opts Options
	// ns is the server that was started last. It may have been stopped.
	ns *server.Server
}

// Start starts a server, and stops it at the end of the test.
func Start(tb testing.TB, opts Options) *Server {
	tb.Helper()
	s := &Server{tb: tb, dir: tb.TempDir(), port: FreePort(tb), opts: opts}
	s.Restart()
	tb.Cleanup(s.Stop)
	return s
}

// FreePort returns a port that nobody listens on, and that no other caller of FreePort gets until
// the test ends, in whatever process. It is below the range from which systems take the ports of
// outgoing connections, so that none of these can take it while a server is stopped.
func FreePort(tb testing.TB) int {
	tb.Helper()
	for range 1000 {
		port := 12000 + rand.IntN(18000)
		address := fmt.Sprintf("127.0.0.1:%d", port)
		// Who holds the port for UDP, which no server in a test uses, has the one for TCP.
		claim, err := net.ListenPacket("udp", address)
		if err != nil {
			continue
		}
		l, err := net.Listen("tcp", address)
		if err != nil {
			claim.Close()
			continue
		}
		l.Close()
		tb.Cleanup(func() { claim.Close() })
		return port
	}
	tb.Fatal("no free port")
	return 0
}

// Restart stops the server if it is running, and starts it on the port and store that it had.
func (s *Server) Restart() {
	s.tb.Helper()
	s.Stop()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ns = run(s.tb, s.options())
}

// Reconfigure restarts the server with other options.
func (s *Server) Reconfigure(opts Options) {
	s.tb.Helper()
	s.mu.Lock()
	s.opts = opts
	s.mu.Unlock()
	s.Restart()
}

// Stop stops the server if it is running, and waits until its listener and its files are closed.
func (s *Server) Stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	stop(s.ns)
}

// NATS returns the nats-server that was started last. Tests ask it what it monitors.
func (s *Server) NATS() *server.Server {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ns
}

// InProcessConn returns a connection without a socket, for [nats.InProcessServer].
func (s *Server) InProcessConn() (net.Conn, error) { return s.NATS().InProcessConn() }

// Addr returns the server's host and port, which are the same after every start.
func (s *Server) Addr() string { return fmt.Sprintf("127.0.0.1:%d", s.port) }

// URL returns the server's address for clients.
func (s *Server) URL() string { return "nats://" + s.Addr() }

// Conn connects a native client. It reconnects for as long as the test runs.
func (s *Server) Conn(tb testing.TB, options ...nats.Option) *nats.Conn {
	tb.Helper()
	return dial(tb, s.URL(), options...)
}

// JetStream connects a native client, as Conn does, and returns its JetStream.
func (s *Server) JetStream(tb testing.TB, options ...nats.Option) jetstream.JetStream {
	tb.Helper()
	return jetStream(tb, s.Conn(tb, options...))
}

// options returns the options for a start. s.mu must be held.
func (s *Server) options() *server.Options {
	opts := baseOptions(s.dir, s.port)
	opts.JetStream = !s.opts.NoJetStream
	opts.JetStreamDomain = s.opts.Domain
	if s.opts.Configure != nil {
		s.opts.Configure(opts)
	}
	return opts
}

func baseOptions(dir string, port int) *server.Options {
	return &server.Options{
		Host:                   "127.0.0.1",
		Port:                   port,
		StoreDir:               dir,
		JetStream:              true,
		NoLog:                  true,
		NoSigs:                 true,
		DisableJetStreamBanner: true,
	}
}

// run starts a server and waits until it takes connections.
func run(tb testing.TB, opts *server.Options) *server.Server {
	tb.Helper()
	ns, err := server.NewServer(opts)
	if err != nil {
		tb.Fatalf("nats-server: %v", err)
	}
	fatal := make(fatalErrors, 1)
	ns.SetLoggerV2(fatal, false, false, false)
	ready := make(chan bool, 1)
	go ns.Start()
	go func() { ready <- ns.ReadyForConnections(startTimeout) }()
	select {
	case started := <-ready:
		if started {
			return ns
		}
		ns.Shutdown()
		tb.Fatalf("nats-server on port %d is not ready after %v", opts.Port, startTimeout)
	case err := <-fatal:
		ns.Shutdown()
		tb.Fatalf("nats-server on port %d: %s", opts.Port, err)
	}
	return nil
}

// fatalErrors is a server's log of which only the error is read that ends it.
type fatalErrors chan string

// Fatalf keeps the first error.
func (f fatalErrors) Fatalf(format string, v ...any) {
	select {
	case f <- fmt.Sprintf(format, v...):
	default:
	}
}

// Noticef and the others discard what the server says.
func (fatalErrors) Noticef(string, ...any) {}
func (fatalErrors) Warnf(string, ...any)   {}
func (fatalErrors) Errorf(string, ...any)  {}
func (fatalErrors) Debugf(string, ...any)  {}
func (fatalErrors) Tracef(string, ...any)  {}

// stop stops a server, unless it is nil, and waits until it has ended. It may have ended before.
func stop(ns *server.Server) {
	if ns != nil {
		ns.Shutdown()
		ns.WaitForShutdown()
	}
}

func dial(tb testing.TB, url string, options ...nats.Option) *nats.Conn {
	tb.Helper()
	defaults := []nats.Option{
		nats.Name("native"),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(50 * time.Millisecond),
	}
	nc, err := nats.Connect(url, append(defaults, options...)...)
	if err != nil {
		tb.Fatalf("native client to %s: %v", url, err)
	}
	tb.Cleanup(nc.Close)
	return nc
}

func jetStream(tb testing.TB, nc *nats.Conn) jetstream.JetStream {
	tb.Helper()
	js, err := jetstream.New(nc)
	if err != nil {
		tb.Fatalf("native JetStream client: %v", err)
	}
	return js
}

// Reload makes the running server take over other options, as it does when its file has changed.
// configure is called as Options.Configure is, here and at each later start.
func (s *Server) Reload(configure func(*server.Options)) {
	s.tb.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.opts.Configure = configure
	if err := s.ns.ReloadOptions(s.options()); err != nil {
		s.tb.Fatalf("reload: %v", err)
	}
}
