package stream

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// resetTime is how long to wait for the TCP reset after a write to a connection that its client
	// has closed. That a client farther away has gone shows at the next heartbeat.
	resetTime = 300 * time.Millisecond
	// patienceSlack is the part of the patience, a third, that may have passed when a write begins
	// under an earlier deadline: to set a deadline costs a twentieth of a delivery.
	patienceSlack = 3
)

// A Writer writes a stream to one client through net/http, in the goroutine of the handler, which
// waits between two events.
//
// [Writer.Run] asks the source, writes what it returns, and then waits for a token in its channel.
// Everything that can happen meanwhile arrives as such a token, since to wait for one channel costs
// half as much as to wait for several: a wake, the time (clockDue), and the end of the request's
// context, which means that the client has gone (clientGone) or, where HalfClosable is set, only
// that it sends no more (probe). The flags are set before the token is sent, and taken by the
// goroutine.
//
// What is written counts as bytes that wait for the client (held), unless it is small enough for
// the buffers that net/http has anyway. If others need the room, the write is cut from another
// goroutine (writes).
type Writer struct {
	// w is the answer.
	w http.ResponseWriter
	// controller sets the deadline of writes, and flushes.
	controller *http.ResponseController
	// limits are the bounds that all streams share.
	limits *Limits
	// held counts what is being written, if it has more than freeBytes.
	held unsentHold
	// writes lets a counted write be cut.
	writes *WriteGuard
	// writeDeadline is until when the next write may take. It is zero if there is no deadline.
	writeDeadline time.Time
	// sent is how many bytes were written.
	sent int64

	// HalfClosable says that the end of the request's context can mean that the client sends no
	// more and reads on, as over HTTP/1.1. Then only a write that fails ends the stream. It must be
	// set before Run.
	HalfClosable bool

	// dismissable says that the stream is to end with a goaway.
	dismissable
	// cutTimer ends a write of a dismissed stream that is still under way then. It is nil before
	// the stream is dismissed. mu guards it, and over.
	cutTimer *time.Timer
	mu       sync.Mutex
	// over says that Run has returned.
	over bool

	// wakeUp receives the tokens for which Run waits. It has room for one.
	wakeUp chan struct{}
	// probed says that a probe was sent already.
	probed bool
	// clientGone says that the client has gone. To ask the context would take its lock.
	clientGone atomic.Bool
	// probe says that something is to be sent, to find out whether the client has gone.
	probe atomic.Bool
	// clockDue says that the time of the next heartbeat, or of the end, has come.
	clockDue atomic.Bool
}

// NewWriter returns the writer of an answer whose headers are set, to the client that is the owner.
// Nothing is sent before the first write. If the answer shares its connection with others,
// closeShared closes that; otherwise it is nil.
func NewWriter(w http.ResponseWriter, limits *Limits, owner string, closeShared func()) *Writer {
	s := &Writer{
		w: w, controller: http.NewResponseController(w), limits: limits,
		wakeUp: make(chan struct{}, 1),
	}
	s.writes = NewWriteGuard(s.controller, closeShared)
	s.held = unsentHold{limits: limits, owner: owner, evict: s.writes.Cut}
	return s
}

// Write sends data at once. No other stream may have the same bytes. The patience with the client
// is for each part of [FlushAt] bytes: a client that reads is not cut because a value is large.
func (s *Writer) Write(data []byte) (n int, err error) { return s.counted(data, false) }

// writeAll writes data in parts. Without data it sends the headers of the answer.
func (s *Writer) writeAll(data []byte) (n int, err error) {
	for first := true; err == nil && (first || len(data) > 0); first = false {
		if len(data) > freeBytes && s.writes.Refused() {
			return n, errHeldTooMuch
		}
		part := data[:min(len(data), FlushAt)]
		var wrote int
		wrote, err = s.write(part)
		n, data = n+wrote, data[len(part):]
	}
	return n, err
}

// write writes and flushes one part.
func (s *Writer) write(part []byte) (int, error) {
	now, patience := time.Now(), s.limits.patience
	if s.writeDeadline.Sub(now) < patience-patience/patienceSlack {
		s.writeDeadline = now.Add(patience)
		if err := s.controller.SetWriteDeadline(s.writeDeadline); err != nil {
			return 0, fmt.Errorf("bound a write: %w", err)
		}
		if s.writes.Refused() { // The new deadline may have replaced that of a cut.
			return 0, errHeldTooMuch
		}
	}
	n, err := s.w.Write(part)
	s.sent += int64(n)
	if err != nil {
		return n, err
	}
	err = s.controller.Flush()
	s.held.noteProgress()
	return n, err
}

// Sent returns how many bytes were written.
func (s *Writer) Sent() int64 { return s.sent }

// unbind removes the deadline of the last write if the stream may say nothing before it: over
// HTTP/2 the stream would be reset at that moment, whether or not a write is under way.
func (s *Writer) unbind(until time.Time) error {
	slack := s.limits.patience / patienceSlack
	if s.writeDeadline.IsZero() || until.Add(slack).Before(s.writeDeadline) {
		return nil
	}
	s.writeDeadline = time.Time{}
	if err := s.controller.SetWriteDeadline(s.writeDeadline); err != nil {
		return fmt.Errorf("unbind a stream: %w", err)
	}
	return nil
}

// Run sends what the source has to say, until the source or the client ends the stream, or it
// reaches its age, or it is dismissed with GoAway. The package documentation has the table of
// events.
func (s *Writer) Run(ctx context.Context, source Source, pace Pace) {
	defer s.stopCutting()
	clock := newClock(time.Now(), pace)
	timer := time.AfterFunc(time.Until(clock.due()), func() { s.signal(&s.clockDue) })
	defer timer.Stop()
	left := &s.clientGone
	if s.HalfClosable {
		left = &s.probe
	}
	defer context.AfterFunc(ctx, func() { s.signal(left) })()
	defer context.AfterFunc(s.limits.ending, s.cutForGood)()
	err := s.send(source.Begin)
	for over := false; !over && err == nil; {
		if over, err = s.drain(source, &clock); over || err != nil {
			if errors.Is(err, errNoRoom) {
				s.tryGoAway(source)
			}
			return
		}
		if err = s.unbind(clock.due()); err != nil {
			return
		}
		<-s.wakeUp
		if s.clientGone.Load() {
			return
		}
		if d := s.dismissal(); d != nil {
			s.sendGoAway(source, d)
			return
		}
		if s.clockDue.CompareAndSwap(true, false) {
			over, err = s.sendByClock(source, &clock)
			timer.Reset(time.Until(clock.due()))
		}
		if s.probe.CompareAndSwap(true, false) && !over && err == nil {
			err = s.sendProbe(source)
		}
	}
}

// Wake tells that the source may have something to say. It can be called on any goroutine, also
// before Run, and never blocks.
func (s *Writer) Wake() {
	select {
	case s.wakeUp <- struct{}{}:
	default:
	}
}

// GoAway makes the stream end with a goaway for a reason; see [LoopStream.GoAway].
func (s *Writer) GoAway(reason string, by time.Time) {
	s.dismiss(reason, by)
	s.cutLater(s.dismissal().by)
	s.Wake()
}

// signal sets a flag and then sends a token, on any goroutine.
func (s *Writer) signal(flag *atomic.Bool) {
	flag.Store(true)
	s.Wake()
}

// sendProbe sends a heartbeat, to find out whether the client has gone. A connection that its
// client has closed answers the first one with a reset. Nothing but the next write tells of it, so
// a second heartbeat follows.
func (s *Writer) sendProbe(source Source) error {
	err := s.send(source.Beat)
	if !s.probed {
		s.probed = true
		time.AfterFunc(resetTime, func() { s.signal(&s.probe) })
	}
	return err
}

// sendByClock sends what is due by the clock: a heartbeat, or the last block of the stream.
func (s *Writer) sendByClock(source Source, c *clock) (over bool, err error) {
	now := time.Now()
	if c.expired(now) {
		return true, s.send(func(b []byte) []byte { return source.GoAway(b, reasonMaxAge) })
	}
	c.noteBeat(now)
	return false, s.send(source.Beat)
}

// send writes what appendTo appends to an empty buffer.
func (s *Writer) send(appendTo func([]byte) []byte) (err error) {
	withBuffer(func(b []byte) []byte {
		b = appendTo(b)
		_, err = s.Write(b)
		return b
	})
	return err
}

// drain sends all that the source has to send now, and reports whether it has ended. It returns
// early when the stream is dismissed, and when it reaches its age, since a client that is always
// behind has to come again too.
func (s *Writer) drain(source Source, c *clock) (over bool, err error) {
	when := AtOnce
	for when == AtOnce && err == nil && !s.mustStop(c) {
		when, err = s.sendNext(source)
		over = when == Never
	}
	return over, err
}

// mustStop reports whether the source is not to be asked any more.
func (s *Writer) mustStop(c *clock) bool {
	return s.clientGone.Load() || s.dismissal() != nil || c.expired(time.Now())
}

// sendNext asks the source once and writes what it returns. It gives its buffer back before it
// waits for a client with bytes that other streams have too.
func (s *Writer) sendNext(source Source) (when When, err error) {
	b := buffers.Get().(*[]byte)
	out, when := source.Next((*b)[:0])
	own := within(out, *b) || cap(out) > len(out) // else other streams may have them
	if own {
		*b = out
		defer putBuffer(b)
	} else {
		putBuffer(b)
	}
	if len(out) > 0 {
		_, err = s.counted(out, !own)
	}
	return when, err
}
