package handlers

import (
	"context"
	"net/http"
	"runtime"
	"time"

	"kvgateway/internal/bound"
)

// The Go scheduler runs what is to be run in the order in which it came. So thousands of requests that
// one client sends at once, or whose change comes at once, would all be before those of others, and
// before each step of theirs: 1,500 long polls of a value of 1 MB made another client's p99 0.5 s. So
// each client has few requests at work at a time, and the clients take turns.
const (
	// workLease is for how long a request counts that neither ends nor says that it waits.
	workLease = 20 * time.Millisecond

	workWait = 10 * time.Second
)

// WorkShare is how many requests of one client are at work, or connections of one client begin, at a
// time: enough to keep all processors busy. With 16 on two processors, 6,000 long polls that began at
// once made another client's p99 0.25 s, and with 4 it was 0.1 s (measured).
func WorkShare() int64 { return int64(max(4, 2*runtime.GOMAXPROCS(0))) }

func newWork(set *bound.Set) *bound.Bound {
	return set.New(bound.Spec{
		Name: "requests-at-work",
		Of: "requests that wait neither for NATS, for their body, for room nor for a change, each for " +
			"20 ms at most at a time; one client has two for each processor",
		Unit: bound.Places, Limit: 4 * WorkShare(), PerOwner: WorkShare(),
		Lease: workLease, Wait: workWait, QueuedBy: "connections, http2-requests and streams",
		AtLimit: "requests wait, clients taking turns; what has waited for 10 s is refused with 429 or 503",
	})
}

// patient returns the request's context for a wait that a client does not end by sending no more, as
// with `nc -N`: over HTTP/1.1 that ends the context as its leaving does.
func patient(r *http.Request) context.Context {
	if r.ProtoMajor == 1 {
		return context.WithoutCancel(r.Context())
	}
	return r.Context()
}

// beginWork waits for the request's turn. It returns the request with a context that has the turn, so
// that it pauses wherever the request waits for NATS, or a *[bound.FullError].
func (s *Server) beginWork(rec *recorder, r *http.Request) (*http.Request, error) {
	owner := ownerOf(r)
	rec.turn = bound.NewTurn(s.work, owner)
	rec.request = r.WithContext(bound.WithTurn(r.Context(), owner, rec.turn))
	return rec.request, rec.turn.Begin(patient(r))
}
