package handlers

import (
	"context"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"kvgateway/internal/auth"
	"kvgateway/internal/bound"
)

// An exchange is one request and its answer. Endpoints take from it what they need: the request,
// the parameters of its query, and the writer of its answer. It also has what the request has taken
// of the gateway's bounds, and what the access log and the metrics say of the answer.
//
// It is the response writer that the router is given, which saves an allocation for each request.
// [Server.begin] makes it and [Server.finish] ends it, after which it serves another request.
// Unless said otherwise, its fields belong to the goroutine of the request.
//
// Its methods stand where they are at home:
//
//	exchange    context, waitContext, owner, releaseBody; Unwrap, WriteHeader and Write, which
//	            make it a response writer
//	target      bucketName, key
//	rights      need, needSome, needAll, needThat, narrow, still
//	underway    recheck, mayBeShown, endWithRights, whyEnded, rightsLost, isGone
//	prefer      preferredWait
//	body_read   refuseEncoding
//	hold        holdPart
//	delivery    delivery, tooLong
//	answer      write, cut, respond, respondJSON, respondHeld
//	page        linkNext
//	entries     took
//	history     holdEntry
//	writes      respondWritten, keyPath
//	access_log  line
//	audited     beginChange, count, endAudit, auditEntry, outcome
//	problems    fail, logFailure, recovered, problemDocument, writeProblem
//	list        appendProblem
//	storage     explained
type exchange struct {
	// ResponseWriter is net/http's own.
	http.ResponseWriter
	// id is the request's id, which X-Request-Id, the access log and problem documents name.
	id string
	// isHead reports whether the method is HEAD, so that no body is sent.
	isHead bool
	// start is when the request's headers had come.
	start time.Time
	// route counts the request; it is Server.unrouted until a route is found.
	route *routeObserver
	// contract checks the request against the route's operation; nil if it has none.
	contract *contractChecks
	// query has the parameters of the query as contract has read them; nil if there are none.
	query url.Values
	// status is the status of the answer, 0 before it is known.
	status int
	// bytes counts the bytes of the answer's body.
	bytes int64

	// audited is what the audit log says of the request; nil if it says nothing.
	audited *audited
	// caller is who makes the request; nil before that is known, and on routes that are open.
	caller *auth.Caller
	// grants are the rights that the request was found to have; see [exchange.still].
	grants []grant
	// firstGrant has room for the first of the grants.
	firstGrant [1]grant
	// gate is the one that has identified the caller; nil if there is none.
	gate *auth.Gate
	// underway ends the request with the rights of its caller; nil if it is a short one.
	underway *underway
	// store is how the request reaches the buckets; zero on routes that are open.
	store store

	// request is the request. Once its turn at work has begun, it has the context with that turn.
	request *http.Request
	// client is who sent the request.
	client client
	// answerLimits are the limits of all answers, for delivery.
	answerLimits *answerLimits
	// logged is what the access log names of the target.
	logged loggedNames
	// logger takes the causes of failures.
	logger *zerolog.Logger
	// basePath is the prefix below which everything is mounted; see [Options].
	basePath string
	// memoryForBuckets is that of the [Options].
	memoryForBuckets int64
	// turn is the request's turn at work; nil if it needs none.
	turn *bound.Turn
	// openPlace is the request's place among the requests over HTTP/2 that are open.
	openPlace bound.Hold
	// answeringPlace is the request's place among the requests over HTTP/2 that are being answered.
	answeringPlace bound.Hold
	// pollPlace is what a long poll that waits holds, over HTTP/2 instead of openPlace and
	// answeringPlace.
	pollPlace streamPlace
	// largeHead holds the bytes of the request's head (line and headers), if that is large.
	largeHead bound.Hold
	// sending is the answer on its way: what is held and written of it. It is nil until delivery is
	// called.
	sending *delivery

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

// WriteHeader sends the status and the headers, after the line of the audit log was written. If
// nobody has read the request's body, the wait for it is bounded from here on.
func (x *exchange) WriteHeader(status int) {
	if x.status == 0 && status >= 200 {
		x.status = status
		if x.audited != nil && !x.audited.isLong {
			x.endAudit()
		}
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
	id := sentRequestID(r.Header)
	if id == "" {
		id = s.ids.next()
	}
	w.Header()[headerRequestID] = []string{id}
	*x = exchange{
		ResponseWriter:   w,
		id:               id,
		isHead:           r.Method == http.MethodHead,
		start:            time.Now(),
		route:            s.unrouted,
		request:          r,
		answerLimits:     s.answerLimits,
		logger:           &s.logger,
		basePath:         s.options.BasePath,
		memoryForBuckets: s.options.MemoryForBuckets,
		unread:           r.ContentLength != 0,
	}
	if s.options.LogKeys {
		x.logged = namesOf(r.URL, s.options.BasePath)
	}
	c := connectionOf(r)
	if c != nil && c.stepped != nil {
		c.stepped.HeadDone()
	}
	x.client = s.clientOf(r)
	if c != nil && x.client.owner != c.owner {
		x.request = r.WithContext(bound.WithOwner(r.Context(), x.client.owner))
	}
	return x
}

// finish gives back what the request held, logs and counts it, and returns the exchange to the
// pool. The answer of a connection that was taken over is logged when its stream ends.
func (s *Server) finish(x *exchange) {
	if x.body != nil {
		x.body.close()
	}
	x.underway.close()
	if x.status == 0 {
		x.status = http.StatusOK
	}
	x.endAudit()
	if !x.taken {
		s.logAnswer(x.line(x.request.Method))
	}
	if x.sending != nil {
		x.sending.end()
	}
	x.store.release()
	x.largeHead.Release()
	x.openPlace.Release()
	x.pollPlace.release()
	*x = exchange{}
	exchanges.Put(x)
}

// releaseBody gives back what the request's body holds, which nothing needs any more. It is called
// before an answer is sent. What a body holds cannot be evicted once it is complete, so a client
// that sent large transactions and did not read the answers kept others out for as long as an
// answer may take (TestUnreadAnswersHoldNoPlacesOrBodies).
func (x *exchange) releaseBody() {
	if x.body != nil {
		x.body.release()
	}
}

// waitContext returns a context for a wait that must not end when the client only sends no more. It
// has the owner and the turn of the request.
//
// A client that sends no more may read on: `nc -N` and some proxies end their half of the
// connection after the request. Over HTTP/1.1 net/http cancels the context of the request then, as
// it does when the client goes away, and epoll reports the same event as when the connection is
// closed, so that such a client used to get an empty answer. What tells the two cases apart is the
// answer to a write: a closed connection sends a reset. Therefore a stream whose client sends no
// more is sent a heartbeat at once, and goes on unless a reset comes
// (TestHalfClosedWatchGetsItsStream, TestWatchClosedAtOnceIsGivenUp). In the form of net/http a
// second heartbeat follows after 0.3 s, since there only the next write shows the reset.
func (x *exchange) waitContext() context.Context {
	switch {
	case x.underway != nil:
		return x.underway.waits
	case x.request.ProtoMajor == 1:
		return context.WithoutCancel(x.context())
	}
	return x.context()
}

// owner returns who holds what the request takes of a bound. It is the owner of the context, which
// [ConnContext] has set.
func (x *exchange) owner() string { return bound.OwnerOf(x.context()) }
