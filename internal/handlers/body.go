package handlers

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"sync"
	"time"

	"kvgateway/internal/bound"
)

// A requestBody reads the body of a request within the bounds that every body has.
//
// Time: a client has credit, at first the grace. The time for which Read waits uses the credit up,
// and each byte that comes adds to it by the rate, up to the patience. A body without credit, or
// beyond its age, ends with [os.ErrDeadlineExceeded]. Time for which nobody reads counts for nothing:
// it is the gateway's own, or NATS'.
//
// Memory: whoever keeps the body claims the size of the buffer before making it, beyond the first
// freeBody bytes. What is claimed is held until the request is answered.
//
// Eviction: while another request waits for room, a body can lose its memory, and an import its
// place, if its client has stalled: if the gateway has waited for it for the bound's patience since a
// sixteenth of what it holds came, or 4 KiB. A body that is complete cannot be evicted.
//
// Read, claim and note are for one goroutine.
type requestBody struct {
	in         io.Reader
	bounds     *bodyBounds
	controller *http.ResponseController
	request    *http.Request
	context    context.Context // of the request; evict ends it for those who wait for memory
	// pauses: a deadline that passes while nobody reads would end the body, as over HTTP/2.
	pauses bool
	// large has the memory of more than smallTransaction bytes; nil if the body is no transaction's.
	large *bound.Bound

	credit time.Duration
	end    time.Time     // when the body is too old
	armed  time.Time     // the read deadline that is set, zero for none
	idle   time.Duration // waited for the client since enough has come
	fresh  int64         // bytes that have come since then
	held   int64         // bytes claimed

	memory, largeMemory, place bound.Hold
	// among is the request's place among those over HTTP/2, which it can lose while it waits for
	// its client; nil for none.
	among *bound.Hold

	mu      sync.Mutex
	evicted bool
	done    bool   // complete or given up; it is not to be evicted any more
	cancel  func() // ends context; nil before the first claim
	onEvict func() // nil for nothing
}

// openBody returns the reader of a request's body. It gives back what it holds with the request.
func (s *Server) openBody(w http.ResponseWriter, r *http.Request) *requestBody {
	rec := w.(*recorder)
	rec.body = s.bodies.open(rec.ResponseWriter, r)
	if r.ProtoMajor > 1 {
		rec.body.among = &rec.place
	}
	return rec.body
}

func (bounds *bodyBounds) open(w http.ResponseWriter, r *http.Request) *requestBody {
	return &requestBody{in: r.Body, bounds: bounds, controller: http.NewResponseController(w),
		request: r, context: r.Context(), pauses: r.ProtoMajor == 2,
		credit: bounds.grace.Duration(), end: time.Now().Add(bounds.age.Duration())}
}

// Read reads what the client has sent, and waits for it within its time.
func (b *requestBody) Read(p []byte) (int, error) {
	began := time.Now()
	if err := b.arm(began); err != nil {
		return 0, err
	}
	turn := bound.TurnOf(b.context)
	turn.Pause()
	if b.among != nil {
		b.among.Evictable(b.evict)
		b.among.Idle(b.idle)
	}
	n, err := b.in.Read(p)
	if b.among != nil {
		b.among.Evictable(nil)
	}
	turn.Resume()
	waited := time.Since(began)
	b.account(n, waited)
	if err != nil || b.pauses {
		b.disarm()
	}
	if n == 0 && errors.Is(err, os.ErrDeadlineExceeded) {
		b.tooSlow(waited).Refuse()
	}
	return n, err
}

// arm sets the read deadline. One that is earlier by an eighth of what is left may stay, since each
// byte moves it.
func (b *requestBody) arm(now time.Time) error {
	left := min(b.credit, b.end.Sub(now))
	if left <= 0 {
		b.tooSlow(0).Refuse()
		return os.ErrDeadlineExceeded
	}
	deadline := now.Add(left)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.evicted {
		return os.ErrDeadlineExceeded
	}
	if early := deadline.Sub(b.armed); early >= 0 && early <= left/8 {
		return nil
	}
	b.armed = deadline
	return b.setDeadline(deadline)
}

// disarm lifts the read deadline: nobody waits for the client.
func (b *requestBody) disarm() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.armed.IsZero() || b.evicted {
		return
	}
	b.armed = time.Time{}
	_ = b.setDeadline(time.Time{})
}

// setDeadline sets the read deadline. Connections that know none (in tests) have none.
func (b *requestBody) setDeadline(t time.Time) error {
	err := b.controller.SetReadDeadline(t)
	if errors.Is(err, http.ErrNotSupported) {
		return nil
	}
	return err
}

// account counts what a read has brought, and how long it took.
func (b *requestBody) account(n int, waited time.Duration) {
	earned := time.Duration(int64(n) * int64(time.Second) / b.bounds.rate.Limit())
	b.credit = min(b.credit-waited+earned, b.bounds.patience.Duration())
	b.idle += waited
	if b.fresh += int64(n); b.fresh >= max(freeBody, b.held/16) {
		b.fresh, b.idle = 0, 0
	}
	b.note()
}

// note tells the bounds how long this client has been waited for. It is to be called now and then
// while the gateway is busy with what has come, too.
func (b *requestBody) note() {
	if b.cancel == nil {
		return // it holds nothing
	}
	b.memory.Idle(b.idle)
	b.largeMemory.Idle(b.idle)
	b.place.Idle(b.idle)
}

// tooSlow returns the bound that a body has exceeded whose last read waited in vain.
func (b *requestBody) tooSlow(waited time.Duration) *bound.Bound {
	switch {
	case !time.Now().Before(b.end):
		return b.bounds.age
	case waited >= b.bounds.grace.Duration():
		return b.bounds.patience
	}
	return b.bounds.rate
}

// claim makes room for a buffer of so many bytes, in the place of a smaller one. It returns a
// *[bound.FullError] if there is none in time, or errBodyEvicted.
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

// take takes of a bound for the body, or more of it.
func (b *requestBody) take(of *bound.Bound, hold *bound.Hold, size int64) error {
	b.mu.Lock()
	if b.cancel == nil {
		b.context, b.cancel = context.WithCancel(b.context)
	}
	b.mu.Unlock()
	var err error
	if hold.Size() > 0 {
		err = hold.Extend(b.context, size)
	} else {
		err = of.Take(b.context, hold, ownerOf(b.request), size, b.evict)
	}
	switch {
	case b.wasEvicted():
		return errBodyEvicted
	case err == nil && of != b.bounds.imports:
		b.held = hold.Size()
	}
	return err
}

// errBodyEvicted: what a body held was given to another request while it waited for more.
var errBodyEvicted = problemError{code: codeBusy, members: members{"bound": "body-memory"},
	detail: "The gateway holds as much as it may at once, and nothing was done. Try again after Retry-After."}

// whenEvicted makes evict do something more. It must not block.
func (b *requestBody) whenEvicted(do func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.onEvict = do
}

// evict ends the body, for the sake of another request that waits.
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

func (b *requestBody) wasEvicted() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.evicted
}

// complete notes that nothing is waited for any more but the gateway's own work.
func (b *requestBody) complete() {
	b.disarm()
	b.mu.Lock()
	b.done = true
	held := b.cancel != nil
	b.mu.Unlock()
	if held {
		b.memory.Evictable(nil)
		b.largeMemory.Evictable(nil)
		b.place.Evictable(nil)
	}
}

// release gives back all that the body holds.
func (b *requestBody) release() {
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
