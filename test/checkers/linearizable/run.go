package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"kvgateway/test/checkers/harness"
)

// How many clients there are, and how many keys they share.
const (
	httpClients     = 8
	nativeClients   = 2
	tellers         = 4
	activeRegisters = 4
	activeBanks     = 2
)

// A run is one run of the checker, with the processes that it starts.
type run struct {
	harness.Settings

	setting
	dir, natsAddr string
	nats          *harness.Process
	sites         []*site
	conn          *nats.Conn
	js            jetstream.JetStream
	failed        error // A process that ended by itself, or a fault that could not be injected.
}

// feedDelay is by how much the changes of one gateway come later than the answers of NATS. A read
// from memory must wait for them.
const feedDelay = 2 * time.Millisecond

// A site is a gateway and the proxy between it and NATS.
type site struct {
	addr    string
	admin   string // where its metrics are
	gateway *harness.Process
	proxy   *harness.Proxy
}

// all starts everything, lets clients and faults run, and judges what the clients were answered.
func (r *run) all() error {
	defer r.stop()
	fmt.Printf("seed %d\n", r.Seed)
	ctx := context.Background()
	if err := r.start(ctx); err != nil {
		return err
	}
	r.history = newHistory()
	r.trouble(ctx)
	if err := r.finalReads(ctx); err != nil {
		return err
	}
	if r.failed != nil {
		return r.failed
	}
	began := time.Now()
	v, err := r.history.judge(r.Output)
	if err != nil {
		return err
	}
	return r.report(v, time.Since(began))
}

// trouble lets clients and faults run.
func (r *run) trouble(ctx context.Context) {
	busy, cancel := context.WithTimeout(ctx, r.Duration)
	defer cancel()
	var work sync.WaitGroup
	client := 0
	next := func() *worker {
		client++
		random := rand.New(rand.NewPCG(r.Seed, uint64(100+client)))
		return &worker{setting: &r.setting, id: client, random: random}
	}
	for range httpClients {
		w := next()
		work.Go(func() { w.run(busy) })
	}
	for range nativeClients {
		w, err := r.native(ctx, next())
		if err != nil {
			r.fail(err)
			return
		}
		work.Go(func() { w.run(busy) })
	}
	for range tellers {
		t := &teller{next()}
		work.Go(func() { t.run(busy) })
	}
	together := &crowd{run: r}
	work.Go(func() { together.come(busy) })
	r.disturb(busy)
	work.Wait()
}

func (r *run) native(ctx context.Context, w *worker) (*nativeWorker, error) {
	kv, err := r.js.KeyValue(ctx, registerBucket)
	return &nativeWorker{w, r.conn, kv}, err
}

func (r *run) start(ctx context.Context) (err error) {
	if err := os.RemoveAll(r.Output); err != nil {
		return err
	}
	if err := os.MkdirAll(r.Output, 0o755); err != nil {
		return err
	}
	if r.dir, err = os.MkdirTemp("", "linearizable"); err != nil {
		return err
	}
	r.natsAddr = harness.FreeAddr()
	self, err := os.Executable()
	if err != nil {
		return err
	}
	_, port, _ := net.SplitHostPort(r.natsAddr)
	r.nats = harness.NATSProcess(self, port, r.dir)
	if err := r.nats.Start(); err != nil {
		return err
	}
	if err := r.connect(ctx); err != nil {
		return err
	}
	for i := range 2 {
		s, err := r.newSite(i)
		if err != nil {
			return err
		}
		r.sites = append(r.sites, s)
		r.gateways = append(r.gateways, newGatewayClient(s.addr))
	}
	return r.prepare(ctx)
}

// newSite starts a gateway whose connection to NATS can be cut.
func (r *run) newSite(i int) (*site, error) {
	s := &site{addr: harness.FreeAddr(), admin: harness.FreeAddr()}
	var err error
	if s.proxy, err = harness.NewProxy(r.natsAddr); err != nil {
		return nil, err
	}
	if i == 0 {
		s.proxy.Delay("(feeds)", feedDelay)
	}
	log, err := os.Create(filepath.Join(r.Output, fmt.Sprintf("gateway%d.log", i)))
	if err != nil {
		return nil, err
	}
	args := []string{"serve", "--log-level", "warn", "--request-timeout", "1s",
		"--nats-url", "nats://" + s.proxy.Addr(), "--listen", s.addr, "--transaction-rate", "0",
		"--rate", "0", "--admin-listen", s.admin}
	s.gateway = &harness.Process{Name: r.Gateway, Log: log, Args: args}
	return s, s.gateway.Start()
}

// connect makes the connection of the native clients. Only faults of nats-server itself cut it.
func (r *run) connect(ctx context.Context) (err error) {
	if r.conn, err = harness.Connect(r.natsAddr); err != nil {
		return err
	}
	if r.js, err = jetstream.New(r.conn); err != nil {
		return err
	}
	return insist(ctx, func(context.Context) error {
		if !r.conn.IsConnected() {
			return errors.New("no connection to NATS")
		}
		return nil
	})
}

// insist calls f until it succeeds, for half a minute at most.
func insist(ctx context.Context, f func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		err := f(ctx)
		if err == nil || ctx.Err() != nil {
			return err
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// stop kills all processes and removes the data of nats-server.
func (r *run) stop() {
	for _, s := range r.sites {
		_ = s.gateway.Stop(syscall.SIGKILL)
	}
	_ = r.nats.Stop(syscall.SIGKILL)
	_ = os.RemoveAll(r.dir)
}

// fail notes an error that is not the gateway's fault and makes the run worthless.
func (r *run) fail(err error) { r.failed = errors.Join(r.failed, err) }
