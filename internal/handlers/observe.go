package handlers

import (
	"context"
	"crypto/rand"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"kvgateway/internal/bound"
	"kvgateway/internal/sse/stream"
)

// An exchange is one request and its answer. Endpoints take from it what they need: the request,
// the parameters of its query, and the writer of its answer. It also has what the request has taken
// of the gateway's bounds, and what the access log and the metrics say of the answer.
//
// It is the response writer that the router is given, so that no request costs an allocation more
// than that. [Server.begin] makes it and [Server.finish] ends it, after which it serves another
// request. Unless said otherwise, its fields belong to the goroutine of the request.
type exchange struct {
	// ResponseWriter is net/http's own.
	http.ResponseWriter
	// id is the request's id, which the access log and problem documents name.
	id string
	// isHead reports whether the method is HEAD, so that no body is sent.
	isHead bool
	// start is when the request's headers had come.
	start time.Time
	// route counts the request; it is Server.unrouted until a route is found.
	route *routeObserver
	// checks are those of the route's operation; nil if it has none.
	checks *operationChecks
	// query has the parameters of the query as the checks have read them; nil if there are none.
	query url.Values
	// status is the status of the answer, 0 before it is known.
	status int
	// bytes counts the bytes of the answer's body.
	bytes int64

	// request is the request. Once its turn at work has begun, it has the context with that turn.
	request *http.Request
	// limits are those of answers, for delivery.
	limits *answerLimits
	// turn is the request's turn at work; nil if it needs none.
	turn *bound.Turn
	// openPlace is the request's place among the requests over HTTP/2 that are open.
	openPlace bound.Hold
	// place is the request's place among the requests over HTTP/2 that are being answered.
	place bound.Hold
	// pollPlace is what a long poll that waits holds, over HTTP/2 instead of openPlace and place.
	pollPlace streamPlace
	// largeHead holds the bytes of the request's head (line and headers), if that is large.
	largeHead bound.Hold
	// answer counts what is held and written of the answer; nil until delivery is called.
	answer *delivery

	// body is the request's body; nil until it is opened.
	body *requestBody
	// unread reports whether the request announced a body that nobody has read.
	unread bool
	// taken reports whether the connection was taken over from net/http. What becomes of the answer
	// is then logged when the stream ends.
	taken bool
}

// exchanges has exchanges that no request uses.
var exchanges = sync.Pool{New: func() any { return new(exchange) }}

// Unwrap lets http.ResponseController reach the connection.
func (x *exchange) Unwrap() http.ResponseWriter { return x.ResponseWriter }

// unreadGrace bounds the wait for a body that nobody reads. net/http reads the rest of such a body
// before it sends the answer, so that the connection can be used again; without a bound, a slow
// client would get its refusal only when it has sent everything. See [drain] for the cases in which
// net/http does not read it.
const unreadGrace = 200 * time.Millisecond

// context returns the context of the request.
func (x *exchange) context() context.Context { return x.request.Context() }

// WriteHeader sends the status and the headers. If nobody has read the request's body, the wait for
// it is bounded from here on.
func (x *exchange) WriteHeader(status int) {
	if x.status == 0 && status >= 200 {
		x.status = status
		if x.unread {
			// If the deadline cannot be set, the bounds of the connection itself hold.
			deadline := time.Now().Add(unreadGrace)
			_ = http.NewResponseController(x.ResponseWriter).SetReadDeadline(deadline)
		}
	}
	x.ResponseWriter.WriteHeader(status)
}

// Write sends a part of the body without holding memory for it. See [exchange.write].
func (x *exchange) Write(p []byte) (int, error) {
	if x.status == 0 {
		x.WriteHeader(http.StatusOK)
	}
	n, err := x.ResponseWriter.Write(p)
	x.bytes += int64(n)
	return n, err
}

// begin returns an exchange for a request whose headers have come, and tells its connection so.
func (s *Server) begin(w http.ResponseWriter, r *http.Request) *exchange {
	x := exchanges.Get().(*exchange)
	*x = exchange{
		ResponseWriter: w,
		id:             s.ids.next(),
		isHead:         r.Method == http.MethodHead,
		start:          time.Now(),
		route:          s.unrouted,
		request:        r,
		limits:         s.answers,
		unread:         r.ContentLength != 0,
	}
	if c := connectionOf(r); c != nil && c.stepped != nil {
		c.stepped.HeadDone()
	}
	return x
}

// finish gives back what the request held, logs and counts it, and returns the exchange to the
// pool. The answer of a connection that was taken over is logged when its stream ends.
func (s *Server) finish(x *exchange) {
	if x.body != nil {
		x.body.release()
	}
	if x.status == 0 {
		x.status = http.StatusOK
	}
	if !x.taken {
		s.logAnswer(x.line(x.request.Method))
	}
	if x.answer != nil {
		x.answer.end()
	}
	x.largeHead.Release()
	x.openPlace.Release()
	x.pollPlace.release()
	*x = exchange{}
	exchanges.Put(x)
}

// An accessLine is what the access log and the metrics say of one answer.
type accessLine struct {
	// id is the request's id, and method its method as the client wrote it.
	id, method string
	// start is when the request's headers had come.
	start time.Time
	// route counts the request.
	route *routeObserver
	// status is the status of the answer.
	status int
	// bytes counts the bytes of the answer's body.
	bytes int64
}

// line returns the access line of the answer as far as it is known now.
func (x *exchange) line(method string) accessLine {
	return accessLine{
		id:     x.id,
		method: method,
		start:  x.start,
		route:  x.route,
		status: x.status,
		bytes:  x.bytes,
	}
}

// logAnswer writes a line of the access log, and counts the answer in the metrics. The line names
// the pattern of the route and not the path, since a path can hold a key. A method that HTTP does
// not know is not named either, since a client can write anything there.
//
// The logger that cmd/gateway makes collects lines for up to 100 ms; its logBuffer says what that
// saves.
func (s *Server) logAnswer(a accessLine) {
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

// requestIDs makes request ids: a random prefix of this process, and a number that counts up. They
// are unique in the process, and hardly ever repeat in another.
type requestIDs struct {
	// prefix is the random part, followed by a hyphen.
	prefix string
	// last is the number of the newest id.
	last atomic.Uint64
}

// newRequestIDs returns ids with a prefix of their own.
func newRequestIDs() *requestIDs { return &requestIDs{prefix: rand.Text()[:8] + "-"} }

// next returns a new id. It may be called by several goroutines at a time.
func (ids *requestIDs) next() string {
	var buffer [32]byte
	return string(strconv.AppendUint(append(buffer[:0], ids.prefix...), ids.last.Add(1), 10))
}

// metrics are the Prometheus metrics of the HTTP surface. Their labels name the patterns of routes,
// never paths.
type metrics struct {
	// requests counts the answers by route, method and status.
	requests *prometheus.CounterVec
	// duration measures the time to answer by route.
	duration *prometheus.HistogramVec
}

// newMetrics makes the metrics and registers them, with those that read the state of other parts
// when they are asked for. Nothing is registered if the options have no registerer.
func newMetrics(
	o Options,
	streams *bound.Bound,
	loops *stream.Loops,
	limits *stream.Limits,
) *metrics {
	registry, client, feeds := o.Metrics, o.Client, o.Feeds
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "kvgw_http_requests_total", Help: "Requests answered.",
		}, []string{"route", "method", "status"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "kvgw_http_request_duration_seconds",
			Help:    "Time from a request's headers to the end of its answer.",
			Buckets: prometheus.ExponentialBuckets(0.00005, 4, 10),
		}, []string{"route"}),
	}
	if registry == nil {
		return m
	}
	for name := range client.Connections() {
		registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "kvgw_nats_connected", Help: "1 while the gateway is connected to NATS.",
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
			Name: "kvgw_hidden_keys_total",
			Help: "Keys outside the key grammar that listings found and did not show.",
		}, func() float64 { return float64(client.HiddenKeys()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "kvgw_streams",
			Help: "Watch streams and long polls that are open now.",
		}, func() float64 { return float64(streams.Used()) }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "kvgw_streams_refused_total",
			Help: "Watch streams and long polls that were refused because too many were open.",
		}, func() float64 { return float64(streams.Refused()) }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "kvgw_streams_slow_total",
			Help: "Watch streams that were ended to make room " +
				"because their clients did not take what was sent.",
		}, func() float64 { return float64(limits.Slow()) }))
	registry.MustRegister(boundMetrics{o.Bounds})
	if feeds != nil {
		registry.MustRegister(feedMetrics{feeds})
	}
	if loops != nil {
		registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "kvgw_stream_unsent_bytes",
			Help: "Bytes that wait for the sockets of streams. A large frame that several " +
				"streams wait with is counted for each.",
		}, func() float64 { return float64(loops.Unsent()) }))
	}
	return m
}

// A routeObserver counts the requests of one route. It looks each counter up in the metrics once
// and keeps it.
type routeObserver struct {
	// pattern is the path of the route as it is written in the contract.
	pattern string
	// metrics are those that the counters belong to.
	metrics *metrics
	// duration measures the requests of this route.
	duration prometheus.Observer

	// mu guards counters.
	mu sync.RWMutex
	// counters has the counters that were needed already.
	counters map[outcome]prometheus.Counter
}

// An outcome is what a route's requests are counted by.
type outcome struct {
	// method is the request's method, one that HTTP knows.
	method string
	// status is the status of the answer.
	status int
}

// route returns the observer of a route, "" for requests without one.
func (m *metrics) route(pattern string) *routeObserver {
	return &routeObserver{
		pattern:  pattern,
		metrics:  m,
		duration: m.duration.WithLabelValues(pattern),
		counters: make(map[outcome]prometheus.Counter),
	}
}

// observe counts a request that took so long.
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

// add looks up the counter of an outcome. It keeps the counters of known methods only: clients
// choose the method, and what they choose must not become labels and map keys.
func (o *routeObserver) add(method string, status int) prometheus.Counter {
	o.mu.Lock()
	defer o.mu.Unlock()
	label := knownMethod(method)
	counter := o.metrics.requests.WithLabelValues(o.pattern, label, strconv.Itoa(status))
	if label == method {
		o.counters[outcome{method, status}] = counter
	}
	return counter
}

// knownMethod returns the method if it is one that clients usually send, and otherwise "other".
func knownMethod(method string) string {
	switch method {
	case "GET", "HEAD", "PUT", "POST", "PATCH", "DELETE", "OPTIONS":
		return method
	}
	return "other"
}
