// Watchcheck runs the gateway between faults and checks what its watchers were sent; see README.md.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

func main() {
	if len(os.Args) == 4 && os.Args[1] == "nats-server" {
		exit(serveNATS(os.Args[2], os.Args[3]))
	}
	r := &run{}
	flag.DurationVar(&r.duration, "duration", 2*time.Minute, "how long writers and faults run")
	flag.Uint64Var(&r.seed, "seed", uint64(time.Now().UnixNano()), "of every random choice")
	flag.StringVar(&r.gatewayBinary, "gateway", "bin/gateway", "the gateway's binary")
	flag.StringVar(&r.output, "output", "test/output/watchcheck", "where traces of violations go")
	flag.Parse()
	exit(r.all())
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "watchcheck:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

type run struct {
	duration              time.Duration
	seed                  uint64
	gatewayBinary, output string

	dir, natsAddr, addr string
	nats, gateway       *Process
	proxy               *Proxy
	conn                *nats.Conn
	js                  jetstream.JetStream
	clients             []*Client
	recorders           map[string]*Recorder
	stored              atomic.Int64
	faults              map[string]int
	failed              error // a process that ended otherwise than asked
}

// burstSize is how many writes go out at once.
const burstSize = 300

var buckets = map[string]uint8{"one": 1, "five": 5}

func (r *run) all() error {
	defer r.stop()
	ctx := context.Background()
	if err := r.start(ctx); err != nil {
		return err
	}
	r.watch(ctx)
	busy, done := context.WithTimeout(ctx, r.duration)
	defer done()
	var work sync.WaitGroup
	for i := range 4 {
		work.Go(func() { r.write(busy, rand.New(rand.NewPCG(r.seed, uint64(100+i))), i%2 == 0) })
	}
	r.disturb(busy, rand.New(rand.NewPCG(r.seed, 1)))
	work.Wait()
	for _, c := range r.clients {
		c.mu.Lock()
		c.calm = true
		c.mu.Unlock()
	}
	time.Sleep(20 * time.Second) // a reconnection and a heartbeat: from then on the promises are owed in full
	return r.report(ctx)
}

func freeAddr() string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func (r *run) start(ctx context.Context) (err error) {
	if r.dir, err = os.MkdirTemp("", "watchcheck"); err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	r.natsAddr, r.addr, r.faults = freeAddr(), freeAddr(), map[string]int{}
	_, port, _ := net.SplitHostPort(r.natsAddr)
	r.nats = &Process{name: self, args: []string{"nats-server", port, r.dir}, log: os.Stderr}
	if err := r.nats.Start(); err != nil {
		return err
	}
	if r.proxy, err = NewProxy(r.natsAddr); err != nil {
		return err
	}
	r.conn, err = nats.Connect("nats://"+r.natsAddr, nats.RetryOnFailedConnect(true), nats.MaxReconnects(-1), nats.ReconnectWait(100*time.Millisecond))
	if err != nil {
		return err
	}
	if r.js, err = jetstream.New(r.conn); err != nil {
		return err
	}
	for until := time.Now().Add(10 * time.Second); !r.conn.IsConnected() && time.Now().Before(until); {
		time.Sleep(50 * time.Millisecond)
	}
	r.recorders = map[string]*Recorder{}
	for bucket, history := range buckets {
		if err := createBucket(ctx, r.js, bucket, history); err != nil {
			return err
		}
		if r.recorders[bucket], err = NewRecorder(r.natsAddr, bucket); err != nil {
			return err
		}
	}
	log, err := os.Create(filepath.Join(r.dir, "gateway.log"))
	if err != nil {
		return err
	}
	r.gateway = &Process{name: r.gatewayBinary, log: log, args: []string{"serve", "--nats-url", "nats://" + r.proxy.listener.Addr().String(), "--listen", r.addr}}
	return r.gateway.Start()
}

func (r *run) stop() {
	for _, p := range []*Process{r.gateway, r.nats} {
		if p != nil {
			_ = p.Stop(syscall.SIGKILL)
		}
	}
	_ = os.RemoveAll(r.dir)
}

// watch starts clients with different filters; values are base64, so that every byte is compared.
func (r *run) watch(ctx context.Context) {
	filters := map[string]func(string) bool{
		"":             func(string) bool { return true },
		"hot.*":        func(key string) bool { return strings.HasPrefix(key, "hot.") },
		"hot.>,hot.k1": func(key string) bool { return strings.HasPrefix(key, "hot.") },
		"quiet.>":      func(key string) bool { return strings.HasPrefix(key, "quiet.") },
	}
	for bucket := range buckets {
		for filter, matches := range filters {
			query := url.Values{"values": {"base64"}, "heartbeat": {"1s"}}
			for f := range strings.SplitSeq(filter, ",") {
				if f != "" {
					query.Add("filter", f)
				}
			}
			for _, mark := range []string{"", "event"} {
				q := url.Values{"filter": query["filter"], "values": query["values"], "heartbeat": query["heartbeat"]}
				if mark != "" {
					q.Set("bookmarks", mark)
				}
				c := &Client{name: fmt.Sprintf("%s[%s]%s", bucket, filter, mark), addr: r.addr, bucket: bucket, query: q, matches: matches,
					random: rand.New(rand.NewPCG(r.seed, uint64(1000+len(r.clients))))}
				r.clients = append(r.clients, c)
				go c.Run(ctx)
			}
		}
	}
}

// write stores, deletes and purges some 50 times a second, over HTTP or natively, and natively now and then in a burst that
// overwrites faster than anybody reads; refusals during faults are expected.
func (r *run) write(ctx context.Context, random *rand.Rand, native bool) {
	client := &http.Client{Timeout: 3 * time.Second}
	for ctx.Err() == nil {
		bucket := []string{"one", "five"}[random.IntN(2)]
		key := fmt.Sprintf("hot.k%d", random.IntN(4))
		if random.IntN(4) == 0 {
			key = fmt.Sprintf("cold.k%d", random.IntN(100))
		}
		if random.IntN(100) == 0 {
			key = "quiet.k"
		}
		if native && random.IntN(100) == 0 {
			r.burst(random, bucket)
		}
		if r.once(ctx, client, random.IntN(10), native, bucket, key) {
			r.stored.Add(1)
		}
		time.Sleep(time.Duration(random.IntN(40)) * time.Millisecond)
	}
}

// burst does not wait for acknowledgements.
func (r *run) burst(random *rand.Rand, bucket string) {
	for range burstSize {
		_ = r.conn.PublishMsg(message(bucket, fmt.Sprintf("hot.k%d", random.IntN(4)), random.IntN(10)))
	}
}

func message(bucket, key string, op int) *nats.Msg {
	m := nats.NewMsg("$KV." + bucket + "." + key)
	switch op {
	case 0:
		m.Header.Set("KV-Operation", "DEL")
	case 1:
		m.Header.Set("KV-Operation", "PURGE")
		m.Header.Set("Nats-Rollup", "sub")
	default:
		m.Data = fmt.Appendf(nil, "native %d", time.Now().UnixNano())
	}
	return m
}

func (r *run) once(ctx context.Context, client *http.Client, op int, native bool, bucket, key string) bool {
	if native {
		_, err := r.conn.RequestMsg(message(bucket, key, op), 2*time.Second)
		return err == nil
	}
	method, query := http.MethodPut, ""
	if op < 2 {
		method, query = http.MethodDelete, []string{"", "?purge=true"}[op]
	}
	request, err := http.NewRequestWithContext(ctx, method, "http://"+r.addr+"/buckets/"+bucket+"/keys/"+key+query, strings.NewReader(fmt.Sprint("http ", time.Now().UnixNano())))
	if err != nil {
		return false
	}
	response, err := client.Do(request)
	if err != nil {
		return false
	}
	response.Body.Close()
	return response.StatusCode < 300
}

// disturb injects one fault after the other, with a few seconds between them.
func (r *run) disturb(ctx context.Context, random *rand.Rand) {
	faults := []struct {
		name   string
		inject func()
	}{
		{"gateway-kill", func() { r.restart(r.gateway, syscall.SIGKILL) }},
		{"gateway-term", func() { r.restart(r.gateway, syscall.SIGTERM) }},
		{"nats-kill", func() { r.restart(r.nats, syscall.SIGKILL) }},
		{"nats-pause", func() {
			_ = r.nats.cmd.Process.Signal(syscall.SIGSTOP)
			time.Sleep(2 * time.Second)
			_ = r.nats.cmd.Process.Signal(syscall.SIGCONT)
		}},
		{"cut-1s", func() { r.proxy.Cut(time.Second) }},
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Duration(3000+random.IntN(3000)) * time.Millisecond):
		}
		f := faults[random.IntN(len(faults))]
		f.inject()
		r.faults[f.name]++
	}
}

func (r *run) restart(p *Process, signal os.Signal) {
	err := p.Stop(signal)
	if err = errors.Join(err, p.Start()); err != nil {
		r.failed = errors.Join(r.failed, fmt.Errorf("%s, %v: %w", filepath.Base(p.name), signal, err))
	}
}

func (r *run) report(ctx context.Context) error {
	counts, resets, problems, seen := map[string]int{}, map[string]int{}, map[string]int{}, map[string]int{}
	truths := map[string]Truth{}
	for bucket, recorder := range r.recorders {
		truth, err := recorder.Finish(ctx)
		if err != nil {
			return err
		}
		truths[bucket] = truth
		fmt.Printf("bucket %s: %d revisions known, %d of them repaired, %d unknown, %d given twice\n",
			bucket, len(truth.ByRevision), recorder.repaired, len(truth.Unknown), recorder.rewrote)
	}
	for _, c := range r.clients {
		truth := truths[c.bucket]
		c.mu.Lock()
		trace, blocks := c.trace, c.blocks
		c.mu.Unlock()
		for _, item := range trace {
			seen[item.Kind]++
			if item.Exact {
				seen["exact"]++
			}
			switch item.Kind {
			case "reset":
				resets[item.Reason]++
			case "problem":
				problems[item.Reason]++
			}
		}
		found := Validate(trace, truth, c.matches)
		for i, v := range found {
			counts[v.Promise]++
			if i < 2 {
				show(c, v, trace)
			}
		}
		if len(found) > 0 {
			r.save(c, trace, blocks)
		}
	}
	fmt.Printf("seed %d\nacknowledged %d\nfaults %v\nblocks %v\nresets %v\nproblems %v\n", r.seed, r.stored.Load(), r.faults, seen, resets, problems)
	total := 0
	for _, promise := range []string{"ordered", "unique", "reliable", "seamless", "resumable", "bookmarkable"} {
		fmt.Printf("%-14s %d violations\n", promise, counts[promise])
		total += counts[promise]
	}
	if total > 0 {
		return errors.Join(r.failed, fmt.Errorf("%d violations", total))
	}
	return r.failed
}

func show(c *Client, v Violation, trace []Item) {
	fmt.Printf("VIOLATION %s of %s at %d of %d: %s\n", v.Promise, c.name, v.At, len(trace), v.Detail)
	for _, item := range trace[max(0, v.At-12):min(len(trace), v.At+1)] {
		fmt.Printf("    %+v\n", item)
	}
}

func (r *run) save(c *Client, trace []Item, blocks []Block) {
	_ = os.MkdirAll(r.output, 0o755)
	data, _ := json.MarshalIndent(map[string]any{"client": c.name, "trace": trace, "blocks": blocks}, "", " ")
	name := strings.NewReplacer("[", "-", "]", "-", ">", "all", "*", "any", ",", "+").Replace(c.name)
	_ = os.WriteFile(filepath.Join(r.output, name+".json"), data, 0o644)
}
