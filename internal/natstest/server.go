// Package natstest runs real nats-servers for tests: single ones that can be stopped and started again on the same port and
// store, clusters of three, and a TCP proxy that breaks connections in the ways in which networks do.
//
// It is imported by tests only. Everything that it starts ends with the test.
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

// startTimeout bounds the start of one server; nearly all of it is waiting for a busy machine.
const startTimeout = 20 * time.Second

// Options say what is special about a server. The zero value is a server with JetStream and no authentication.
type Options struct {
	Domain      string                // of JetStream
	NoJetStream bool                  //
	Configure   func(*server.Options) // the last word, on every start: accounts, users, limits
}

// A Server is a nats-server on a fixed port of the loopback interface, with a store that survives Stop.
type Server struct {
	tb   testing.TB
	dir  string
	port int

	mu   sync.Mutex
	opts Options
	ns   *server.Server
}

// Start starts a server and stops it at the end of the test.
func Start(tb testing.TB, opts Options) *Server {
	tb.Helper()
	s := &Server{tb: tb, dir: tb.TempDir(), port: FreePort(tb), opts: opts}
	s.Restart()
	tb.Cleanup(s.Stop)
	return s
}

// FreePort returns a port that nobody listens on. It is below the range from which systems take the ports of outgoing
// connections, so that none of those can take it while a server is stopped.
func FreePort(tb testing.TB) int {
	tb.Helper()
	for range 1000 {
		port := 12000 + rand.IntN(18000)
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			l.Close()
			return port
		}
	}
	tb.Fatal("no free port")
	return 0
}

// Restart starts the server, after stopping it if it runs, on the port and store that it had.
func (s *Server) Restart() {
	s.tb.Helper()
	s.Stop()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ns = run(s.tb, s.options())
}

// Reconfigure is Restart with other options.
func (s *Server) Reconfigure(opts Options) {
	s.tb.Helper()
	s.mu.Lock()
	s.opts = opts
	s.mu.Unlock()
	s.Restart()
}

// Stop stops the server and waits until its listener and its files are closed.
func (s *Server) Stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	stop(s.ns)
}

// NATS returns the running nats-server, for its monitoring.
func (s *Server) NATS() *server.Server {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ns
}

// InProcessConn returns a connection without a socket.
func (s *Server) InProcessConn() (net.Conn, error) { return s.NATS().InProcessConn() }

// Addr is the server's host and port, the same after every start.
func (s *Server) Addr() string { return fmt.Sprintf("127.0.0.1:%d", s.port) }

// URL is the address for clients.
func (s *Server) URL() string { return "nats://" + s.Addr() }

// Conn connects a native client that reconnects for as long as the test runs.
func (s *Server) Conn(tb testing.TB, options ...nats.Option) *nats.Conn {
	tb.Helper()
	return dial(tb, s.URL(), options...)
}

// JetStream connects a native client and returns its JetStream.
func (s *Server) JetStream(tb testing.TB, options ...nats.Option) jetstream.JetStream {
	tb.Helper()
	return jetStream(tb, s.Conn(tb, options...))
}

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

func run(tb testing.TB, opts *server.Options) *server.Server {
	tb.Helper()
	ns, err := server.NewServer(opts)
	if err != nil {
		tb.Fatalf("nats-server: %v", err)
	}
	go ns.Start()
	if !ns.ReadyForConnections(startTimeout) {
		ns.Shutdown()
		tb.Fatalf("nats-server on port %d is not ready after %v", opts.Port, startTimeout)
	}
	return ns
}

func stop(ns *server.Server) {
	if ns != nil {
		ns.Shutdown()
		ns.WaitForShutdown()
	}
}

func dial(tb testing.TB, url string, options ...nats.Option) *nats.Conn {
	tb.Helper()
	options = append([]nats.Option{nats.Name("native"), nats.MaxReconnects(-1), nats.ReconnectWait(50 * time.Millisecond)}, options...)
	nc, err := nats.Connect(url, options...)
	if err != nil {
		tb.Fatalf("native client to %s: %v", url, err)
	}
	tb.Cleanup(nc.Close)
	return nc
}

func jetStream(tb testing.TB, nc *nats.Conn, options ...jetstream.JetStreamOpt) jetstream.JetStream {
	tb.Helper()
	js, err := jetstream.New(nc, options...)
	if err != nil {
		tb.Fatalf("native JetStream client: %v", err)
	}
	return js
}
