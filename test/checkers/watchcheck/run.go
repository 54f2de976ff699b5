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

// bucketNames are the buckets, and histories says how many revisions of a key each of them keeps at
// first. Nothing is ever purged from "long", and it is created only once.
var (
	bucketNames = []string{"one", "five", "long"}
	histories   = map[string]int{"one": 1, "five": 5, "long": 64}
)

// A run is one run of the checker, with the processes that it starts.
type run struct {
	harness.Settings
	began time.Time

	dir, natsAddr, addr string
	nats, gateway       *harness.Process
	proxy               *harness.Proxy
	conn                *nats.Conn
	js                  jetstream.JetStream
	clients             []*Client
	recorders           map[string]*Recorder
	attempts            attempts
	incidents           []Incident
	found               []Violation // What a fault itself saw.
	stops               []time.Time // When readers began to stop.
	watching            context.Context
	noise               harness.Noise
	failed              error // A process that ended by itself, or a fault that did not work.
	serial              atomic.Int64
}

// all starts everything, lets writers and faults run, and judges what everybody was told.
func (r *run) all() error {
	defer r.stop()
	ctx := context.Background()
	if err := r.start(ctx); err != nil {
		return err
	}
	r.began = time.Now()
	fmt.Printf("seed %d\n", r.Seed)
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
	busy, done := context.WithTimeout(ctx, r.Duration)
	defer done()
	var work sync.WaitGroup
	random := func(n int) *rand.Rand { return rand.New(rand.NewPCG(r.Seed, uint64(n))) }
	for i := range 4 {
		work.Go(func() { r.write(busy, random(100+i), i%2 == 0) })
	}
	for i := range 4 {
		work.Go(func() { r.compareAndSet(busy, random(200+i), i%2 == 0) })
	}
	work.Go(func() { r.writeBrief(busy, random(300)) })
	r.disturb(busy)
	work.Wait()
}

// rest waits until every client was told of a position at the last revision of its buckets, for
// half a minute at most, and then for two heartbeats. The validation finds what is missing then.
func (r *run) rest(ctx context.Context) {
	until := time.Now().Add(30 * time.Second)
	for ; time.Now().Before(until); time.Sleep(200 * time.Millisecond) {
		ends := map[string]string{}
		for _, bucket := range allNames() {
			if s, err := r.js.Stream(ctx, "KV_"+bucket); err == nil {
				epoch := r.recorders[bucket].current().Epoch
				ends[bucket] = fmt.Sprintf("%d-%s", s.CachedInfo().State.LastSeq, epoch)
			}
		}
		unfinished := func(c *Client) bool { return !c.reached(ends) }
		if !slices.ContainsFunc(r.clients, unfinished) {
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
	r.nats = harness.NATSProcess(self, port, r.dir)
	return r.nats.Start()
}

func (r *run) startGateway() error {
	if err := os.MkdirAll(r.Output, 0o755); err != nil {
		return err
	}
	log, err := os.Create(filepath.Join(r.Output, "gateway.log"))
	if err != nil {
		return err
	}
	args := []string{"serve", "--log-level", "warn",
		"--nats-url", "nats://" + r.proxy.Addr(), "--listen", r.addr}
	r.gateway = &harness.Process{Name: r.Gateway, Log: log, Args: args}
	return r.gateway.Start()
}

// connect makes the checker's own connection. Only faults of nats-server itself cut it.
func (r *run) connect() (err error) {
	if r.conn, err = harness.Connect(r.natsAddr); err != nil {
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
		create := r.createNative(bucket)
		if err := r.recorders[bucket].Create(ctx, histories[bucket], create); err != nil {
			return fmt.Errorf("create %s: %w", bucket, err)
		}
	}
	return errors.Join(r.createCopies(ctx), r.createVault(ctx))
}

// allNames returns the names of all buckets, those that copy another included.
func allNames() []string { return slices.Concat(bucketNames, copyNames) }

// stop kills both processes and removes the data of nats-server.
func (r *run) stop() {
	for _, p := range []*harness.Process{r.gateway, r.nats} {
		if p != nil {
			_ = p.Stop(syscall.SIGKILL)
		}
	}
	_ = os.RemoveAll(r.dir)
}

// fail notes an error that is not the gateway's fault and makes the run worthless.
func (r *run) fail(err error) { r.failed = errors.Join(r.failed, err) }
