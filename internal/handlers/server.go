package handlers

import (
	"fmt"
	"net/http"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"kvgateway/api"
	"kvgateway/internal/bound"
	"kvgateway/internal/feed"
	"kvgateway/internal/kvclient"
	"kvgateway/internal/sse"
)

// Options are what the HTTP surface needs.
type Options struct {
	Client *kvclient.Client
	Feeds  *feed.Hub // of the same client
	Logger zerolog.Logger
	Build  BuildInfo

	BasePath             string        // mounts everything below it; "" or "/prefix" without a trailing slash
	CheckHost            bool          // answer only to loopback names and AllowedHosts (DNS rebinding)
	AllowedHosts         []string      // host names without a port; "*" within none of them
	AllowOrigins         []string      // exact origins whose pages may read and write, as browsers send them
	RequirePreconditions bool          // refuse a PUT or DELETE of a key without a precondition
	Bodies               BodyTimes     // bound the reading of requests' bodies
	StreamAge            time.Duration // after which streams end, up to half of it later; 1h if zero
	StreamLoops          int           // that write the streams of plain HTTP/1.1; below 0: one a processor, where the system has them; 0: a goroutine a stream
	MaxStreams           int           // that are open at once, long polls too; 20,000 if zero
	MemoryForAnswers     int64         // bytes that may wait for clients; 128 MiB if zero
	AnswerRate           int64         // bytes a second that a client must take; 4 KiB if zero
	AnswerGrace          time.Duration // for an answer beside what the rate gives it; 20s if zero
	AnswerAge            time.Duration // after which an answer that is sent in parts ends; 1h if zero
	TransactionRate      int           // transactions of each bucket in a second; 0 for no bound

	Bounds   *bound.Set            // all bounds of the gateway, for the metrics; nil for a set of its own
	Metrics  prometheus.Registerer // nil for none
	Draining func() bool           // tells that the gateway is shutting down; nil for never
	// Failing says why the embedded NATS takes no writes, in words for clients, such as "its disk is
	// full". It is asked for each write, so it must not wait. nil for never.
	Failing func() error
}

// BuildInfo says what is running.
type BuildInfo struct {
	Version string `json:"version"`
	Commit  string `json:"commit"`
	Built   string `json:"built"`
}

// A Server answers the gateway's requests.
type Server struct {
	options Options
	client  *kvclient.Client
	feeds   *feed.Hub
	loops   *sse.Loops // nil for none
	streams *bound.Bound
	// streamMemory is that of the streams that have a goroutine, and of long polls.
	streamMemory *bound.Bound
	work         *bound.Bound // requests
	heads        *bound.Bound // bytes of large heads of requests
	answers      *answerLimits
	http2        *http2Limits
	waiting      *sse.Limits // of what waits for the clients of streams
	logger       zerolog.Logger
	router       chi.Router
	handler      http.Handler // the router, behind what allows other origins
	metrics      *metrics
	unrouted     *routeObserver // of what is answered before a route is found, or has none
	ids          *requestIDs
	pages        map[string]problemKind
	yaml         []byte
	json         []byte

	bodies       *bodyBounds
	transactions *transactionRates
	shared       sharedReads // of long polls, and of large values
}

// New builds the HTTP surface. It fails if the contract in api/openapi.yaml is not sound or lacks a route's operation.
func New(options Options) (*Server, error) {
	if options.StreamAge == 0 {
		options.StreamAge = defaultStreamAge
	}
	if options.MaxStreams == 0 {
		options.MaxStreams = defaultMaxStreams
	}
	options.setAnswerDefaults()
	contract, err := api.Load()
	if err != nil {
		return nil, fmt.Errorf("load contract: %w", err)
	}
	streams := newStreams(options.Bounds, options.MaxStreams)
	answers := newAnswerLimits(options.Bounds, &options)
	waiting := sse.NewLimits(options.Bounds, answers.bytes)
	loops, err := streamLoops(options.StreamLoops, waiting)
	if err != nil {
		return nil, fmt.Errorf("stream loops: %w", err)
	}
	s := &Server{
		options: options,
		client:  options.Client,
		feeds:   options.Feeds,
		logger:  options.Logger,
		metrics: newMetrics(options, streams, loops, waiting),
		streams: streams,

		streamMemory: newStreamMemory(options.Bounds, options.MaxStreams),

		work:    newWork(options.Bounds),
		heads:   newHeads(options.Bounds),
		answers: answers,
		http2:   newHTTP2Limits(options.Bounds),
		waiting: waiting,
		loops:   loops,
		ids:     newRequestIDs(),
		pages:   problemKindsByCode(),
		yaml:    api.YAML(options.BasePath),

		bodies: newBodyBounds(options.Bounds, options.Bodies),

		transactions: newTransactionRates(options.Bounds, options.TransactionRate),
	}
	s.unrouted = s.metrics.route("")
	if s.json, err = api.JSON(options.BasePath); err != nil {
		return nil, fmt.Errorf("contract as JSON: %w", err)
	}
	if s.router, err = s.newRouter(contract); err != nil {
		return nil, err
	}
	s.handler = allowOrigins(options.AllowOrigins, s.router)
	return s, nil
}

// ServeHTTP observes the request, checks where it comes from, and routes it.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	rec := s.begin(w, r)
	defer func() {
		cut := s.recovered(rec, recover())
		unread := rec.unread && !rec.taken // what is left of a taken connection is not net/http's to read
		s.finish(rec, r)
		if cut {
			panic(http.ErrAbortHandler)
		}
		if unread && (r.ProtoMajor == 2 || r.Close) {
			drain(w, r.Body)
		}
	}()
	if !s.enter(rec, r) {
		return
	}
	if err := s.admit(rec, r); err != nil {
		s.fail(rec, r, err)
		return
	}
	s.handler.ServeHTTP(rec, r)
}
