package handlers

import (
	"context"
	"errors"
	"net/http"
	"runtime"
	"sync"
	"time"

	"kvgateway/internal/bound"
)

const (
	// freeAnswer is the size up to which an answer is not counted: net/http has it in buffers of its
	// own, which it has for each connection and request anyway.
	freeAnswer = 4 << 10

	// answerPart is how much of a value is written at a time. Between two parts the client is known to
	// have taken something. With parts of 64 KiB a value of 900 KB takes a fifth more CPU.
	answerPart = 256 << 10

	// cutAfter is how long an answer that was evicted may still wait in a write before its
	// connection is closed: an HTTP/2 stream cannot be ended while its connection takes nothing.
	cutAfter = 250 * time.Millisecond
)

var (
	errEvicted = errors.New("the client did not take its answer, and others waited for the room")
	errTooLong = problemError{code: codeTimeout, detail: "The answer took longer than answers may, " +
		"and ends here. Ask for less at once, or take it faster."}
)

// A delivery is an answer on its way to its client: what it holds of the bounds, and how fast the
// client takes it. Its methods are for one goroutine at a time, but for evict and cutIfStuck.
//
// It holds nothing, or at least what the answer has in memory. While a part is being written, and
// only then, it can be evicted: the write fails, and the handler has to give up.
type delivery struct {
	limits     *answerLimits
	rec        *recorder
	controller *http.ResponseController
	owner      string
	shared     *connection // that carries other answers too; nil if none
	part       string      // of the owner, for what that connection holds

	held         bound.Hold // of all bytes of answers
	onConnection bound.Hold // of those of the connection
	told         told       // of its steps; nil if it cannot tell them

	began time.Time     // when the first part was written
	spent time.Duration // in writes
	sent  int64

	mu      sync.Mutex
	writing bool
	evicted bool
}

// delivery returns the request's, which is made when it is needed first.
func (rec *recorder) delivery() *delivery {
	if rec.answer == nil {
		d := &delivery{limits: rec.limits, rec: rec, owner: ownerOf(rec.request),
			controller: http.NewResponseController(rec.ResponseWriter)}
		if rec.request.ProtoMajor > 1 {
			d.shared, d.part = connectionOf(rec.request), perConnection(rec.request)
		}
		rec.answer = d
	}
	return rec.answer
}

// holds reports whether anything is held.
func (d *delivery) holds() bool { return d.held.Size() > 0 }

// try holds size bytes if there is room for them now.
func (d *delivery) try(size int64) bool {
	if d.shared != nil && !d.limits.connection.Try(&d.onConnection, d.part, size, nil) {
		return false
	}
	if d.limits.bytes.Try(&d.held, d.owner, size, nil) {
		return true
	}
	d.onConnection.Release()
	return false
}

// wait holds size bytes when there is room for them. It returns a *[bound.FullError] if there is
// none in time.
func (d *delivery) wait(ctx context.Context, size int64) error {
	if d.shared != nil {
		if err := d.limits.connection.Take(ctx, &d.onConnection, d.part, size, nil); err != nil {
			return err
		}
	}
	err := d.limits.bytes.Take(ctx, &d.held, d.owner, size, nil)
	if err != nil {
		d.onConnection.Release()
	}
	return err
}

// hold makes sure that size bytes are held, which are in memory already: it is for few.
func (d *delivery) hold(size int64) error {
	if d.try(size) {
		return nil
	}
	return d.wait(d.rec.request.Context(), size)
}

// shrink gives back what is held beyond size.
func (d *delivery) shrink(size int64) {
	d.held.Shrink(size)
	d.onConnection.Shrink(size)
}

func (d *delivery) release() {
	d.held.Release()
	d.onConnection.Release()
}

// write sends bytes, part by part. It returns an error if the client takes no more.
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

func (d *delivery) writePart(part []byte) error {
	now := time.Now()
	if d.began.IsZero() {
		d.began = now
		d.watchSteps()
	}
	if err := d.start(now, len(part)); err != nil {
		return err
	}
	_, err := d.rec.Write(part)
	d.stop()
	d.spent += time.Since(now)
	d.sent += int64(len(part))
	if err != nil && errors.Is(err, errDeadline) {
		d.limits.rate.Refuse()
	}
	return err
}

// flush writes what net/http has in its buffers of an answer over HTTP/2. Behind the handler
// nothing would count it: 90,000 small answers that nobody read took 1.3 GB. It waits for the
// client in the request's place, which it can lose, or in that of a long poll.
func (d *delivery) flush() {
	d.mu.Lock()
	if d.evicted {
		d.mu.Unlock()
		return
	}
	d.writing = true
	d.mu.Unlock()
	d.rec.place.Evictable(d.evict)
	_ = d.controller.Flush()
	d.stop()
}

// watchSteps notes the steps in which the client takes a part. Over HTTP/2 they are those of all requests.
func (d *delivery) watchSteps() {
	if d.shared != nil {
		return
	}
	if c := connectionOf(d.rec.request); c != nil && c.told != nil {
		step := d.held.Progress
		d.told = c.told
		d.told.OnStep(&step)
	}
}

// start allows a write to take as long as it may: the time that all that was sent may take, less
// what was spent on it; and not long beyond the age of the answer.
func (d *delivery) start(now time.Time, bytes int) error {
	left := d.limits.time(d.sent+int64(bytes)) - d.spent
	left = min(left, d.limits.age.Duration()+d.limits.grace.Duration()-now.Sub(d.began))
	d.mu.Lock()
	if d.evicted {
		d.mu.Unlock()
		return errEvicted
	}
	_ = d.controller.SetWriteDeadline(now.Add(left)) // else the server's own bound holds
	d.writing = true
	d.mu.Unlock()
	d.held.Evictable(d.evict)
	d.onConnection.Evictable(d.evict)
	d.rec.place.Evictable(d.evict)
	return nil
}

func (d *delivery) stop() {
	d.held.Evictable(nil)
	d.onConnection.Evictable(nil)
	d.rec.place.Evictable(nil)
	d.mu.Lock()
	d.writing = false
	d.mu.Unlock()
}

// evict ends the write that is under way, or else the next. It must not touch the connection in
// between: the request may be over, and the connection another's.
func (d *delivery) evict() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.evicted = true
	if !d.writing {
		return
	}
	_ = d.controller.SetWriteDeadline(time.Now().Add(-time.Second))
	if d.shared != nil {
		time.AfterFunc(cutAfter, d.cutIfStuck)
	}
}

// hurry ends the write that is under way, if there is one.
func (d *delivery) hurry() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.writing {
		_ = d.controller.SetWriteDeadline(time.Now().Add(-time.Second))
	}
}

func (d *delivery) cutIfStuck() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.writing {
		d.shared.conn.Close()
	}
}

// tooLong reports whether the answer has come to its age.
func (rec *recorder) tooLong() bool {
	d := rec.answer
	if d == nil || d.began.IsZero() || time.Since(d.began) <= d.limits.age.Duration() {
		return false
	}
	d.limits.age.Refuse()
	return true
}

// end gives all back when the request is over. What net/http has still to write gets its time.
func (d *delivery) end() {
	d.release()
	if d.told != nil {
		d.told.OnStep(nil)
	}
	if d.began.IsZero() || d.rec.request.ProtoMajor > 1 || d.rec.taken {
		return
	}
	_ = d.controller.SetWriteDeadline(time.Now().Add(lastWrite))
}

// lastWrite is how long net/http may take for what it has in its buffers when the handler is done,
// and how long a connection can lie idle in tests, whose servers set no deadline of their own.
const lastWrite = 2 * time.Minute

// afford reads what the answer needs, and holds the bytes that it takes. If there is no room for
// them, what was read is dropped, and read again when there is: a request that waits holds nothing.
// What is likely to be large is read when there is room for the bytes that it likely takes.
func afford[T any](rec *recorder, likely int64, read func() (value T, size int64, err error)) (T, error) {
	var none T
	if likely <= freeAnswer {
		value, size, err := read()
		if err != nil || size <= freeAnswer || rec.delivery().try(size) {
			return value, err
		}
		likely = size
	}
	for d, held := rec.delivery(), likely; ; {
		if err := d.wait(patient(rec.request), held); err != nil {
			return none, err
		}
		value, size, err := read()
		if err != nil || size <= held {
			d.shrink(size)
			return value, err
		}
		d.release() // it is larger than expected
		held = size
	}
}
