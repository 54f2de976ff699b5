package handlers

import (
	"fmt"
	"net/http"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"kvgateway/api"
	"kvgateway/internal/audit"
	"kvgateway/internal/auth"
	"kvgateway/internal/bound"
	"kvgateway/internal/console"
	"kvgateway/internal/feed"
	"kvgateway/internal/identity"
	"kvgateway/internal/kvclient"
	"kvgateway/internal/pages"
	"kvgateway/internal/sse/stream"
)

// Options are what the HTTP surface needs to run.
type Options struct {
	// Client reaches the buckets.
	Client *kvclient.Client
	// Feeds has the live views of the buckets of Client.
	Feeds *feed.Hub
	// Gate decides who is calling and what they may do. If it is nil, everybody may do everything.
	Gate *auth.Gate
	// Identities has the NATS identities of callers whose credential is passed through; nil if none
	// is.
	Identities *identity.Pool
	// Logger takes the access log and the causes of failures.
	Logger zerolog.Logger
	// Audit gets a line for each change that is asked for; nil for none.
	Audit *audit.Log
	// Build is what /version answers.
	Build BuildInfo

	// BasePath is the prefix below which everything is mounted: "" or "/prefix", without a trailing
	// slash.
	BasePath string
	// PublicURL is the address that clients use, without a slash at its end; "" if it is not known.
	PublicURL string
	// CheckHost makes the gateway answer only to loopback names and AllowedHosts, as a protection
	// from DNS rebinding.
	CheckHost bool
	// AllowedHosts are host names without a port. None of them may contain "*".
	AllowedHosts []string
	// AllowOrigins are the exact origins, as browsers send them, whose pages may read and write.
	AllowOrigins []string
	// Proxies are the proxies whose word counts about the addresses of clients.
	Proxies Proxies
	// LogKeys makes the access log name the bucket and the key of each request that has them.
	LogKeys bool
	// Console says what the web console offers. If it is empty, there is none.
	Console console.Mode
	// RequirePreconditions makes the gateway refuse a PUT or DELETE of a key without a
	// precondition.
	RequirePreconditions bool

	// Bodies bounds how slowly the bodies of requests may come.
	Bodies BodyTimes
	// StreamAge is the age at which streams end, each up to half of it later. Zero stands for 1h.
	StreamAge time.Duration
	// StreamLoops is how many loops write the streams of plain HTTP/1.1. Below zero there is one
	// for each processor on systems that have loops; at zero each stream has a goroutine.
	StreamLoops int
	// MaxStreams is how many streams and long polls may be open at once. Zero stands for 20,000.
	MaxStreams int
	// StreamsPerCaller is how many of them each caller may have, or each address of those without
	// one, but no more than three quarters. Zero stands for three quarters.
	StreamsPerCaller int
	// Rate is how many requests each caller, or each address of those without one, may send in a
	// second. Zero means no bound.
	Rate int
	// MemoryForAnswers is how many bytes may wait for clients. Zero stands for 96 MiB.
	MemoryForAnswers int64
	// AnswerRate is how many bytes a second a client must take of an answer. Zero stands for 4 KiB.
	AnswerRate int64
	// AnswerGrace is the time for an answer beside that which AnswerRate gives it. Zero stands for
	// 20s.
	AnswerGrace time.Duration
	// AnswerAge is the age at which an answer that is sent in parts ends. Zero stands for 1h.
	AnswerAge time.Duration
	// TransactionRate is how many transactions each bucket may have in a second. Zero means no
	// bound.
	TransactionRate int

	// Bounds has all bounds of the gateway, for the metrics. If nil, the server makes a set of its
	// own.
	Bounds *bound.Set
	// Metrics registers the metrics; nil means none.
	Metrics prometheus.Registerer
	// Draining reports whether the gateway is shutting down; nil means never.
	Draining func() bool
	// Failing returns why the embedded NATS takes no writes and when it will again, in words for
	// clients, such as "its disk is full. It goes on by itself once there is room", and nil if it
	// takes them. It is called before each write, so it must not block. If Failing is nil, it never
	// fails.
	Failing func() error
	// TooManyBuckets reports whether the embedded NATS has refused to create a bucket because it
	// has as many as the limit of open files allows. If it is nil, the embedded NATS never does.
	TooManyBuckets func() bool
	// MemoryForBuckets is how many bytes the buckets of the embedded NATS may hold whose storage is
	// memory; 0 if NATS is not embedded.
	MemoryForBuckets int64
}

// BuildInfo says which build is running.
type BuildInfo struct {
	// Version is the release, or what the build calls itself.
	Version string `json:"version"`
	// Commit is the commit that was built.
	Commit string `json:"commit"`
	// Built is when it was built.
	Built string `json:"built"`
}

// A Server answers the requests of the gateway. It is an http.Handler. [New] sets its fields, which
// do not change afterwards; the parts that they lead to have locks of their own.
type Server struct {
	// options are what New was given, with the defaults filled in.
	options Options
	// started is when the server was made, in UTC.
	started time.Time
	// client and feeds are those of the options.
	client *kvclient.Client
	feeds  *feed.Hub
	// logger takes the access log and the causes of failures.
	logger zerolog.Logger

	// loops write streams on connections that were taken over from net/http; nil if there are none.
	loops *stream.Loops
	// streamPlaces bounds the streams and long polls that are open.
	streamPlaces *bound.Bound
	// callerStreams bounds those of each caller.
	callerStreams *bound.Bound
	// rates bound the requests of each caller.
	rates *callerRates
	// streamMemory bounds what waiting long polls, and streams that have a goroutine, take; see
	// newStreamMemory.
	streamMemory *bound.Bound
	// work bounds the requests that are at work; see newWork.
	work *bound.Bound
	// largeHeads bounds the bytes of large request heads; see newLargeHeads.
	largeHeads *bound.Bound
	// bucketPlaces bounds lists of buckets and changes of their settings; see newBucketPlaces.
	bucketPlaces *bound.Bound
	// http2Limits bounds the requests over HTTP/2 that are open, or are being refused.
	http2Limits *http2Limits
	// answerLimits bound what is held for clients that have yet to take their answers.
	answerLimits *answerLimits
	// streamLimits bounds what is held for the clients of streams, out of the budget of answers.
	streamLimits *stream.Limits
	// bodies bounds the bodies of requests.
	bodies *bodyBounds
	// transactions bounds the rate of transactions of each bucket.
	transactions *transactionRates

	// router finds the endpoint of a request.
	router chi.Router
	// handler is the router, wrapped in the check of other origins (CORS).
	handler http.Handler
	// metrics counts the requests.
	metrics *metrics
	// unrouted observes what is answered before a route is found, or has none.
	unrouted *routeObserver
	// ids makes the ids of requests.
	ids *requestIDs
	// yaml and json are the contract as it is served, below the base path.
	yaml, json []byte
	// site has the documentation.
	site *pages.Site
	// console has the files of the web console; nil if there is none.
	console *console.Console
	// publicOrigin is the origin of Options.PublicURL, "" if that is not known. Behind a proxy that
	// replaces Host, it is that of the gateway's own pages.
	publicOrigin string
	// tickets is the gate that makes and takes tickets: that of the options, or, where there is
	// none, one for which everybody may do everything.
	tickets *auth.Gate
	// sharedReads are the reads that long polls of one key share, and requests for large values.
	sharedReads sharedReads
	// listFallbacks are the lists of buckets in memory that NATS is asked for all the same.
	listFallbacks *listFallbacks
	// memoryExports bounds the exports from memory.
	memoryExports *bound.Bound
}

// New builds the HTTP surface. It fails if the contract in api/openapi.yaml is not valid or lacks
// the operation of a route.
func New(options Options) (*Server, error) {
	if options.StreamAge == 0 {
		options.StreamAge = defaultStreamAge
	}
	if options.MaxStreams == 0 {
		options.MaxStreams = defaultMaxStreams
	}
	if options.Draining == nil {
		options.Draining = func() bool { return false }
	}
	options.setAnswerDefaults()
	contract, err := api.Load()
	if err != nil {
		return nil, fmt.Errorf("load contract: %w", err)
	}
	streamPlaces := newStreamPlaces(options.Bounds, options.MaxStreams)
	answerLimits := newAnswerLimits(options.Bounds, &options)
	streamLimits := stream.NewLimits(options.Bounds, answerLimits.bytes)
	loops, err := streamLoops(options.StreamLoops, streamLimits)
	if err != nil {
		return nil, fmt.Errorf("stream loops: %w", err)
	}
	s := &Server{
		options: options,
		started: time.Now().UTC(),
		client:  options.Client,
		feeds:   options.Feeds,
		logger:  options.Logger,

		loops:        loops,
		streamPlaces: streamPlaces,
		streamMemory: newStreamMemory(options.Bounds, options.MaxStreams),
		callerStreams: newCallerStreams(
			options.Bounds, options.MaxStreams, options.StreamsPerCaller),
		rates:        newCallerRates(options.Bounds, options.Rate),
		work:         newWork(options.Bounds),
		largeHeads:   newLargeHeads(options.Bounds),
		bucketPlaces: newBucketPlaces(options.Bounds),
		http2Limits:  newHTTP2Limits(options.Bounds),
		answerLimits: answerLimits,
		streamLimits: streamLimits,
		bodies:       newBodyBounds(options.Bounds, options.Bodies),
		transactions: newTransactionRates(options.Bounds, options.TransactionRate),

		listFallbacks: newListFallbacks(options.Bounds),
		memoryExports: newMemoryExports(options.Bounds),

		metrics: newMetrics(options, streamPlaces, loops, streamLimits),
		ids:     newRequestIDs(),
		tickets: options.Gate,

		publicOrigin: originOf(options.PublicURL),
		yaml:         api.YAML(options.BasePath),
		site:         pages.NewSite(options.BasePath, contract),
		console:      console.New(options.BasePath, options.Console),
	}
	if s.tickets == nil {
		s.tickets = auth.NewGate(auth.OpenPolicy)
	}
	if options.Metrics != nil {
		options.Metrics.MustRegister(underwayMetrics{s.tickets})
	}
	s.unrouted = s.metrics.route("")
	if s.json, err = api.JSON(options.BasePath); err != nil {
		return nil, fmt.Errorf("contract as JSON: %w", err)
	}
	if s.router, err = s.newRouter(contract); err != nil {
		return nil, err
	}
	s.handler = s.allowOrigins(s.router)
	return s, nil
}

// ServeHTTP records the request for the access log and the metrics, refuses what must not reach an
// endpoint (see [Server.enterHTTP2] and [Server.admit]), and routes the rest.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := s.begin(w, r)
	defer func() {
		cut := x.recovered(recover())
		// net/http does not read from a connection that was taken over.
		unread := x.unread && !x.taken
		s.finish(x)
		if cut {
			panic(http.ErrAbortHandler)
		}
		if unread && (r.ProtoMajor == 2 || r.Close) {
			drain(w, r.Body)
		}
	}()
	if !s.enterHTTP2(x) {
		return
	}
	s.audit(x)
	if err := s.admit(x); err != nil {
		x.fail(err)
		return
	}
	if r.Method == http.MethodOptions && r.RequestURI == "*" {
		x.answerOptions()
		return
	}
	s.handler.ServeHTTP(x, x.request)
}
