package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"kvgateway/test/checkers/harness"
)

// bucketNames are the buckets, histories how many revisions of a key each keeps at first. From "long" nothing is ever purged, and
// it is created once.
var (
	bucketNames = []string{"one", "five", "long"}
	histories   = map[string]int{"one": 1, "five": 5, "long": 64}
)

type run struct {
	duration              time.Duration
	began                 time.Time
	seed                  uint64
	gatewayBinary, output string
	only                  string

	dir, natsAddr, addr string
	nats, gateway       *harness.Process
	proxy               *harness.Proxy
	conn                *nats.Conn
	js                  jetstream.JetStream
	clients             []*Client
	recorders           map[string]*Recorder
	attempts            attempts
	incidents           []Incident
	found               []Violation // that a fault itself saw
	stops               []time.Time // when readers began to stop
	watching            context.Context
	noise               harness.Noise
	failed              error // a process that ended otherwise than asked, or a fault that did not work
	serial              atomic.Int64
}

func (r *run) all() error {
	defer r.stop()
	ctx := context.Background()
	if err := r.start(ctx); err != nil {
		return err
	}
	r.began = time.Now()
	fmt.Printf("seed %d\n", r.seed)
	go r.noise.Listen()
	var gone context.CancelFunc
	r.watching, gone = context.WithCancel(ctx)
	var watchers sync.WaitGroup
	for _, c := range r.clients {
		watchers.Go(func() { c.Run(r.watching) })
	}
	r.abandon(r.watching, 20)
	r.trouble(ctx)
	for _, c := range r.clients {
		c.calm.Store(true)
		c.stopped.Store(0)
	}
	r.rest(ctx)
	gone()
	watchers.Wait()
	return r.report(ctx)
}

// trouble lets writers and faults run.
func (r *run) trouble(ctx context.Context) {
	busy, done := context.WithTimeout(ctx, r.duration)
	defer done()
	var work sync.WaitGroup
	for i := range 4 {
		work.Go(func() { r.write(busy, rand.New(rand.NewPCG(r.seed, uint64(100+i))), i%2 == 0) })
	}
	for i := range 4 {
		work.Go(func() { r.compareAndSet(busy, rand.New(rand.NewPCG(r.seed, uint64(200+i))), i%2 == 0) })
	}
	work.Go(func() { r.writeBrief(busy, rand.New(rand.NewPCG(r.seed, 300))) })
	r.disturb(busy)
	work.Wait()
}

// rest waits until every client was told a position at the last revision of its buckets, and two heartbeats more; or for half a
// minute. What is still missing then, the validation says.
func (r *run) rest(ctx context.Context) {
	for until := time.Now().Add(30 * time.Second); time.Now().Before(until); time.Sleep(200 * time.Millisecond) {
		ends := map[string]string{}
		for _, bucket := range allNames() {
			if s, err := r.js.Stream(ctx, "KV_"+bucket); err == nil {
				ends[bucket] = fmt.Sprintf("%d-%s", s.CachedInfo().State.LastSeq, r.recorders[bucket].current().Epoch)
			}
		}
		if !slices.ContainsFunc(r.clients, func(c *Client) bool { return !c.reached(ends) }) {
			break
		}
	}
	time.Sleep(7 * time.Second)
}

func (r *run) start(ctx context.Context) (err error) {
	if r.dir, err = os.MkdirTemp("", "watchcheck"); err != nil {
		return err
	}
	r.natsAddr, r.addr = harness.FreeAddr(), harness.FreeAddr()
	if err := r.startNATS(); err != nil {
		return err
	}
	if r.proxy, err = harness.NewProxy(r.natsAddr); err != nil {
		return err
	}
	if err := r.connect(); err != nil {
		return err
	}
	if err := r.createBuckets(ctx); err != nil {
		return err
	}
	if err := r.startGateway(); err != nil {
		return err
	}
	r.makeClients()
	return nil
}

func (r *run) startNATS() error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	_, port, _ := net.SplitHostPort(r.natsAddr)
	r.nats = &harness.Process{Name: self, Args: []string{"nats-server", port, r.dir}, Log: os.Stderr}
	return r.nats.Start()
}

func (r *run) startGateway() error {
	if err := os.MkdirAll(r.output, 0o755); err != nil {
		return err
	}
	log, err := os.Create(filepath.Join(r.output, "gateway.log"))
	if err != nil {
		return err
	}
	r.gateway = &harness.Process{Name: r.gatewayBinary, Log: log, Args: []string{"serve", "--log-level", "warn",
		"--nats-url", "nats://" + r.proxy.Addr(), "--listen", r.addr}}
	return r.gateway.Start()
}

// connect makes the checker's own connection, which no fault cuts but those of the server itself.
func (r *run) connect() (err error) {
	r.conn, err = nats.Connect("nats://"+r.natsAddr, nats.RetryOnFailedConnect(true), nats.MaxReconnects(-1),
		nats.ReconnectWait(20*time.Millisecond), nats.ReconnectJitter(0, 0), nats.ReconnectBufSize(-1))
	if err != nil {
		return err
	}
	if r.js, err = jetstream.New(r.conn); err != nil {
		return err
	}
	return insist(context.Background(), func(context.Context) error {
		if !r.conn.IsConnected() {
			return errors.New("no connection to NATS")
		}
		return nil
	})
}

func (r *run) createBuckets(ctx context.Context) (err error) {
	r.recorders = map[string]*Recorder{}
	for _, bucket := range bucketNames {
		if r.recorders[bucket], err = NewRecorder(r.natsAddr, bucket, bucket); err != nil {
			return err
		}
		if err := r.recorders[bucket].Create(ctx, histories[bucket], r.createNative(bucket)); err != nil {
			return fmt.Errorf("create %s: %w", bucket, err)
		}
	}
	return errors.Join(r.createCopies(ctx), r.createVault(ctx))
}

// allNames are the buckets with those that copy another.
func allNames() []string { return slices.Concat(bucketNames, copyNames) }

func (r *run) stop() {
	for _, p := range []*harness.Process{r.gateway, r.nats} {
		if p != nil {
			_ = p.Stop(syscall.SIGKILL)
		}
	}
	_ = os.RemoveAll(r.dir)
}

// fail notes what makes the run worthless, if it is not the gateway's fault.
func (r *run) fail(err error) { r.failed = errors.Join(r.failed, err) }
