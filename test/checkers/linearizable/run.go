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

// How many clients there are, and how many keys they meet on.
const (
	httpClients     = 8
	nativeClients   = 2
	tellers         = 4
	activeRegisters = 4
	activeBanks     = 2
)

type run struct {
	duration              time.Duration
	seed                  uint64
	gatewayBinary, output string
	only                  string

	setting
	dir, natsAddr string
	nats          *harness.Process
	sites         []*site
	conn          *nats.Conn
	js            jetstream.JetStream
	failed        error // a process that ended otherwise than asked, or a fault that did not work
}

// A site is a gateway and the proxy between it and NATS.
type site struct {
	addr    string
	gateway *harness.Process
	proxy   *harness.Proxy
}

func (r *run) all() error {
	defer r.stop()
	fmt.Printf("seed %d\n", r.seed)
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
	v, err := r.history.judge(r.output)
	if err != nil {
		return err
	}
	return r.report(v, time.Since(began))
}

// trouble lets clients and faults run.
func (r *run) trouble(ctx context.Context) {
	busy, cancel := context.WithTimeout(ctx, r.duration)
	defer cancel()
	var work sync.WaitGroup
	client := 0
	next := func() *worker {
		client++
		return &worker{setting: &r.setting, id: client, random: rand.New(rand.NewPCG(r.seed, uint64(100+client)))}
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
	r.disturb(busy)
	work.Wait()
}

func (r *run) native(ctx context.Context, w *worker) (*nativeWorker, error) {
	kv, err := r.js.KeyValue(ctx, registerBucket)
	return &nativeWorker{w, r.conn, kv}, err
}

func (r *run) start(ctx context.Context) (err error) {
	if err := os.RemoveAll(r.output); err != nil {
		return err
	}
	if err := os.MkdirAll(r.output, 0o755); err != nil {
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
	r.nats = &harness.Process{Name: self, Args: []string{"nats-server", port, r.dir}, Log: os.Stderr}
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
	s := &site{addr: harness.FreeAddr()}
	var err error
	if s.proxy, err = harness.NewProxy(r.natsAddr); err != nil {
		return nil, err
	}
	log, err := os.Create(filepath.Join(r.output, fmt.Sprintf("gateway%d.log", i)))
	if err != nil {
		return nil, err
	}
	args := []string{"serve", "--log-level", "warn", "--request-timeout", "1s", "--nats-url", "nats://" + s.proxy.Addr(),
		"--listen", s.addr, "--transaction-rate", "0"}
	s.gateway = &harness.Process{Name: r.gatewayBinary, Log: log, Args: args}
	return s, s.gateway.Start()
}

// connect makes the native clients' connection, which no fault cuts but those of the server itself.
func (r *run) connect(ctx context.Context) (err error) {
	r.conn, err = nats.Connect("nats://"+r.natsAddr, nats.RetryOnFailedConnect(true), nats.MaxReconnects(-1),
		nats.ReconnectWait(20*time.Millisecond), nats.ReconnectJitter(0, 0), nats.ReconnectBufSize(-1))
	if err != nil {
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

// insist tries until it works, for half a minute.
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

func (r *run) stop() {
	for _, s := range r.sites {
		_ = s.gateway.Stop(syscall.SIGKILL)
	}
	_ = r.nats.Stop(syscall.SIGKILL)
	_ = os.RemoveAll(r.dir)
}

// fail notes what makes the run worthless, if it is not the gateway's fault.
func (r *run) fail(err error) { r.failed = errors.Join(r.failed, err) }
