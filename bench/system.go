package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// The systems under test.
const (
	bare            = "bare"             // chi on net/http, answering from memory
	rawInProcess    = "raw-inproc"       // nats.go and nats-server in one process, connected in the process
	rawTCP          = "raw-tcp"          // the same over TCP on the loopback interface
	thinEmbedded    = "thin-embedded"    // the bare handler with a raw request in it, and the NATS in its process
	thinExternal    = "thin-external"    // the same with a nats-server process
	gatewayEmbedded = "gateway-embedded" // the gateway with the NATS in its process
	gatewayExternal = "gateway-external" // the gateway and a nats-server process
)

var allSystems = []string{bare, rawInProcess, rawTCP, thinEmbedded, thinExternal, gatewayEmbedded, gatewayExternal}

func isSystem(name string) bool { return slices.Contains(allSystems, name) }

// system is one that runs and has the values of all cells stored.
type system struct {
	name    string
	serving []*process // whose CPU is the cost of an operation
	open    func(cell) (driver, error)
	pprof   string // address of its /debug/pprof, when profiling
}

// starter starts systems. pprof is the address that the system under test shall serve profiles at, or "".
type starter struct {
	settings settings
	dir      string
	pprof    string
	stops    []func() // in the order of the starts
}

// start starts the named system and stores its values.
func (s *starter) start(ctx context.Context, name string) (sys *system, err error) {
	switch name {
	case bare:
		sys, err = s.startBare(ctx)
	case rawInProcess:
		sys, err = s.startRaw(ctx, name, transportInProcess)
	case rawTCP:
		sys, err = s.startRaw(ctx, name, transportTCP)
	case gatewayEmbedded:
		sys, err = s.startGateway(ctx, name, "--data-dir", filepath.Join(s.dir, name), "--sync", syncInterval.String())
	case gatewayExternal:
		sys, err = s.withServer(ctx, name, func(url string) (*system, error) {
			return s.startGateway(ctx, name, "--nats-url", url)
		})
	case thinEmbedded:
		sys, err = s.startThin(ctx, name, "-data-dir", filepath.Join(s.dir, name))
	case thinExternal:
		sys, err = s.withServer(ctx, name, func(url string) (*system, error) {
			return s.startThin(ctx, name, "-nats-url", url)
		})
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	sys.name, sys.pprof = name, s.pprof
	return sys, nil
}

// stop stops all processes, the last started first.
func (s *starter) stop() {
	for _, stop := range slices.Backward(s.stops) {
		stop()
	}
	s.stops = nil
}

// role starts a process of this program that is stopped with the others.
func (s *starter) role(ctx context.Context, name, role string, args ...string) (*process, error) {
	p, err := startRole(ctx, name, s.dir, role, args...)
	if err == nil {
		s.stops = append(s.stops, p.stop)
	}
	return p, err
}

func (s *starter) startBare(ctx context.Context) (*system, error) {
	args := []string{"-pprof", s.pprof}
	for _, size := range s.sizes() {
		args = append(args, "-size", strconv.Itoa(size))
	}
	p, err := s.role(ctx, bare, roleBare, args...)
	if err != nil {
		return nil, err
	}
	return httpSystem(p.address, p), nil
}

func httpSystem(address string, serving ...*process) *system {
	return &system{serving: serving, open: func(c cell) (driver, error) { return openHTTP(address, c) }}
}

func (s *starter) startRaw(ctx context.Context, name, transport string) (*system, error) {
	p, err := s.role(ctx, name, roleRaw, "-transport", transport, "-data-dir", filepath.Join(s.dir, name), "-pprof", s.pprof)
	if err != nil {
		return nil, err
	}
	calls, err := dialRaw(p.address)
	if err != nil {
		return nil, err
	}
	s.stops = append(s.stops, calls.hangUp)
	for _, c := range s.buckets() {
		if _, err := calls.do(rawCall{Call: callPrepare, Cell: c}); err != nil {
			return nil, err
		}
	}
	return &system{serving: []*process{p}, open: calls.open}, nil
}

// withServer starts a nats-server and then a system that uses it; both serve.
func (s *starter) withServer(ctx context.Context, name string, start func(url string) (*system, error)) (*system, error) {
	natsServer, err := s.role(ctx, "nats-server-of-"+name, roleNATS, "-data-dir", filepath.Join(s.dir, name))
	if err != nil {
		return nil, err
	}
	sys, err := start("nats://" + natsServer.address)
	if err != nil {
		return nil, err
	}
	sys.serving = append(sys.serving, natsServer)
	return sys, nil
}

func (s *starter) startThin(ctx context.Context, name string, args ...string) (*system, error) {
	p, err := s.role(ctx, name, roleThin, append(args, "-pprof", s.pprof)...)
	if err != nil {
		return nil, err
	}
	return httpSystem(p.address, p), s.fill(ctx, p.address)
}

func (s *starter) startGateway(ctx context.Context, name string, args ...string) (*system, error) {
	args = append([]string{"serve", "--listen", "127.0.0.1:0", "--log-format", "json"}, args...)
	if s.pprof != "" {
		args = append(args, "--admin-listen", s.pprof)
	}
	args = append(args, s.settings.gatewayArgs...)
	p, err := startProcess(ctx, name, s.dir, s.pprof, s.settings.gateway, args...)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w (build the gateway first, or name its binary with -gateway)", err)
	}
	if err != nil {
		return nil, err
	}
	s.stops = append(s.stops, p.stop)
	return httpSystem(p.address, p), s.fill(ctx, p.address)
}

// sizes are the value sizes that the chosen cells ask for.
func (s *starter) sizes() (sizes []int) {
	for _, c := range s.settings.cells {
		if !slices.Contains(sizes, c.ValueBytes) {
			sizes = append(sizes, c.ValueBytes)
		}
	}
	return sizes
}

// buckets has a cell for each bucket that the chosen cells ask for, with the most connections.
func (s *starter) buckets() (buckets []cell) {
	for _, c := range s.settings.cells {
		bucket := cell{opPut, s.workers(), c.ValueBytes}
		if c.Operation == opPutTTL {
			bucket.Operation = opPutTTL
		}
		if !slices.Contains(buckets, bucket) {
			buckets = append(buckets, bucket)
		}
	}
	return buckets
}

// workers is the largest number of connections that the chosen cells ask for.
func (s *starter) workers() (most int) {
	for _, c := range s.settings.cells {
		most = max(most, c.Connections)
	}
	return most
}

// commandLine shows how the gateway was started, for the table.
func (s settings) commandLine() string {
	return strings.Join(append([]string{"gateway", "serve", "--sync", syncInterval.String()}, s.gatewayArgs...), " ")
}
