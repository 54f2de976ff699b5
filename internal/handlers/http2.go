package handlers

import (
	"errors"
	"net/http"
	"time"

	"kvgateway/internal/bound"
)

// Over HTTP/2 one connection carries many requests, and net/http starts a goroutine for each of
// them. 80,000 requests of a few bytes each, which waited to be admitted, took 1 GiB. So a request
// needs a place among those that are open before anything is done for it, and it is refused at once
// if there is none. What has a place may wait for one among the requests that are answered.
const (
	// maxHTTP2Requests is how many requests over HTTP/2 are open; streams and long polls that wait
	// have places of their own. Each takes some 13 KB while it waits to be admitted.
	maxHTTP2Requests = 12_000

	// maxHTTP2Refusals is how many of the others are being answered, and maxConnectionRefusals how
	// many on one connection.
	maxHTTP2Refusals      = 2048
	maxConnectionRefusals = 64

	// http2RefusalTime is the time for such an answer.
	http2RefusalTime = time.Second
)

// http2Limits are the bounds of the requests over HTTP/2.
type http2Limits struct {
	open     *bound.Bound // requests
	refusals *bound.Bound // requests that are being refused
}

func newHTTP2Limits(set *bound.Set) *http2Limits {
	return &http2Limits{
		open: set.New(bound.Spec{
			Name: "http2-requests",
			Of:   "requests over HTTP/2 that are open, but for streams and long polls that wait",
			Unit: bound.Places, Limit: maxHTTP2Requests, PerOwner: maxHTTP2Requests / 3,
			AtLimit: "a request is refused with 429 or 503 at once",
		}),
		refusals: set.New(bound.Spec{
			Name: "http2-refused",
			Of:   "requests over HTTP/2 that are being refused, each for 1 s at most",
			Unit: bound.Places, Limit: maxHTTP2Refusals, PerOwner: maxHTTP2Refusals / 2,
			PerPart: maxConnectionRefusals, PartIs: "connection",
			AtLimit: "the request is reset without an answer; if the connection has so many, " +
				"nothing more is read from it, and it is closed after 5 s",
		}),
	}
}

// enter takes the place of an open request over HTTP/2, or answers one that finds none. It reports
// whether the request may go on.
func (s *Server) enter(rec *recorder, r *http.Request) bool {
	if r.ProtoMajor < 2 {
		return true
	}
	err := s.http2.open.Take(r.Context(), &rec.open, ownerOf(r), 1, nil)
	if err != nil {
		s.refuseHTTP2(rec, r, err)
	}
	return err == nil
}

// refuseHTTP2 answers a request that found no place among those that are open, or those that are
// answered. It must not hold much for long, since the next may be one of thousands.
func (s *Server) refuseHTTP2(rec *recorder, r *http.Request, err error) {
	var place bound.Hold
	full, none := errors.AsType[*bound.FullError](
		s.http2.refusals.Take(r.Context(), &place, perConnection(r), 1, nil))
	if none {
		if c := connectionOf(r); c != nil && full.OfPart {
			c.flooded()
		}
		rec.cut()
	}
	defer place.Release()
	controller := http.NewResponseController(rec.ResponseWriter)
	// Where this cannot be set, the server's own bound holds.
	_ = controller.SetWriteDeadline(time.Now().Add(http2RefusalTime))
	s.fail(rec, r, err)
	_ = controller.Flush() // while the place is held
}
