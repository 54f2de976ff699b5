package handlers

import (
	"context"
	"errors"
	"net/http"
	"runtime"
	"time"

	"kvgateway/internal/bound"
	"kvgateway/internal/handlers/problem"
	"kvgateway/internal/sse/stream"
)

const (
	// freeAnswer is the size up to which an answer is not counted: net/http keeps it in buffers
	// that it has for each connection and request anyway.
	freeAnswer = 4 << 10

	// answerPart is how many bytes of an answer are written at a time. Between two parts it is
	// known that the client has taken something. With parts of 64 KiB a GET of 900 KB takes a fifth
	// more CPU (measured).
	answerPart = 256 << 10
)

var (
	// errEvicted is the error of a write whose answer was evicted.
	errEvicted = errors.New("the client did not take its answer, and others waited for the room")
	// errTooLong ends an answer that has reached its age.
	errTooLong = problem.Error{Code: problem.Timeout,
		Detail: "The answer took longer than answers may, and ends here. " +
			"Ask for less at once, or read it faster."}
)

// A delivery is an answer on the way to its client. It holds what the answer takes of the bounds,
// and measures how fast the client takes it.
//
// A delivery holds nothing, or at least as much as the answer has in memory. While a part of the
// answer is being written, and only then, a bound that needs the room can evict it: the write
// fails, and the handler has to give up. Over HTTP/2 it can be evicted in the same way for the
// place of the request among those that are being answered, also if it holds nothing. Before and
// after, the time is the gateway's own, for which the client must not lose its answer. (The report
// of an import evicts its answer itself, and may do so between two writes; then the next write
// fails.)
//
// A flush is a write, too; it has the deadline that is set already, and does nothing once the
// answer is evicted.
//
// Its methods are for the goroutine that answers, one at a time, except for evict, which any
// goroutine may call.
type delivery struct {
	// answerLimits are the limits of all answers.
	answerLimits *answerLimits
	// x is the exchange of the request.
	x *exchange
	// controller sets the write deadline.
	controller *http.ResponseController
	// owner is whose share of the budget the answer takes.
	owner string
	// http2 is the connection if it carries other answers too; nil if it does not or is not known.
	http2 *connection
	// part is the part of the owner for what that connection holds.
	part string

	// held is what the answer takes of the budget of all answers.
	held bound.Hold
	// onConnection is what it takes of the bound of answers over HTTP/2.
	onConnection bound.Hold
	// stepped is the connection if it reports its steps; nil if it does not.
	stepped steppedConn

	// began is when the first part was written; zero before.
	began time.Time
	// spent is the time spent in writes.
	spent time.Duration
	// sent counts the bytes that were written.
	sent int64

	// writes lets a write be evicted.
	writes *stream.WriteGuard
}

// delivery returns the request's delivery, which is made when it is first needed.
func (x *exchange) delivery() *delivery {
	if x.sending == nil {
		d := &delivery{
			answerLimits: x.answerLimits,
			x:            x,
			owner:        x.owner(),
			controller:   http.NewResponseController(x.ResponseWriter),
		}
		if x.request.ProtoMajor > 1 {
			d.http2, d.part = connectionOf(x.request), connectionPartOf(x.request)
		}
		var closeShared func()
		if d.http2 != nil {
			closeShared = func() { d.http2.conn.Close() }
		}
		d.writes = stream.NewWriteGuard(d.controller, closeShared)
		x.sending = d
	}
	return x.sending
}

// holds reports whether the delivery holds anything.
func (d *delivery) holds() bool { return d.held.Size() > 0 }

// try holds size bytes if there is room for them now, and reports whether it does.
func (d *delivery) try(size int64) bool {
	if d.http2 != nil && !d.answerLimits.connectionBytes.Try(&d.onConnection, d.part, size, nil) {
		return false
	}
	if d.answerLimits.bytes.Try(&d.held, d.owner, size, nil) {
		return true
	}
	d.onConnection.Release()
	return false
}

// wait holds size bytes as soon as there is room for them. It returns a *[bound.FullError] if there
// is none in time.
func (d *delivery) wait(ctx context.Context, size int64) error {
	if d.http2 != nil {
		err := d.answerLimits.connectionBytes.Take(ctx, &d.onConnection, d.part, size, nil)
		if err != nil {
			return err
		}
	}
	err := d.answerLimits.bytes.Take(ctx, &d.held, d.owner, size, nil)
	if err != nil {
		d.onConnection.Release()
	}
	return err
}

// hold makes the delivery hold size bytes that are in memory already. A wait then keeps uncounted
// bytes in memory, so hold is for small sizes only.
func (d *delivery) hold(size int64) error {
	if d.try(size) {
		return nil
	}
	return d.wait(d.x.context(), size)
}

// shrink gives back what is held beyond size.
func (d *delivery) shrink(size int64) {
	d.held.Shrink(size)
	d.onConnection.Shrink(size)
}

// release gives back all that is held.
func (d *delivery) release() {
	d.held.Release()
	d.onConnection.Release()
}

// write sends bytes in parts of answerPart. It returns an error if the client takes no more.
func (d *delivery) write(data []byte) error {
	for len(data) > 0 {
		part := data[:min(len(data), answerPart)]
		if err := d.writePart(part); err != nil {
			return err
		}
		data = data[len(part):]
		if len(data) > 0 {
			runtime.Gosched()
		}
	}
	return nil
}

// writePart sends one part, and measures how long the client took for it.
func (d *delivery) writePart(part []byte) error {
	now := time.Now()
	if d.began.IsZero() {
		d.began = now
		d.watchSteps()
	}
	if err := d.start(now, len(part)); err != nil {
		return err
	}
	_, err := d.x.Write(part)
	d.stop()
	d.spent += time.Since(now)
	d.sent += int64(len(part))
	if err != nil && errors.Is(err, errDeadline) {
		d.answerLimits.rate.Refuse()
	}
	return err
}

// flush writes what net/http has in its buffers of an answer over HTTP/2. After the handler has
// returned nothing would count it: 90,000 small answers that nobody read took 1.3 GB (measured).
// Meanwhile the request keeps its place among those that are being answered, which it can lose if
// the client takes nothing, or its place as a long poll.
func (d *delivery) flush() {
	if !d.writes.Begin(time.Time{}) {
		return
	}
	d.x.answeringPlace.Evictable(d.evict)
	_ = d.controller.Flush()
	d.stop()
}

// watchSteps counts each step in which the client takes some of a part as progress. Over HTTP/2
// there are no such steps, since those of the connection are steps of all its requests.
func (d *delivery) watchSteps() {
	if d.http2 != nil {
		return
	}
	if c := connectionOf(d.x.request); c != nil && c.stepped != nil {
		step := d.held.Progress
		d.stepped = c.stepped
		d.stepped.OnStep(&step)
	}
}

// start gives a write its time: what answer-grace and answer-rate give for all bytes so far, less
// the time spent on the earlier ones. It lets no write go on for much longer than the age of the
// answer. From here to stop the answer can be evicted.
func (d *delivery) start(now time.Time, bytes int) error {
	left := d.answerLimits.time(d.sent+int64(bytes)) - d.spent
	most := d.answerLimits.age.Duration() + d.answerLimits.grace.Duration()
	left = min(left, most-now.Sub(d.began))
	if !d.writes.Begin(now.Add(left)) {
		return errEvicted
	}
	d.held.Evictable(d.evict)
	d.onConnection.Evictable(d.evict)
	d.x.answeringPlace.Evictable(d.evict)
	return nil
}

// stop ends the time in which the answer can be evicted.
func (d *delivery) stop() {
	d.held.Evictable(nil)
	d.onConnection.Evictable(nil)
	d.x.answeringPlace.Evictable(nil)
	d.writes.End()
}

// evict ends the write that is under way, or the next one.
func (d *delivery) evict() {
	d.writes.Refuse()
	d.writes.Cut()
}

// tooLong reports whether the answer has reached its age.
func (x *exchange) tooLong() bool {
	d := x.sending
	if d == nil || d.began.IsZero() || time.Since(d.began) <= d.answerLimits.age.Duration() {
		return false
	}
	d.answerLimits.age.Refuse()
	return true
}

// end gives back all that is held when the request is over. It sets the time that net/http has for
// what it has still to write.
func (d *delivery) end() {
	d.release()
	if d.stepped != nil {
		d.stepped.OnStep(nil)
	}
	if d.began.IsZero() || d.x.request.ProtoMajor > 1 || d.x.taken {
		return
	}
	_ = d.controller.SetWriteDeadline(time.Now().Add(lastWrite))
}

// lastWrite is how long net/http may take to write what is in its buffers after the handler has
// returned. In tests, whose servers set no deadline of their own, it is also how long a connection
// may be idle.
const lastWrite = 2 * time.Minute
