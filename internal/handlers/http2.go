package handlers

import (
	"errors"
	"net/http"
	"time"

	"kvgateway/internal/bound"
)

const (
	// maxHTTP2Requests bounds the requests over HTTP/2 that are open. Streams and long polls that
	// wait have places of their own. Each request takes some 13 KB while it waits to be admitted.
	maxHTTP2Requests = 12_000

	// maxHTTP2Refusals bounds the requests over HTTP/2 that are being refused.
	maxHTTP2Refusals = 2048
	// maxConnectionRefusals bounds those of one connection.
	maxConnectionRefusals = 64

	// http2RefusalTime is the time for the answer to a request that is refused.
	http2RefusalTime = time.Second
)

// http2Limits are the bounds of the requests over HTTP/2 that are open.
//
// Over HTTP/2 one connection carries many requests, and net/http starts a goroutine for each of
// them. 80,000 requests of a few bytes each, which waited to be admitted, took 1 GiB (measured). So
// a request needs a place among those that are open before anything is done for it, and it is
// refused at once if there is none. A request that has such a place may wait for one among those
// that are being answered (see [answerLimits]).
//
//	the request      has a place among               until
//	is open          http2-requests                  it is over, or begins to wait for a change
//	is answered      connection-requests as well     its answer is sent, or the same
//	waits            streams, in place of these two  it is over
//	is refused       http2-refused                   its answer is sent, or a second is over
//
// A client that takes no refusals loses its connection (TestOpenHTTP2RequestsAreBounded,
// TestLongPollsOverHTTP2SwapTheirPlaces).
type http2Limits struct {
	// open bounds the requests that are open.
	open *bound.Bound
	// refusals bounds the requests that are being refused.
	refusals *bound.Bound
}

// newHTTP2Limits adds the bounds of requests over HTTP/2 to the set.
func newHTTP2Limits(set *bound.Set) *http2Limits {
	return &http2Limits{
		open: set.New(bound.Spec{
			Name: "http2-requests",
			Of: "requests over HTTP/2 that are open, except for " +
				"streams and long polls that wait",
			Unit: bound.Places, Limit: maxHTTP2Requests, PerOwner: maxHTTP2Requests / 3,
			AtLimit: "a request is refused with 429 or 503 at once",
		}),
		refusals: set.New(bound.Spec{
			Name: "http2-refused",
			Of:   "requests over HTTP/2 that are being refused, each for at most 1 s",
			Unit: bound.Places, Limit: maxHTTP2Refusals, PerOwner: maxHTTP2Refusals / 2,
			PerPart: maxConnectionRefusals, PartIs: "connection",
			AtLimit: "the request is reset without an answer; if the connection has so many, " +
				"nothing more is read from it, and it is closed after 5 s",
		}),
	}
}

// enterHTTP2 takes the place of an open request over HTTP/2, and refuses the request if there is
// none. It reports whether the request may go on. A request over HTTP/1.1 needs no place.
func (s *Server) enterHTTP2(x *exchange) bool {
	if x.request.ProtoMajor < 2 {
		return true
	}
	err := s.http2Limits.open.TakeFor(x.context(), &x.openPlace, 1)
	if err != nil {
		s.refuseHTTP2(x, err)
	}
	return err == nil
}

// refuseHTTP2 answers a request that has found no place among those that are open, or among those
// that are being answered. It must not hold much for long, since thousands of such requests can
// come together: it sends the answer within http2RefusalTime, while it has a place among the
// refusals.
//
// If there is no such place, it resets the request and does not return. If that is because the
// connection has used up its part, it also ends the connection, since its client goes on to send
// requests and takes no answers; see floodable. The connection of a trusted proxy stays.
func (s *Server) refuseHTTP2(x *exchange, err error) {
	var place bound.Hold
	part := connectionPartOf(x.request)
	refused := s.http2Limits.refusals.Take(x.context(), &place, part, 1, nil)
	if full, none := errors.AsType[*bound.FullError](refused); none {
		if c := connectionOf(x.request); c != nil && full.OfPart && !x.client.isProxied {
			c.flooded()
		}
		x.cut()
	}
	defer place.Release()
	controller := http.NewResponseController(x.ResponseWriter)
	// If the deadline cannot be set, the bound of the server itself holds.
	_ = controller.SetWriteDeadline(time.Now().Add(http2RefusalTime))
	x.fail(err)
	_ = controller.Flush() // The answer must be sent while the place is held.
}
