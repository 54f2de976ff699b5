package handlers_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"kvgateway/internal/bound"
	"kvgateway/internal/handlers"
	"kvgateway/internal/natstest"
)

// h2c serves the gateway's handler over HTTP/2 without TLS, and returns as many clients, each with
// a connection of its own.
func (g *gateway) h2c(t *testing.T, connections int) (base string, clients []*http.Client) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	server := &http.Server{
		Handler: g.handler, Protocols: &protocols, ConnContext: handlers.ConnContext,
		HTTP2: &http.HTTP2Config{MaxConcurrentStreams: 1000},
	}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { server.Close() })
	for range connections {
		transport := &http.Transport{Protocols: &protocols, MaxConnsPerHost: 1}
		t.Cleanup(transport.CloseIdleConnections)
		clients = append(clients, &http.Client{Transport: transport})
	}
	return "http://" + listener.Addr().String(), clients
}

// A collector reads a stream and keeps only the keys of its entries, up to the key "end".
type collector struct {
	target string
	// synced is closed at the event sync.
	synced chan struct{}
	// ended is closed when the stream was read to the key "end", or failed.
	ended chan struct{}
	// keys are those that came, in their order. They are complete once ended is closed.
	keys []string
	// err is why the stream failed, valid once ended is closed.
	err error
}

// collect reads the stream.
func (c *collector) collect(ctx context.Context, client *http.Client, base string) {
	defer close(c.ended)
	r, err := http.NewRequestWithContext(ctx, "GET", base+c.target, nil)
	if err != nil {
		c.err = err
		return
	}
	r.Header.Set("Accept", "text/event-stream")
	response, err := client.Do(r)
	if err != nil {
		c.err = err
		return
	}
	defer response.Body.Close()
	for lines := bufio.NewScanner(response.Body); lines.Scan(); {
		if lines.Text() == "event: sync" {
			close(c.synced)
		}
		_, rest, found := strings.Cut(lines.Text(), `"key":"`)
		key, _, _ := strings.Cut(rest, `"`)
		if !found {
			continue
		}
		if key == "end" {
			return
		}
		c.keys = append(c.keys, key)
	}
	c.err = io.ErrUnexpectedEOF
}

// await waits until one of the collector's channels is closed.
func (c *collector) await(t *testing.T, what string, happened <-chan struct{}) {
	t.Helper()
	select {
	case <-happened:
	case <-time.After(2 * patience):
		t.Fatalf("%s: no %s, got %v", c.target, what, c.err)
	}
}

// However many streams are open on a bucket, its stream has one consumer, and each client gets
// exactly its own events.
func TestManyStreamsShareOneConsumer(t *testing.T) {
	t.Parallel()
	filters, alike := natstest.Sized(500, 100), natstest.Sized(2000, 400)
	g := start(t)
	kv := g.shop(t)
	base, clients := g.h2c(t, 3)
	var collectors []*collector
	for i := range filters + alike {
		target := "/buckets/shop/watch?filter=all.%3E&filter=end"
		if i < filters {
			target = fmt.Sprintf("/buckets/shop/watch?filter=own.%d&filter=end", i)
		}
		collectors = append(collectors, &collector{
			target: target, synced: make(chan struct{}), ended: make(chan struct{}),
		})
	}
	for i, l := range collectors {
		go l.collect(t.Context(), clients[i%len(clients)], base)
	}
	for _, l := range collectors {
		l.await(t, "sync", l.synced)
	}
	oneConsumer := func() bool {
		info, err := g.stream(t, "shop").Info(t.Context())
		return err == nil && info.State.Consumers == 1
	}
	eventually(t, "one consumer, once the snapshots are read", oneConsumer)
	if readings := g.metric(t, "kvgw_snapshots_total", nil); readings > float64(filters+100) {
		t.Errorf("%v snapshots were read, for %d different filters", readings, filters+1)
	}
	var common []string
	for i := range filters {
		put(t, kv, fmt.Sprintf("own.%d", i), "v")
		if i%50 == 0 {
			common = append(common, fmt.Sprintf("all.%d", i))
			put(t, kv, common[len(common)-1], "v")
		}
	}
	if !oneConsumer() {
		t.Error("more than one consumer while changes come")
	}
	put(t, kv, "end", "v")
	for i, l := range collectors {
		l.await(t, "end", l.ended)
		want := common
		if i < filters {
			want = []string{fmt.Sprintf("own.%d", i)}
		}
		if fmt.Sprint(l.keys) != fmt.Sprint(want) || l.err != nil {
			t.Fatalf("%s got %v (%v), want %v", l.target, l.keys, l.err, want)
		}
	}
}

// Clients that come at the same time share a reading. It can begin only once they are all there. It
// is smaller than what a reading has in memory, so that it need not wait for a client that is slow.
func TestJoiningClientsShareSnapshots(t *testing.T) {
	t.Parallel()
	bounds := bound.NewSet()
	g := start(t, func(s *setup) { s.feeds.Bounds, s.handlers.Bounds = bounds, bounds })
	kv := g.shop(t)
	const keys, clients = 100, 100
	for i := range keys {
		put(t, kv, fmt.Sprintf("k.%d", i), "v")
	}
	begin := holdOf(t, bounds, "reading-snapshots", "", bounds.Find("reading-snapshots").Limit())
	var joined sync.WaitGroup
	for range clients {
		joined.Go(func() {
			w := g.watch(t, "/buckets/shop/watch?filter=k.*")
			seen, b := make(map[any]bool), w.next()
			for ; b.event != "sync"; b = w.next() {
				if b.event == "put" {
					seen[b.object(t)["key"]] = true
				}
			}
			if told := b.object(t)["keys"]; len(seen) != keys || told != float64(keys) {
				t.Errorf("%d keys came, and %v are told", len(seen), told)
			}
		})
	}
	eventually(t, "all clients wait", func() bool {
		return g.metric(t, "kvgw_subscriptions", nil) == clients
	})
	begin()
	joined.Wait()
	if readings := g.metric(t, "kvgw_snapshots_total", nil); readings != 1 {
		t.Errorf("%v snapshots were read for %d clients that came together", readings, clients)
	}
}

// A bucket that is larger than any buffer is streamed to a client that reads slowly, while the
// gateway holds little of it. The bucket is kept in memory, so that what the nats-server in this
// process holds stays the same.
func TestLargeSnapshotTakesLittleMemory(t *testing.T) {
	measuresMemory(t)
	const values, size, bound = 3200, 64 << 10, 64 << 20
	g := start(t)
	kv := g.bucket(t, jetstream.KeyValueConfig{Bucket: "b", Storage: jetstream.MemoryStorage})
	value := strings.Repeat("x", size)
	for i := range values {
		put(t, kv, fmt.Sprintf("k%d", i), value)
	}
	base := heapInUse()
	response := g.watchWithSmallBuffers(t, "/buckets/b/watch")
	lines := bufio.NewReaderSize(response, 4096)
	seen, most := 0, int64(0)
	for {
		line, err := lines.ReadSlice('\n')
		switch {
		case err == bufio.ErrBufferFull:
			continue
		case err != nil:
			t.Fatalf("after %d values: %v", seen, err)
		}
		if string(line) == "event: put\n" {
			if seen++; seen%(values/8) == 0 {
				most = max(most, heapInUse()-base)
			}
		}
		if string(line) == "event: sync\n" {
			break
		}
	}
	if seen != values || most > bound {
		t.Errorf("%d of %d values, and up to %d MiB more in use than before",
			seen, values, most>>20)
	}
	t.Logf("up to %d MiB more than before, for %d MiB", most>>20, values*size>>20)
}

// watchWithSmallBuffers opens a stream whose body the caller reads, over a connection with small
// buffers.
func (g *gateway) watchWithSmallBuffers(t *testing.T, target string) io.Reader {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+g.address+target, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Accept", "text/event-stream")
	dial := func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, address)
		if err == nil {
			err = conn.(*net.TCPConn).SetReadBuffer(64 << 10)
		}
		return conn, err
	}
	transport := &http.Transport{ReadBufferSize: 4096, DialContext: dial}
	response, err := transport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { response.Body.Close() })
	return response.Body
}
