package handlers

import (
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"kvgateway/internal/bound"
	"kvgateway/internal/sse/stream"
)

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
