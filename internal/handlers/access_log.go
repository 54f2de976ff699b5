package handlers

import (
	"crypto/rand"
	"strconv"
	"sync/atomic"
	"time"
)

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
