package roles

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"kvgateway/bench/load"
)

// The systems under test that serve single requests.
const (
	Bare            = "bare"             // chi on net/http, answering from memory
	RawInProcess    = "raw-inproc"       // nats.go connected to a nats-server in its process
	RawTCP          = "raw-tcp"          // the same over TCP on the loopback interface
	ThinEmbedded    = "thin-embedded"    // the bare handler with a raw request, NATS in its process
	ThinExternal    = "thin-external"    // the same with a nats-server process
	GatewayEmbedded = "gateway-embedded" // the gateway with NATS in its process
	GatewayExternal = "gateway-external" // the gateway and a nats-server process

	// These are in no table of single requests either: the bare handler with all headers that the
	// gateway sends, and gateways that have every bucket in memory.

	BareHeaders    = "bare-headers"
	MemoryEmbedded = "memory-embedded"
	MemoryExternal = "memory-external"

	// GatewayUnlimited is GatewayExternal with no bound on the requests of a caller in a second. It
	// is in no table of single requests.
	GatewayUnlimited = "gateway-unlimited"
)

// Systems are the systems under test, in the order of the tables.
var Systems = []string{
	Bare, RawInProcess, RawTCP, ThinEmbedded, ThinExternal, GatewayEmbedded, GatewayExternal,
}

// DrivesItself reports whether a system's own process generates its load.
func DrivesItself(system string) bool { return system == RawInProcess || system == RawTCP }

// A System runs, and has the values of all cells stored.
type System struct {
	Name    string
	Serving []*Process // whose CPU is the cost of an operation
	Open    func(load.Cell) (load.Driver, error)
	Pprof   string // the address of its /debug/pprof, "" for none
}

// A Starter starts systems and stops them.
type Starter struct {
	Gateway     string      // the path of the gateway's binary
	GatewayArgs []string    // further arguments of `gateway serve`
	Cells       []load.Cell // whose values systems store
	Dir         string      // for data and logs
	NATSUser    string      // a name:password that external nats-servers know; "" for no users
	Pprof       string      // the address at which the system that is started next serves profiles

	stops []func() // in the order of the starts
}

// Start starts a system and stores its values.
func (s *Starter) Start(ctx context.Context, name string) (sys *System, err error) {
	dir := filepath.Join(s.Dir, name)
	switch name {
	case Bare:
		sys, err = s.startBare(ctx, name)
	case BareHeaders:
		sys, err = s.startBare(ctx, name, "-headers")
	case MemoryEmbedded:
		sys, err = s.startInMemory(ctx, name, "--data-dir", dir, "--sync", SyncInterval.String())
	case MemoryExternal:
		sys, err = s.withServer(ctx, name, func(url string) (*System, error) {
			return s.startInMemory(ctx, name, "--nats-url", url)
		})
	case RawInProcess:
		sys, err = s.startRaw(ctx, name, transportInProcess)
	case RawTCP:
		sys, err = s.startRaw(ctx, name, transportTCP)
	case GatewayEmbedded:
		sys, err = s.StartGateway(ctx, name, "--data-dir", dir, "--sync", SyncInterval.String())
	case GatewayExternal:
		sys, err = s.withServer(ctx, name, func(url string) (*System, error) {
			return s.StartGateway(ctx, name, "--nats-url", url)
		})
	case GatewayUnlimited:
		sys, err = s.withServer(ctx, name, func(url string) (*System, error) {
			return s.StartGateway(ctx, name, "--nats-url", url, "--rate", "0")
		})
	case ThinEmbedded:
		sys, err = s.startThin(ctx, name, "-data-dir", dir)
	case ThinExternal:
		sys, err = s.withServer(ctx, name, func(url string) (*System, error) {
			return s.startThin(ctx, name, "-nats-url", url)
		})
	default:
		return nil, fmt.Errorf("no system %q", name)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	sys.Name, sys.Pprof = name, s.Pprof
	return sys, nil
}

// Stop stops all processes, the last started first.
func (s *Starter) Stop() {
	for _, stop := range slices.Backward(s.stops) {
		stop()
	}
	s.stops = nil
}

// role starts a process of this program that is stopped with the others.
func (s *Starter) role(ctx context.Context, name, role string, args ...string) (*Process, error) {
	p, err := startRole(ctx, name, s.Dir, role, args...)
	if err == nil {
		s.stops = append(s.stops, p.Stop)
	}
	return p, err
}

// StartServer starts a nats-server process.
func (s *Starter) StartServer(ctx context.Context, name, dataDir string) (*Process, error) {
	return s.role(ctx, name, roleNATS,
		"-data-dir", filepath.Join(s.Dir, dataDir), "-user", s.NATSUser)
}

func (s *Starter) startBare(ctx context.Context, name string, args ...string) (*System, error) {
	args = append(args, "-pprof", s.Pprof)
	for _, size := range s.sizes() {
		args = append(args, "-size", strconv.Itoa(size))
	}
	p, err := s.role(ctx, name, roleBare, args...)
	if err != nil {
		return nil, err
	}
	return httpSystem(p.Address, p), nil
}

func httpSystem(address string, serving ...*Process) *System {
	return &System{
		Serving: serving,
		Open:    func(c load.Cell) (load.Driver, error) { return load.OpenHTTP(address, c) },
	}
}

func (s *Starter) startRaw(ctx context.Context, name, transport string) (*System, error) {
	p, err := s.role(ctx, name, roleRaw, "-transport", transport,
		"-data-dir", filepath.Join(s.Dir, name), "-pprof", s.Pprof)
	if err != nil {
		return nil, err
	}
	client, err := dialRaw(p.Address)
	if err != nil {
		return nil, err
	}
	s.stops = append(s.stops, client.hangUp)
	for _, c := range s.buckets() {
		if _, err := client.do(rawCall{Call: callPrepare, Cell: c}); err != nil {
			return nil, err
		}
	}
	return &System{Serving: []*Process{p}, Open: client.open}, nil
}

// withServer starts a nats-server and then a system that uses it. Both serve.
func (s *Starter) withServer(
	ctx context.Context, name string, start func(url string) (*System, error),
) (*System, error) {
	natsServer, err := s.StartServer(ctx, "nats-server-of-"+name, name)
	if err != nil {
		return nil, err
	}
	sys, err := start("nats://" + natsServer.Address)
	if err != nil {
		return nil, err
	}
	sys.Serving = append(sys.Serving, natsServer)
	return sys, nil
}

func (s *Starter) startThin(ctx context.Context, name string, args ...string) (*System, error) {
	p, err := s.role(ctx, name, roleThin, append(args, "-pprof", s.Pprof)...)
	if err != nil {
		return nil, err
	}
	return httpSystem(p.Address, p), s.fill(ctx, p.Address)
}

// StartGateway starts the gateway with the starter's arguments and these, and stores its values.
func (s *Starter) StartGateway(ctx context.Context, name string, args ...string) (*System, error) {
	args = append([]string{"serve", "--listen", "127.0.0.1:0", "--log-format", "json"}, args...)
	if s.Pprof != "" {
		args = append(args, "--admin-listen", s.Pprof)
	}
	args = append(args, s.GatewayArgs...)
	p, err := StartProcess(ctx, name, s.Dir, s.Pprof, s.Gateway, args...)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w (build the gateway, or name its binary with -gateway)", err)
	}
	if err != nil {
		return nil, err
	}
	s.stops = append(s.stops, p.Stop)
	return httpSystem(p.Address, p), s.fill(ctx, p.Address)
}

// sizes returns the sizes of the values that the cells ask for.
func (s *Starter) sizes() (sizes []int) {
	for _, c := range s.Cells {
		if !slices.Contains(sizes, c.ValueBytes) {
			sizes = append(sizes, c.ValueBytes)
		}
	}
	return sizes
}

// buckets returns a cell for each bucket that the cells ask for, with the most connections.
func (s *Starter) buckets() (buckets []load.Cell) {
	for _, c := range s.Cells {
		bucket := load.Cell{
			Operation: load.OpPut, Connections: s.workers(), ValueBytes: c.ValueBytes,
		}
		if c.Operation == load.OpPutTTL {
			bucket.Operation = load.OpPutTTL
		}
		if !slices.Contains(buckets, bucket) {
			buckets = append(buckets, bucket)
		}
	}
	return buckets
}

// workers returns the largest number of connections that the cells ask for.
func (s *Starter) workers() (most int) {
	for _, c := range s.Cells {
		most = max(most, c.Connections)
	}
	return most
}

// CommandLine shows how the gateway of single requests is started, for the tables.
func (s *Starter) CommandLine() string {
	fixed := []string{"gateway", "serve", "--sync", SyncInterval.String()}
	return strings.Join(append(fixed, s.GatewayArgs...), " ")
}
