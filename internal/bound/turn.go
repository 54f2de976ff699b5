package bound

import (
	"context"
	"sync"
)

// A Turn is the place of a request among those that are at work. It makes clients take turns at the
// processors.
//
// Go runs goroutines in the order in which they became runnable, so a thousand requests of one
// client come before each step of another client's request: with 1,500 long polls of a value of 1
// MB, a GET of 2 ms took 0.5 s. So a client has a few requests at work at a time, two for each
// processor, and those of others get their places between them (requests-at-work in
// docs/bounds.md). This costs 2 to 4 % of a GET of 128 bytes (measured). New connections have
// places of the same kind until their first request is read.
//
// A request is at work from Begin to End, except while it waits for NATS, for its body, for a
// change, or for room in a bound: then its turn is paused, and another request has the place. A
// claim that waits under the context of a request pauses its turn by itself ([WithTurn]). A wait
// that nobody announces counts as work for the lease of the bound only, which is 20 ms: a request
// that hangs does not keep its client from beginning another (TestRequestsThatHangLetOthersBegin in
// internal/handlers).
//
//	event   not begun            at work              paused                         ended
//	------  -------------------  -------------------  -----------------------------  ---------
//	Begin   waits, then at work  waits for a new      waits, then at work            not called
//	                             place
//	Pause   -                    paused               one more reason to be paused   no effect
//	Resume  -                    not called           one reason less; at work once  no effect
//	                                                  there is none
//	End     ended                ended                ended                          no effect
//
// Several goroutines of a request can wait at once, so a turn is paused until all of them go on.
// The methods are safe for concurrent use, and have no effect on a nil Turn.
type Turn struct {
	// bound is where the places are.
	bound *Bound
	// owner is the client of the request.
	owner string

	// mu guards the fields below.
	mu sync.Mutex
	// waits is the number of things for which the request waits now.
	waits int
	// hold is the place, while the request is at work.
	hold Hold
}

// NewTurn returns a turn in a bound for an owner. It has no place yet.
func NewTurn(b *Bound, owner string) *Turn { return &Turn{bound: b, owner: owner} }

// Begin waits for a place: at the beginning of a request, or instead of Resume where many requests
// may go on at once, such as behind a read that they share or when a key has changed. It returns
// the same errors as [Bound.Take].
func (t *Turn) Begin(ctx context.Context) error {
	if t == nil {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.waits = 0
	t.hold.Release()
	return t.bound.Take(ctx, &t.hold, t.owner, 1, nil)
}

// End gives the place back for good.
func (t *Turn) End() {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.waits++ // a Resume that is still to come has no effect
	t.hold.Release()
}

// Pause gives the place back until [Turn.Resume].
func (t *Turn) Pause() {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.waits++
	t.hold.Release()
}

// waitsFor reports whether a claim in a bound is a wait of the request, and not one for its turn.
func (t *Turn) waitsFor(b *Bound) bool { return t != nil && t.bound != b }

// Resume takes a place again, once the request waits for nothing any more. It does not wait for a
// place, since the request may hold what others wait for. Requests that begin wait longer instead.
func (t *Turn) Resume() {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.waits--; t.waits == 0 {
		t.bound.force(&t.hold, t.owner, 1)
	}
}
