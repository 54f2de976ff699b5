package handlers

import (
	"crypto/rand"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// An accessLine is what the access log and the metrics say of one answer.
type accessLine struct {
	// id is the request's id, and method its method as the client wrote it.
	id, method string
	// client is the address of the client.
	client string
	// kind and caller name who made the request; "" if nobody is asked, or the caller is not known.
	kind, caller string
	// bucket and key are those of [loggedNames], "" if they are not to be logged.
	bucket, key string
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
	kind, caller := x.named()
	return accessLine{
		id:     x.id,
		method: method,
		client: x.client.address,
		kind:   kind,
		caller: caller,
		bucket: x.logged.bucket,
		key:    x.logged.key,
		start:  x.start,
		route:  x.route,
		status: x.status,
		bytes:  x.bytes,
	}
}

// clientAddress returns the address of a peer without its port.
func clientAddress(peer string) string {
	if colon := strings.LastIndexByte(peer, ':'); colon >= 0 {
		peer = peer[:colon]
	}
	return strings.TrimSuffix(strings.TrimPrefix(peer, "["), "]")
}

// logAnswer writes a line of the access log, and counts the answer in the metrics. The line names
// the pattern of the route and not the path, since a path can hold a key; the bucket and the key
// are named only if the operator wants it ([Options.LogKeys]). A method that HTTP does not know is
// not named either, since a client can write anything there.
//
// The logger that cmd/gateway makes collects lines for up to 100 ms; its logBuffer says what that
// saves.
func (s *Server) logAnswer(a accessLine) {
	took := time.Since(a.start)
	a.route.observe(a.method, a.status, took)
	line := s.logger.Info().
		Str("id", a.id).
		Str("client", a.client).
		Str("method", knownMethod(a.method)).
		Str("route", a.route.pattern)
	if a.kind != "" {
		line.Str("kind", a.kind).Str("caller", a.caller)
	}
	if a.bucket != "" {
		line.Str("bucket", a.bucket)
	}
	if a.key != "" {
		line.Str("key", a.key)
	}
	line.Int("status", a.status).
		Int64("bytes", a.bytes).
		Float64("duration_ms", float64(took)/float64(time.Millisecond)).
		Msg("request")
}

// maxRequestID is how many bytes a request id may have that a client sends.
const maxRequestID = 64

// unreadRequest stands for the request id where a connection is refused before its request is read.
const unreadRequest = "unread-request"

// sentRequestID returns the request id that the client, or a proxy before the gateway, has given
// the request in X-Request-Id, so that one id finds it in all logs. It returns "" if there is none
// or more than one, or if it is longer than maxRequestID or has a character that ids of common
// tools do not have. The gateway then makes one.
func sentRequestID(h http.Header) string {
	values := h[headerRequestID]
	if len(values) != 1 || len(values[0]) > maxRequestID {
		return ""
	}
	for _, c := range []byte(values[0]) {
		isLetter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		if !isLetter && (c < '0' || c > '9') && strings.IndexByte("-._=+/:", c) < 0 {
			return ""
		}
	}
	return values[0]
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
