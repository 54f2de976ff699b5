package handlers

import (
	"runtime"
	"time"

	"kvgateway/internal/bound"
)

const (
	// workLease is how long a request counts as at work if it neither ends nor pauses its turn.
	workLease = 20 * time.Millisecond

	// workWait is how long a request waits for its turn before it is refused.
	workWait = 10 * time.Second
)

// WorkShare is how many requests of one client are at work at a time, and how many connections of
// one client may begin at a time. It is two for each processor, and at least four, which keeps all
// processors busy. With 16 on two processors, 6,000 long polls that began at once made the 99th
// percentile of another client 0.25 s; with 4 it was 0.1 s (measured).
func WorkShare() int64 { return int64(max(4, 2*runtime.GOMAXPROCS(0))) }

// newWork returns the bound of the requests that are at work. With it clients take turns.
//
// Go runs goroutines in the order in which they became runnable, so a thousand requests of one
// client are before each step of another client's request: with 1,500 long polls of a value of 1
// MB, a GET of 2 ms took 0.5 s. Therefore a client has few requests at work at a time (see
// [WorkShare]), and other clients get their turns in between.
//
// A request is at work until it ends, or waits for NATS, for its body, for a change or for room.
// While it waits, its turn pauses; the turn is a [bound.Turn] in the context, where kvclient and
// every claim of a bound find it. A request that waits without saying so counts for workLease at
// most, so that requests that hang do not keep their client from beginning others
// (TestRequestsThatHangLetOthersBegin).
//
// A turn resumes at once, since its request may hold what others wait for. Only two kinds of
// requests wait for a turn: those that begin, and those that go on at the same moment as many
// others, after a read that they shared or when a key has changed. New connections take turns in
// the same way when their first bytes have come. All this costs 2 to 4 % of a GET of 128 bytes
// (measured).
func newWork(set *bound.Set) *bound.Bound {
	return set.New(bound.Spec{
		Name: "requests-at-work",
		Of: "requests that do not wait for NATS, for their body, for room or for a change, each " +
			"counted for at most 20 ms at a time; one client has two for each processor",
		Unit: bound.Places, Limit: 4 * WorkShare(), PerOwner: WorkShare(),
		Lease: workLease, Wait: workWait, QueuedBy: "connections, http2-requests and streams",
		AtLimit: "requests wait, and clients take turns; a request " +
			"that has waited for 10 s is refused with 429 or 503",
	})
}

// beginWork waits for the request's turn, and gives the request a context with the turn, so that it
// pauses wherever the request waits for NATS. It returns a *[bound.FullError] if the turn does not
// come in time.
func (s *Server) beginWork(x *exchange) error {
	owner := x.owner()
	x.turn = bound.NewTurn(s.work, owner)
	x.request = x.request.WithContext(bound.WithTurn(x.context(), owner, x.turn))
	return x.turn.Begin(x.waitContext())
}
