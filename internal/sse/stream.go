package sse

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
	// FlushAt is how much of a stream is collected, at the most and but for the size of a frame, before it is sent.
	FlushAt = 32 << 10
	// writePatience bounds each write: a client that takes nothing for so long has its connection closed.
	writePatience = 30 * time.Second
	// resetTime is how long the reset may take by which a closed connection answers a write. A client
	// farther away is found to be gone with the next heartbeat.
	resetTime = 300 * time.Millisecond
	// patienceSlack is which part of it may have passed when a write begins: a deadline costs a twentieth of a delivery.
	patienceSlack = 3
)

// A Source is what a stream has to say. Its methods are called by one goroutine at a time.
type Source interface {
	// Begin appends what comes first.
	Begin(dst []byte) []byte
	// Next appends what there is to tell to an empty dst, until it has [FlushAt] bytes. In its place it may return bytes that others have
	// too: they have no capacity to spare, and must not be changed. One call may be for several reasons: the [NextAtOnce] of the call
	// before, and a wake since.
	Next(dst []byte) (out []byte, next Next)
	// Beat appends what shows that the stream is alive.
	Beat(dst []byte) []byte
	// GoAway appends the last word of a stream that is ended for that reason.
	GoAway(dst []byte, reason string) []byte
}

// A Next says what comes after what a source has appended.
type Next uint8

const (
	NextWhenWoken Next = iota // nothing until the stream is woken
	NextAtOnce                // there may be more
	NextNever                 // that was the last word
)

// reasonMaxAge is why a stream is ended that has reached its age.
const reasonMaxAge = "max-age"

// Pace says when a stream speaks unasked.
type Pace struct {
	Heartbeat time.Duration
	Age       time.Duration // after which it ends
}

// SetHeaders sets the headers of a stream's answer.
func SetHeaders(h http.Header, format Format) {
	h["Content-Type"] = []string{"text/event-stream"}
	if format == Lines {
		h["Content-Type"] = []string{"application/x-ndjson"}
	}
	h["Cache-Control"] = []string{"no-store, no-transform"}
	h["X-Accel-Buffering"] = []string{"no"} // nginx would collect a page before it sends any
	h["X-Content-Type-Options"] = []string{"nosniff"}
}

// buffers are for what is being sent: a stream that is idle, or sends what others send too, holds none. They begin small, since all
// streams with a goroutine hold one at the same time while they wait for the feed.
var buffers = sync.Pool{New: func() any { return new(make([]byte, 0, 1<<10)) }}

// keepBuffer is how large a buffer may be to be kept for other streams.
const keepBuffer = 4 * FlushAt

func withBuffer(use func(buffer []byte) []byte) {
	b := buffers.Get().(*[]byte)
	*b = use((*b)[:0])
	putBuffer(b)
}

func putBuffer(b *[]byte) {
	if cap(*b) <= keepBuffer {
		buffers.Put(b)
	}
}

// within tells whether bytes lie in a buffer, at its beginning.
func within(data, buffer []byte) bool {
	return cap(data) > 0 && cap(buffer) > 0 && &data[:1][0] == &buffer[:1][0]
}

// A Stream writes to one client in the way that net/http has for it, with a goroutine that waits.
type Stream struct {
	w          http.ResponseWriter
	controller *http.ResponseController
	limits     *Limits
	held       unsent    // what is being written, if it is much
	cut        func()    // closes the connection, where to end the stream may not end its writes; or nil
	bounded    time.Time // until when the next write may take; zero for no bound
	sent       int64

	// HalfClosable is set where the end of the context can mean that the client sends no more and
	// reads on, as over HTTP/1. Then only a write that fails ends the stream.
	HalfClosable bool

	gone  atomic.Bool // the client is; a context takes a lock to tell
	probe atomic.Bool // something is to be sent, to find out whether the client is gone
	due   atomic.Bool // the time to speak unasked has come

	mu      sync.Mutex
	writing bool // what is held
	evicted bool // what is held is to make room for others: nothing more is written
}

// NewStream returns the stream of an answer whose headers are set. Nothing is sent before the first
// write. If the answer shares its connection with others, cut closes that; otherwise it is nil.
func NewStream(w http.ResponseWriter, limits *Limits, cut func()) *Stream {
	s := &Stream{w: w, controller: http.NewResponseController(w), limits: limits, cut: cut}
	s.held = unsent{limits: limits, evict: s.evict}
	return s
}

// Write sends at once, bytes that no other stream has. Its patience is with each part of [FlushAt] bytes: a client that reads is not cut since a value is large.
func (s *Stream) Write(data []byte) (n int, err error) { return s.counted(data, false) }

func (s *Stream) writeAll(data []byte) (n int, err error) {
	for first := true; err == nil && (first || len(data) > 0); first = false { // nothing sends the headers
		if len(data) > freeBytes && s.isEvicted() {
			return n, errHeldTooMuch
		}
		part := data[:min(len(data), FlushAt)]
		var wrote int
		wrote, err = s.write(part)
		n, data = n+wrote, data[len(part):]
	}
	return n, err
}

func (s *Stream) write(data []byte) (int, error) {
	if now := time.Now(); s.bounded.Sub(now) < s.limits.patience-s.limits.patience/patienceSlack {
		s.bounded = now.Add(s.limits.patience)
		if err := s.controller.SetWriteDeadline(s.bounded); err != nil {
			return 0, fmt.Errorf("bound a write: %w", err)
		}
	}
	n, err := s.w.Write(data)
	s.sent += int64(n)
	if err != nil {
		return n, err
	}
	err = s.controller.Flush()
	s.held.progressed()
	return n, err
}

// Sent is how many bytes were written.
func (s *Stream) Sent() int64 { return s.sent }

// unbind lifts the bound of the last write if the stream may say nothing until then: over HTTP/2 the stream would be reset at that
// moment, with or without a write under way.
func (s *Stream) unbind(until time.Time) error {
	if s.bounded.IsZero() || until.Add(s.limits.patience/patienceSlack).Before(s.bounded) {
		return nil
	}
	s.bounded = time.Time{}
	if err := s.controller.SetWriteDeadline(s.bounded); err != nil {
		return fmt.Errorf("unbind a stream: %w", err)
	}
	return nil
}

// Run sends what the source has to say, until that is over or one side ends it. A token in wakeUp, which has room for one, tells that
// there may be more. Everything comes as a token, time and the client's leaving too: to wait for one channel costs half as much.
func (s *Stream) Run(ctx context.Context, source Source, wakeUp chan struct{}, pace Pace) {
	wake := func() {
		select {
		case wakeUp <- struct{}{}:
		default:
		}
	}
	clock := newClock(time.Now(), pace)
	timer := time.AfterFunc(time.Until(clock.due()), func() { s.due.Store(true); wake() })
	defer timer.Stop()
	left := &s.gone
	if s.HalfClosable {
		left = &s.probe
	}
	defer context.AfterFunc(ctx, func() { left.Store(true); wake() })()
	probed := false
	err := s.send(source.Begin)
	for over := false; !over && err == nil; {
		if over, err = s.drain(source, &clock); over || err != nil {
			if errors.Is(err, errNoRoom) {
				s.sayGoodbye(source)
			}
			return
		}
		if err = s.unbind(clock.due()); err != nil {
			return
		}
		<-wakeUp
		if s.gone.Load() {
			return
		}
		if s.due.CompareAndSwap(true, false) {
			over, err = s.speak(source, &clock)
			timer.Reset(time.Until(clock.due()))
		}
		if s.probe.CompareAndSwap(true, false) && !over && err == nil {
			if err = s.send(source.Beat); !probed { // a closed connection answers with a reset
				probed = true
				time.AfterFunc(resetTime, func() { s.probe.Store(true); wake() })
			}
		}
	}
}

// speak sends what is due by the clock.
func (s *Stream) speak(source Source, c *clock) (over bool, err error) {
	now := time.Now()
	if c.old(now) {
		return true, s.send(func(b []byte) []byte { return source.GoAway(b, reasonMaxAge) })
	}
	c.beaten(now)
	return false, s.send(source.Beat)
}

func (s *Stream) send(appendTo func([]byte) []byte) (err error) {
	withBuffer(func(b []byte) []byte {
		b = appendTo(b)
		_, err = s.Write(b)
		return b
	})
	return err
}

// drain sends all that there is to tell, unless the stream reaches its age over it: a client that is always behind has to come again too.
func (s *Stream) drain(source Source, c *clock) (over bool, err error) {
	for next := NextAtOnce; next == NextAtOnce && err == nil && !s.gone.Load() && !c.old(time.Now()); {
		next, err = s.turn(source)
		over = next == NextNever
	}
	return over, err
}

// turn sends what there is to tell now, and gives its buffer back before it waits for a client with bytes that others have too.
func (s *Stream) turn(source Source) (next Next, err error) {
	b := buffers.Get().(*[]byte)
	out, next := source.Next((*b)[:0])
	own := within(out, *b) || cap(out) > len(out) // else they may be others' too
	if own {
		*b = out
		defer putBuffer(b)
	} else {
		putBuffer(b)
	}
	if len(out) > 0 {
		_, err = s.counted(out, !own)
	}
	return next, err
}

// A clock knows when a stream has to speak unasked.
type clock struct {
	every     time.Duration
	next, end time.Time
}

func newClock(now time.Time, pace Pace) clock {
	return clock{every: pace.Heartbeat, next: now.Add(pace.Heartbeat), end: now.Add(pace.Age)}
}

// due is the next moment to look at the clock.
func (c *clock) due() time.Time {
	if c.end.Before(c.next) {
		return c.end
	}
	return c.next
}

func (c *clock) old(now time.Time) bool { return !now.Before(c.end) }

// beaten notes a heartbeat. One that comes late does not make the next come early.
func (c *clock) beaten(now time.Time) {
	if c.next = c.next.Add(c.every); c.next.Before(now) {
		c.next = now.Add(c.every)
	}
}
