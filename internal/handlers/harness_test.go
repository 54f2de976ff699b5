package handlers_test

import (
	"context"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"kvgateway/internal/console"
	"kvgateway/internal/feed"
	"kvgateway/internal/handlers"
	"kvgateway/internal/kvclient"
	"kvgateway/internal/natsd"
	"kvgateway/internal/natstest"
)

// patience bounds every wait of a test. Only a test that fails uses it up.
const patience = 30 * time.Second * slowdown

// measuresMemory is called first by tests that measure the heap. They must not be parallel, since
// all tests share the heap. They are skipped if tests are to be short, and under the race detector,
// which takes memory of its own.
func measuresMemory(t testing.TB) {
	t.Helper()
	if testing.Short() {
		t.Skip("holds much memory, beside which no other test runs")
	}
	if raceEnabled {
		t.Skip("the race detector takes memory of its own")
	}
}

// heapInUse returns the bytes of the heap that are in use after a collection.
func heapInUse() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// A gateway is a whole gateway in this process: an embedded nats-server, a kvclient, and the
// handlers behind an http.Server on a port of its own. Beside it there is a native client of the
// same nats-server.
type gateway struct {
	// address is the host and port on which the gateway listens.
	address string
	// basePath is put before every target that is sent.
	basePath string
	// wire is between the client and the nats-server. Tests make their faults here.
	wire *wire
	// client is the gateway's own client of the nats-server.
	client *kvclient.Client
	// handler serves the requests. Some tests put it behind a server of their own.
	handler http.Handler
	// js is the native client. It does not pass through the wire.
	js jetstream.JetStream
	// log collects what the gateway logs.
	log *logBuffer
	// metrics has what the gateway counts.
	metrics *prometheus.Registry
}

// A setup has the options that a test can change before its gateway starts.
type setup struct {
	handlers handlers.Options
	client   kvclient.Options
	feeds    feed.Options
	// socketBuffers is how many bytes the system buffers in each direction of a connection; 0
	// leaves that to the system, which takes some MB.
	socketBuffers int
}

// limitSocket sets the buffers of a connection that the gateway has accepted.
func (s *setup) limitSocket(ctx context.Context, conn net.Conn) context.Context {
	if tcp, ok := conn.(*net.TCPConn); ok && s.socketBuffers > 0 {
		_ = tcp.SetReadBuffer(s.socketBuffers)
		_ = tcp.SetWriteBuffer(s.socketBuffers)
	}
	return handlers.ConnContext(ctx, conn)
}

// start runs a gateway until the test ends.
func start(t testing.TB, configure ...func(*setup)) *gateway {
	t.Helper()
	g := &gateway{log: &logBuffer{}, metrics: prometheus.NewRegistry(), wire: startServer(t)}
	s := setup{
		client: kvclient.Options{InProcess: g.wire, Name: "test", Logger: zerolog.Nop()},
		handlers: handlers.Options{
			Logger: zerolog.New(g.log),
			Build: handlers.BuildInfo{
				Version: "1.2.3", Commit: "abcdef0", Built: "2026-11-22T17:00:00Z",
			},
			Console: console.Write,
			Metrics: g.metrics,
		},
	}
	for _, c := range configure {
		c(&s)
	}
	client, err := kvclient.Connect(s.client)
	if err != nil {
		t.Fatalf("connect: %v", err)
	}
	t.Cleanup(func() {
		g.wire.release()
		closeClient(client)
	})
	g.client, s.handlers.Client, g.basePath = client, client, s.handlers.BasePath
	hub := feed.NewHub(client, s.feeds)
	s.handlers.Feeds = hub
	passThrough(t, &s)
	handler, err := handlers.New(s.handlers)
	if err != nil {
		t.Fatalf("handlers: %v", err)
	}
	g.handler = handler
	server := httptest.NewUnstartedServer(handler)
	server.Config.ConnContext = s.limitSocket
	server.Start()
	t.Cleanup(func() {
		// A request that hangs would hang the test,
		g.wire.release()
		// and so would its streams.
		hub.Close()
		server.Close()
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		handler.Close(ctx)
	})
	g.address = server.Listener.Addr().String()
	g.js = native(t, g.wire)
	return g
}

// closeClient closes a client, and gives up after a second.
func closeClient(client *kvclient.Client) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	client.Close(ctx)
}

// startServer starts a nats-server on new data, and stops it when the test ends.
func startServer(t testing.TB) *wire {
	t.Helper()
	w := &wire{options: natsd.Options{
		DataDir: t.TempDir(), SyncInterval: time.Minute, Logger: zerolog.Nop(),
	}}
	w.restart(t)
	t.Cleanup(w.stop)
	return w
}

// native connects a NATS client to the server that runs now. Its connection does not pass through
// the wire, so that it meets no faults.
func native(t testing.TB, w *wire) jetstream.JetStream {
	t.Helper()
	nc, err := nats.Connect("", nats.InProcessServer(w.direct()))
	if err != nil {
		t.Fatalf("native connection: %v", err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

// bucket creates a bucket natively. Its history is 1 unless the configuration says otherwise.
func (g *gateway) bucket(t testing.TB, config jetstream.KeyValueConfig) jetstream.KeyValue {
	t.Helper()
	return natstest.CreateBucket(t, g.js, config)
}

// shop creates the bucket "shop", which most tests use, with a history of 10.
func (g *gateway) shop(t testing.TB) jetstream.KeyValue {
	t.Helper()
	return g.shopNamed(t, "shop")
}

// shopNamed creates a bucket like shop under another name.
func (g *gateway) shopNamed(t testing.TB, bucket string) jetstream.KeyValue {
	t.Helper()
	return g.bucket(t, jetstream.KeyValueConfig{Bucket: bucket, History: 10})
}

// stream returns the stream behind a bucket.
func (g *gateway) stream(t testing.TB, bucket string) jetstream.Stream {
	t.Helper()
	stream, err := g.js.Stream(t.Context(), "KV_"+bucket)
	if err != nil {
		t.Fatalf("stream of %s: %v", bucket, err)
	}
	return stream
}

// changeStream changes the configuration of a bucket's stream, as other tools can.
func (g *gateway) changeStream(t testing.TB, bucket string, change func(*jetstream.StreamConfig)) {
	t.Helper()
	config := g.stream(t, bucket).CachedInfo().Config
	change(&config)
	if _, err := g.js.UpdateStream(t.Context(), config); err != nil {
		t.Fatalf("change the stream of %s: %v", bucket, err)
	}
}

// A storedMessage is what the stream holds, byte for byte. The direct get of native clients would
// be deceived by some headers.
type storedMessage struct {
	Data   []byte    `json:"data"`
	Raw    []byte    `json:"hdrs"`
	Time   time.Time `json:"time"`
	Header nats.Header
}

// wantConnections checks that kvclient has not connected again since wire.connections returned
// before, as it does after a request that took the shared connection down.
func (g *gateway) wantConnections(t testing.TB, before int) {
	t.Helper()
	if now := g.wire.connections(); now != before {
		t.Errorf("%d NATS connections were made, %d before", now, before)
	}
}

// stopNATS stops the nats-server and waits until the gateway has noticed. Until then requests could
// be answered with 504 instead of 503.
func (g *gateway) stopNATS(t testing.TB) {
	t.Helper()
	g.wire.stop()
	eventually(t, "the gateway notices", func() bool { return !g.client.Connected() })
}

// restartNATS starts the nats-server again and waits until the gateway is ready.
func (g *gateway) restartNATS(t testing.TB) {
	t.Helper()
	g.wire.restart(t)
	g.awaitReady(t)
}

// awaitReady waits until the gateway is ready.
func (g *gateway) awaitReady(t testing.TB) {
	t.Helper()
	eventually(t, "the gateway is ready", func() bool { return g.get(t, "/readyz").status == 200 })
}

// metric returns the value of the counter or gauge with exactly these labels, or 0 if there is
// none.
func (g *gateway) metric(t testing.TB, name string, labels map[string]string) float64 {
	t.Helper()
	families, err := g.metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() != name {
			continue
		}
		for _, m := range family.GetMetric() {
			found := make(map[string]string)
			for _, label := range m.GetLabel() {
				found[label.GetName()] = label.GetValue()
			}
			if maps.Equal(found, labels) {
				return m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return 0
}

// eventually polls until the condition holds, and fails the test if it does not within patience.
func eventually(t testing.TB, what string, condition func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for tick := time.Millisecond; !condition(); tick = min(2*tick, 50*time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited %s in vain: %s", patience, what)
		}
		<-time.After(tick)
	}
}

var _ kvclient.InProcessProvider = (*wire)(nil)
