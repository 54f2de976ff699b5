package handlers

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"sync"
	"time"

	"kvgateway/internal/auth"
	"kvgateway/internal/bound"
	"kvgateway/internal/handlers/problem"
)

// A requestBody reads the body of a request within the bounds that every body has.
//
// Time: a body earns its time. A client has a credit, at first the grace of 10 s. The time for
// which Read waits uses the credit up, and each KiB that comes adds a second to it, up to 30 s, the
// patience. So a line of 8 KiB/s can carry an import of any size for an hour, and a body of one
// byte each few seconds ends after ten. (A fixed total of 30 s, as there was before, cut honest
// clients with large values and let others trickle an import for ever.) A body without credit, or
// beyond its age, ends with [os.ErrDeadlineExceeded]. Time in which nobody calls Read does not
// count, so an import that NATS holds back is not slow. TestBodiesHaveTheirTime shows all of this.
//
// Memory: whoever keeps the body claims the size of the buffer before making it, beyond the first
// freeBody bytes. What is claimed is held until the answer is made.
//
// Eviction: while another request waits for room, a body can lose its memory, and an import its
// place, if its client has stalled. A client has stalled if the gateway has waited for it for the
// patience of the bound, one second, and less than 4 KiB has come meanwhile, or less than a
// sixteenth of what the body holds. So a client must send 64 KiB each second for each MiB that it
// holds, and nobody keeps memory occupied cheaply. The bound evicts the largest hold first. Over
// HTTP/2 a request can also lose its place among those that are being answered, whether or not its
// body holds anything (TestStalledHTTP2BodiesKeepNobodyOut).
//
// All this happens only while Read waits, or while an import waits until its client reads the
// report. What the gateway does with what has come is not held against the client, however long
// NATS takes for it. While a body waits for more room it can lose the memory that it has, since
// bodies that each have some would wait for each other else.
//
//	the body           can lose its memory  can lose its place  then
//	waits in Read      yes                  yes                 Read fails: 408
//	waits to be read   yes                  yes                 the report is cut
//	waits for room     yes                  no                  the claim fails: errBodyEvicted
//	otherwise          no                   no                  -
//
// Read and claim are for the goroutine that reads the body. evict, awaitClient and goOn may be
// called by any goroutine.
type requestBody struct {
	// in is where the body comes from.
	in io.Reader
	// bounds are those of all bodies.
	bounds *bodyBounds
	// controller sets the read deadline.
	controller *http.ResponseController
	// context is that of the request, with the owner of what the body takes. evict cancels it,
	// which ends a wait for memory.
	context context.Context
	// disarmAlways reports whether the read deadline must be lifted after each Read, since a
	// deadline that passes while nobody reads would end the body. It would over HTTP/2.
	disarmAlways bool
	// large is the bound for bodies of more than smallTransaction bytes; nil if the body is not
	// that of a transaction.
	large *bound.Bound

	// credit is how long Read may still wait for the client.
	credit time.Duration
	// end is when the body is too old.
	end time.Time
	// armed is the read deadline that is set; zero if there is none.
	armed time.Time
	// idle is how long Read has waited since enough bytes came for the client not to be stalled.
	idle time.Duration
	// fresh counts the bytes that have come since then.
	fresh int64
	// held is how many bytes are claimed.
	held int64

	// memory is what is claimed of the memory of bodies, largeMemory what is claimed of large in
	// its place, and place is the place of an import.
	memory, largeMemory, place bodyHold
	// requestPlace is the place of the request among those over HTTP/2 that are being answered. The
	// request can lose it while Read waits for the client. It is nil over HTTP/1.1.
	requestPlace *bound.Hold

	// mu guards the fields below. It is also held while the read deadline is set, so that none is
	// set over that of evict.
	mu sync.Mutex
	// evicted reports whether the body has lost what it held to another request.
	evicted bool
	// done reports whether the body is complete or given up, so that it must not be evicted any
	// more.
	done bool
	// rightsEnded reports whether the body was ended with the rights of its caller.
	rightsEnded bool
	// cancel ends context; it is nil before the first claim.
	cancel func()
	// onEvict is called by evict; nil for nothing. It may be called, and may be under way, when the
	// request is over.
	onEvict func()
	// cutTimer calls onEvict once more some time after the rights have ended; nil before that.
	cutTimer *time.Timer

	// tie ends the body with the rights of its caller. still reports whether the body may go
	// on with other rights.
	tie   tie
	still func(*auth.Rights) bool
}

// openFor returns the reader of a request's body. What the body holds is given back when the
// request ends.
func (bounds *bodyBounds) openFor(x *exchange) *requestBody {
	x.body = bounds.open(x.ResponseWriter, x.request)
	if x.request.ProtoMajor > 1 {
		x.body.requestPlace = &x.answeringPlace
	}
	x.body.tieToCaller(x)
	return x.body
}

// open returns the reader of a request's body within these bounds.
func (bounds *bodyBounds) open(w http.ResponseWriter, r *http.Request) *requestBody {
	return &requestBody{
		in:           r.Body,
		bounds:       bounds,
		controller:   http.NewResponseController(w),
		context:      r.Context(),
		disarmAlways: r.ProtoMajor == 2,
		credit:       bounds.grace.Duration(),
		end:          time.Now().Add(bounds.age.Duration()),
	}
}

// Read reads what the client has sent, and waits for it within its time. While it waits, the
// request is not at work.
func (b *requestBody) Read(p []byte) (int, error) {
	began := time.Now()
	if err := b.arm(began); err != nil {
		return 0, err
	}
	turn := bound.TurnOf(b.context)
	turn.Pause()
	if b.requestPlace != nil {
		b.requestPlace.Evictable(b.evict)
		b.requestPlace.Idle(b.idle)
	}
	b.awaitClient(b.idle)
	n, err := b.in.Read(p)
	b.goOn()
	if b.requestPlace != nil {
		b.requestPlace.Evictable(nil)
	}
	turn.Resume()
	waited := time.Since(began)
	b.account(n, waited)
	if err != nil || b.disarmAlways {
		b.disarm()
	}
	if n == 0 && errors.Is(err, os.ErrDeadlineExceeded) {
		b.tooSlow(waited).Refuse()
	}
	return n, err
}

// arm sets the read deadline to when the credit or the age is used up. Each byte that comes moves
// that time, so a deadline that is set already may stay if it is early by at most an eighth of what
// is left.
func (b *requestBody) arm(now time.Time) error {
	left := min(b.credit, b.end.Sub(now))
	if left <= 0 {
		b.tooSlow(0).Refuse()
		return os.ErrDeadlineExceeded
	}
	deadline := now.Add(left)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.evicted || b.rightsEnded {
		return os.ErrDeadlineExceeded
	}
	if early := deadline.Sub(b.armed); early >= 0 && early <= left/8 {
		return nil
	}
	b.armed = deadline
	return b.setDeadline(deadline)
}

// disarm lifts the read deadline, since nobody waits for the client.
func (b *requestBody) disarm() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.armed.IsZero() || b.evicted || b.rightsEnded {
		return
	}
	b.armed = time.Time{}
	_ = b.setDeadline(time.Time{})
}

// setDeadline sets the read deadline. Some connections in tests have no deadlines, which is no
// error.
func (b *requestBody) setDeadline(t time.Time) error {
	err := b.controller.SetReadDeadline(t)
	if errors.Is(err, http.ErrNotSupported) {
		return nil
	}
	return err
}

// account adds what a read has brought to the credit, and takes off it how long the read waited.
func (b *requestBody) account(n int, waited time.Duration) {
	earned := time.Duration(int64(n) * int64(time.Second) / b.bounds.rate.Limit())
	b.credit = min(b.credit-waited+earned, b.bounds.patience.Duration())
	b.idle += waited
	if b.fresh += int64(n); b.fresh >= max(freeBody, b.held/16) {
		b.fresh, b.idle = 0, 0
	}
}

// awaitClient notes that the gateway waits for the client, which was idle for some time already.
// Until goOn, the body can be evicted.
func (b *requestBody) awaitClient(idle time.Duration) {
	if b.cancel == nil { // The body holds nothing.
		return
	}
	evict := b.evict
	b.memory.await(evict, idle)
	b.largeMemory.await(evict, idle)
	b.place.await(evict, idle)
}

// goOn notes that a wait for the client is over.
func (b *requestBody) goOn() {
	if b.cancel == nil {
		return
	}
	b.memory.resume()
	b.largeMemory.resume()
	b.place.resume()
}

// tooSlow returns the bound that the body has exceeded after a read that waited so long in vain.
func (b *requestBody) tooSlow(waited time.Duration) *bound.Bound {
	switch {
	case !time.Now().Before(b.end):
		return b.bounds.age
	case waited >= b.bounds.grace.Duration():
		return b.bounds.patience
	}
	return b.bounds.rate
}

// claim makes room for a buffer of so many bytes that replaces a smaller one. It returns a
// *[bound.FullError] if there is no room in time, and errBodyEvicted if the body lost what it held
// while it waited.
func (b *requestBody) claim(size int64) error {
	if size <= freeBody {
		return nil
	}
	b.disarm()
	hold, of := &b.memory, b.bounds.memory
	if b.large != nil && size > smallTransaction {
		hold, of = &b.largeMemory, b.large
	}
	err := b.take(of, hold, size)
	if err == nil && hold == &b.largeMemory {
		b.memory.Release()
	}
	return err
}

// take takes size of a bound for the body. If the body holds some of it already, take extends that
// to size.
func (b *requestBody) take(of *bound.Bound, hold *bodyHold, size int64) error {
	b.mu.Lock()
	if b.cancel == nil {
		b.context, b.cancel = context.WithCancel(b.context)
	}
	b.mu.Unlock()
	b.memory.await(b.evict, 0)
	b.largeMemory.await(b.evict, 0)
	var err error
	if hold.Size() > 0 {
		err = hold.Extend(b.context, size)
	} else {
		err = of.Take(b.context, &hold.Hold, bound.OwnerOf(b.context), size, nil)
	}
	b.memory.resume()
	b.largeMemory.resume()
	hold.taken()
	switch {
	case b.wasEvicted():
		return errBodyEvicted
	case err == nil && of != b.bounds.imports:
		b.held = hold.Size()
	}
	return err
}

// errBodyEvicted is the error of a body that lost what it held to another request while it waited
// for more.
var errBodyEvicted = problem.OfBound("body-memory")

// whenEvicted sets what evict does beside ending the body. It is mostly called with b.mu held, and
// must not block.
func (b *requestBody) whenEvicted(do func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.onEvict = do
}

// evict ends the body so that another request can have what it holds. A bound calls it.
func (b *requestBody) evict() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.done {
		return
	}
	b.evicted = true
	if b.cancel != nil {
		b.cancel()
	}
	_ = b.controller.SetReadDeadline(time.Now())
	if b.onEvict != nil {
		b.onEvict()
	}
}

// wasEvicted reports whether the body was ended by evict.
func (b *requestBody) wasEvicted() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.evicted
}

// complete notes that the whole body has come. What happens from here on is the gateway's own work,
// for which its client must not lose its memory.
func (b *requestBody) complete() {
	b.disarm()
	b.tie.close()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.done = true
}

// release gives back all that the body holds. It may be called more than once.
func (b *requestBody) release() {
	b.tie.close()
	b.mu.Lock()
	b.done = true
	cancel := b.cancel
	b.mu.Unlock()
	if cancel == nil {
		return
	}
	cancel()
	b.memory.Release()
	b.largeMemory.Release()
	b.place.Release()
}
