package handlers

import (
	"crypto/rand"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"kvgateway/internal/bound"
	"kvgateway/internal/sse"
)

// A recorder remembers of a response what the access log and the metrics say of it. It lives as long as its request and is
// used again.
type recorder struct {
	http.ResponseWriter
	id     string
	head   bool // the request's method: no body is sent
	start  time.Time
	route  *routeObserver // unrouted until a route is found
	checks *operationChecks
	query  url.Values // as the checks have read it; nil for none
	status int
	bytes  int64

	request *http.Request
	limits  *answerLimits
	turn    *bound.Turn // to work; nil for a request that needs none
	open    bound.Hold  // among the requests over HTTP/2 that are open
	place   bound.Hold  // among the requests of an HTTP/2 connection
	stream  streamPlace // in the place of the two, of a long poll that waits
	heads   bound.Hold  // the bytes of a large head
	answer  *delivery   // nil until more is to be written than net/http buffers

	body   *requestBody // what is read of the request's body; nil for nothing
	unread bool         // the request announced a body that nobody has read
	taken  bool         // the connection is not net/http's any more; what becomes of the answer is noted at its end
}

var recorders = sync.Pool{New: func() any { return new(recorder) }}

// Unwrap lets http.ResponseController reach the connection.
func (rec *recorder) Unwrap() http.ResponseWriter { return rec.ResponseWriter }

// unreadGrace is how long net/http may wait for a body that nobody read, so that the connection can be used again. Without a
// bound it does not answer before a slow client has sent it all.
const unreadGrace = 200 * time.Millisecond

func (rec *recorder) WriteHeader(status int) {
	if rec.status == 0 && status >= 200 {
		rec.status = status
		if rec.unread {
			// Where this cannot be set, the connection's own bounds hold.
			_ = http.NewResponseController(rec.ResponseWriter).SetReadDeadline(time.Now().Add(unreadGrace))
		}
	}
	rec.ResponseWriter.WriteHeader(status)
}

func (rec *recorder) Write(p []byte) (int, error) {
	if rec.status == 0 {
		rec.WriteHeader(http.StatusOK)
	}
	n, err := rec.ResponseWriter.Write(p)
	rec.bytes += int64(n)
	return n, err
}

func (s *Server) begin(w http.ResponseWriter, r *http.Request) *recorder {
	rec := recorders.Get().(*recorder)
	*rec = recorder{ResponseWriter: w, id: s.ids.next(), head: r.Method == http.MethodHead, route: s.unrouted, unread: r.ContentLength != 0,
		start: time.Now(), request: r, limits: s.answers}
	if c := connectionOf(r); c != nil && c.told != nil {
		c.told.HeadDone()
	}
	return rec
}

// finish notes what became of the request.
func (s *Server) finish(rec *recorder, r *http.Request) {
	if rec.body != nil {
		rec.body.release()
	}
	if rec.status == 0 {
		rec.status = http.StatusOK
	}
	if !rec.taken {
		s.note(rec.line(r.Method))
	}
	if rec.answer != nil {
		rec.answer.end()
	}
	rec.heads.Release()
	rec.open.Release()
	rec.stream.release()
	*rec = recorder{}
	recorders.Put(rec)
}

// An accessLine is what the access log and the metrics say of an answer.
type accessLine struct {
	id, method string
	start      time.Time
	route      *routeObserver
	status     int
	bytes      int64
}

func (rec *recorder) line(method string) accessLine {
	return accessLine{id: rec.id, method: method, start: rec.start, route: rec.route, status: rec.status, bytes: rec.bytes}
}

// note writes the access log's line and the metrics. A path can hold a key, so it is not logged: the route's pattern is. Nor is a
// method of the client's own making, which can hold anything.
func (s *Server) note(a accessLine) {
	took := time.Since(a.start)
	a.route.observe(a.method, a.status, took)
	s.logger.Info().
		Str("id", a.id).
		Str("method", knownMethod(a.method)).
		Str("route", a.route.pattern).
		Int("status", a.status).
		Int64("bytes", a.bytes).
		Float64("duration_ms", float64(took)/float64(time.Millisecond)).
		Msg("request")
}

// requestIDs makes ids that are unique in this process and hardly ever repeat in another.
type requestIDs struct {
	prefix string
	last   atomic.Uint64
}

func newRequestIDs() *requestIDs { return &requestIDs{prefix: rand.Text()[:8] + "-"} }

func (ids *requestIDs) next() string {
	var buffer [32]byte
	return string(strconv.AppendUint(append(buffer[:0], ids.prefix...), ids.last.Add(1), 10))
}

// metrics are the Prometheus metrics of the HTTP surface. Labels name route patterns, never paths.
type metrics struct {
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
}

func newMetrics(o Options, streams *bound.Bound, loops *sse.Loops, limits *sse.Limits) *metrics {
	registry, client, feeds := o.Metrics, o.Client, o.Feeds
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "kvgw_http_requests_total", Help: "Requests answered.",
		}, []string{"route", "method", "status"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "kvgw_http_request_duration_seconds", Help: "Time from a request's header to the end of its answer.",
			Buckets: prometheus.ExponentialBuckets(0.00005, 4, 10),
		}, []string{"route"}),
	}
	if registry == nil {
		return m
	}
	for name := range client.Connections() {
		registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "kvgw_nats_connected", Help: "1 while the connection to NATS stands.",
			ConstLabels: prometheus.Labels{"connection": name},
		}, func() float64 {
			if client.Connections()[name] {
				return 1
			}
			return 0
		}))
	}
	registry.MustRegister(m.requests, m.duration,
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "kvgw_hidden_keys_total", Help: "Keys outside the key grammar that were met in a listing and not shown.",
		}, func() float64 { return float64(client.HiddenKeys()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "kvgw_streams", Help: "Watch streams and long polls that are open now."},
			func() float64 { return float64(streams.Used()) }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "kvgw_streams_refused_total", Help: "Watch streams and long polls that were refused since too many were open.",
		}, func() float64 { return float64(streams.Refused()) }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "kvgw_streams_slow_total",
			Help: "Watch streams that were ended to make room, since their clients did not take what was sent.",
		}, func() float64 { return float64(limits.Slow()) }))
	registry.MustRegister(boundMetrics{o.Bounds})
	if feeds != nil {
		registry.MustRegister(feedMetrics{feeds})
	}
	if loops != nil {
		registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "kvgw_stream_unsent_bytes", Help: "Bytes that wait for the sockets of streams; a large frame is counted for each stream that waits with it.",
		}, func() float64 { return float64(loops.Unsent()) }))
	}
	return m
}

// A routeObserver counts the requests of one route, with the metrics looked up once.
type routeObserver struct {
	pattern  string
	metrics  *metrics
	duration prometheus.Observer

	mu       sync.RWMutex
	counters map[outcome]prometheus.Counter
}

type outcome struct {
	method string
	status int
}

func (m *metrics) route(pattern string) *routeObserver {
	return &routeObserver{
		pattern:  pattern,
		metrics:  m,
		duration: m.duration.WithLabelValues(pattern),
		counters: make(map[outcome]prometheus.Counter),
	}
}

func (o *routeObserver) observe(method string, status int, took time.Duration) {
	o.duration.Observe(took.Seconds())
	o.mu.RLock()
	counter := o.counters[outcome{method, status}]
	o.mu.RUnlock()
	if counter == nil {
		counter = o.add(method, status)
	}
	counter.Inc()
}

func (o *routeObserver) add(method string, status int) prometheus.Counter {
	o.mu.Lock()
	defer o.mu.Unlock()
	// A request's method is whatever the client wrote: only known ones become label values and map keys.
	label := knownMethod(method)
	counter := o.metrics.requests.WithLabelValues(o.pattern, label, strconv.Itoa(status))
	if label == method {
		o.counters[outcome{method, status}] = counter
	}
	return counter
}

func knownMethod(method string) string {
	switch method {
	case "GET", "HEAD", "PUT", "POST", "PATCH", "DELETE", "OPTIONS":
		return method
	}
	return "other"
}
