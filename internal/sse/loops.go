package sse

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"
)

// ErrClientGone ends a stream whose client has closed its connection.
var ErrClientGone = errors.New("the client is gone")

// ErrPanicked ends a stream whose source panicked. Its text has the stack.
var ErrPanicked = errors.New("the stream's source panicked")

// errTooSlow ends a stream that has come to its age, with a client that has not taken what there was to tell before.
var errTooSlow = errors.New("the client had not read its stream when that was to end")

// errTookNothing ends a stream whose client has not read for the patience of a write.
var errTookNothing = errors.New("the client reads nothing")

// Loops are the second form of a stream's writer: a few goroutines that write to all streams, on connections taken over from
// net/http. A write never waits. What a socket does not take stays with its stream, and the stream is not asked for more until
// that is gone; so a client that reads slowly costs its stream what one turn appends, and the others nothing. A frame that is larger
// than a turn is not copied for each stream.
//
// A stream costs no goroutine, no timer and no buffer.
type Loops struct {
	limits  *Limits
	loops   []*loop
	watcher *watcher
	next    atomic.Uint32
	unsent  atomic.Int64
	closed  chan struct{} // the loops end what is left
	empty   chan struct{} // nothing is

	mu      sync.Mutex
	closing bool
	streams sync.WaitGroup // no more are added once closing
}

// NewLoops starts that many loops. It returns an error where the system has no way to watch sockets.
func NewLoops(count int, limits *Limits) (*Loops, error) {
	watcher, err := newWatcher()
	if err != nil {
		return nil, err
	}
	l := &Loops{limits: limits, watcher: watcher, closed: make(chan struct{}), empty: make(chan struct{})}
	for range count {
		one := &loop{watcher: watcher, limits: limits, kick: make(chan struct{}, 1), unsent: &l.unsent,
			buffer: make([]byte, 0, 2*FlushAt)}
		l.loops = append(l.loops, one)
		go one.run(l.closed, l.empty)
	}
	go watcher.run()
	return l, nil
}

// Close waits until all streams have ended, which their sources must do by themselves, and ends those that have not when the context does.
// Streams that are about to be started are refused.
func (l *Loops) Close(ctx context.Context) {
	l.mu.Lock()
	l.closing = true
	l.mu.Unlock()
	go func() { l.streams.Wait(); close(l.empty) }()
	select {
	case <-l.empty:
	case <-ctx.Done():
	}
	close(l.closed)
	<-l.empty
	l.watcher.close()
}

// A Taken stream is one that the loops write. See [Loops.New].
type Taken struct {
	loop    *loop
	started atomic.Bool
	queued  atomic.Bool
	gone    atomic.Bool // the client has closed its connection
	evicted atomic.Bool // what it holds is to make room for others

	// The client sends no more. It may read on, or have closed the connection altogether, which
	// shows when something is sent: the answer to that is a reset.
	finished atomic.Bool
	probe    atomic.Bool // something is to be sent, to find that out

	conn   net.Conn
	fd     int    // of the connection, which nobody but the loop closes
	number uint32 // tells it from an earlier stream on a socket of the same number
	source Source
	ended  func(sent int64, err error)

	// Of the loop's goroutine.
	clock clock
	rest  []byte    // what the socket did not take
	held  *unsent   // the rest, counted; nil if there was never one
	begun bool      // some of what the source said last was sent, and the rest is not
	bound time.Time // until when it must take some of it; zero if there is no rest
	sent  int64
	over  bool // the source has said its last word
	done  bool
	place int // in the loop's timetable; -1 if in none
}

// New returns a stream that is not started yet.
func (l *Loops) New() *Taken {
	return &Taken{loop: l.loops[l.next.Add(1)%uint32(len(l.loops))], place: -1}
}

// Wake tells that the source may have something to say. It never waits.
func (t *Taken) Wake() {
	if t.started.Load() && t.queued.CompareAndSwap(false, true) {
		t.loop.add(t)
	}
}

// Start gives the stream its connection, which is the loops' from here on, and what is sent before all else. Ended is called once it has
// ended, with how many bytes were sent after the head and why, nil if the source was over; a loop calls it, so it must neither wait nor
// panic, which nobody would hear of. Start returns an error, and leaves the connection alone, if it cannot be watched; [net.ErrClosed] if
// the loops are closed.
func (l *Loops) Start(t *Taken, conn net.Conn, head []byte, source Source, pace Pace, ended func(sent int64, err error)) error {
	first := source.Begin(head) // a source that panics leaves nothing behind here
	if !l.enter() {
		return net.ErrClosed
	}
	t.conn, t.source, t.clock, t.rest = conn, source, newClock(time.Now(), pace), first
	t.ended = func(sent int64, err error) {
		defer l.streams.Done() // whatever becomes of ended: Close waits for it
		ended(max(0, sent-int64(len(head))), err)
	}
	if err := l.watcher.watch(t); err != nil {
		l.streams.Done()
		return err
	}
	l.unsent.Add(int64(len(t.rest)))
	l.limits.bindSocket(conn)
	t.started.Store(true)
	t.Wake()
	return nil
}

// enter counts a stream, unless the loops are closed. Who closes the server that the connection was of does not wait for a handler that
// has just taken it over.
func (l *Loops) enter() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closing {
		return false
	}
	l.streams.Add(1)
	return true
}

// Unsent is how many bytes wait for sockets that took no more. A large frame that several streams wait with is counted for each, and is
// in memory once.
func (l *Loops) Unsent() int64 { return l.unsent.Load() }

// A loop writes to its share of the streams.
type loop struct {
	watcher *watcher
	limits  *Limits
	kick    chan struct{}
	unsent  *atomic.Int64 // of all loops

	mu    sync.Mutex
	ready []*Taken

	// Of the goroutine.
	working   []*Taken // what was ready; the array is used again
	timetable timetable
	buffer    []byte
}

func (l *loop) add(t *Taken) {
	l.mu.Lock()
	l.ready = append(l.ready, t)
	first := len(l.ready) == 1
	l.mu.Unlock()
	if first {
		select {
		case l.kick <- struct{}{}:
		default:
		}
	}
}

func (l *loop) run(closed, empty <-chan struct{}) {
	timer := time.NewTimer(time.Hour)
	for {
		l.work()
		timer.Reset(l.timetable.wait(time.Now()))
		select {
		case <-l.kick:
		case <-timer.C:
			l.speak(time.Now())
		case <-closed:
			l.endAll(empty)
			return
		}
	}
}

// work gives a turn to each stream that is ready.
func (l *loop) work() {
	l.mu.Lock()
	l.working, l.ready = l.ready, l.working[:0]
	l.mu.Unlock()
	for i, t := range l.working {
		l.working[i] = nil
		t.queued.Store(false)
		l.give(t, time.Time{})
	}
}

// speak lets the streams speak whose time has come: each once, since that of one that has more to say is still there.
func (l *loop) speak(now time.Time) {
	due := l.working[:0]
	for t := l.timetable.next(now); t != nil; t = l.timetable.next(now) {
		due = append(due, t)
	}
	for i, t := range due {
		due[i] = nil
		l.give(t, now)
	}
	l.working = due
}

// give gives a stream its turn. One whose source panics ends, and no other: as in net/http, where a panic is the end of one request.
func (l *loop) give(t *Taken, now time.Time) {
	defer func() {
		if failure := recover(); failure != nil {
			l.end(t, fmt.Errorf("%w: %v\n%s", ErrPanicked, failure, debug.Stack()))
		}
	}()
	l.turn(t, now)
}

// turn sends what a stream has to say, once: what is more comes with its next turn, after the others'. Now is set if the stream's time has
// come.
func (l *loop) turn(t *Taken, now time.Time) {
	switch {
	case t.done:
		return
	case t.gone.Load():
		l.end(t, ErrClientGone)
		return
	case t.evicted.Swap(false) && len(t.rest) > 0:
		l.endSlow(t)
		return
	case len(t.rest) > 0:
		if !l.sendRest(t, now) {
			return
		}
		now = time.Now() // while something was left nobody looked at its clock
	}
	if t.over {
		l.end(t, nil)
		return
	}
	l.send(t, l.words(t, now))
}

// words are what a stream has to say now, in the loop's buffer.
func (l *loop) words(t *Taken, now time.Time) []byte {
	probe := t.probe.CompareAndSwap(true, false)
	out, next := t.source.Next(l.buffer[:0])
	t.over = next == NextNever
	if next == NextAtOnce {
		t.Wake()
	}
	switch due := !now.Before(t.clock.due()); {
	case t.over:
	case due && t.clock.old(now): // however much there is to say: a client that is always behind has to come again too
		out, t.over = t.source.GoAway(out, reasonMaxAge), true
	case len(out) > 0 || next == NextAtOnce:
	case probe && !due:
		out = t.source.Beat(out)
	case due:
		out = t.source.Beat(out)
		t.clock.beaten(now)
		l.timetable.put(t)
	}
	return out
}

// send writes what the socket takes, keeps the rest, and enters the stream into the timetable.
func (l *loop) send(t *Taken, data []byte) {
	left, err := l.push(t, data)
	switch {
	case err != nil:
		l.end(t, err)
		return
	case len(left) > 0:
		l.keep(t, left, data)
	case t.over:
		l.end(t, nil)
	case t.place < 0:
		l.timetable.put(t)
	}
}

// until is when a stream must have taken some of what is left: a client that always takes a little does not keep it beyond its age.
func (l *loop) until(t *Taken) time.Time {
	bound := time.Now().Add(l.limits.patience)
	if last := t.clock.end.Add(l.limits.patience); last.Before(bound) {
		return last
	}
	return bound
}

// sendRest sends what was left, and tells whether nothing is left now.
func (l *loop) sendRest(t *Taken, now time.Time) bool {
	left, err := l.push(t, t.rest)
	l.unsent.Add(int64(len(left) - len(t.rest)))
	had := len(t.rest)
	t.rest = left
	if len(left) < had && t.held != nil {
		t.held.progressed()
	}
	switch {
	case err != nil:
		l.end(t, err)
		return false
	case len(left) == 0:
		t.rest, t.bound = nil, time.Time{}
		if t.held != nil {
			t.held.drop()
		}
		l.timetable.put(t)
		return true
	case now.After(t.clock.end.Add(l.limits.patience)):
		l.end(t, errTooSlow)
		return false
	case len(left) < had || t.bound.IsZero():
		t.bound = l.until(t)
	case now.After(t.bound):
		l.end(t, errTookNothing)
		return false
	}
	l.timetable.put(t)
	return false
}

// push writes what the socket takes now and returns what is left.
func (l *loop) push(t *Taken, data []byte) (left []byte, err error) {
	n, err := writeNow(t.fd, data)
	t.sent += int64(n)
	t.begun = n < len(data) && (t.begun || n > 0)
	return data[n:], err
}

func (l *loop) end(t *Taken, err error) {
	if t.done {
		return
	}
	t.done = true
	l.timetable.remove(t)
	l.watcher.forget(t)
	if err == nil {
		readAway(t.fd, l.buffer[:cap(l.buffer)])
	}
	_ = t.conn.Close() // nothing is buffered in it
	l.unsent.Add(-int64(len(t.rest)))
	if t.rest = nil; t.held != nil {
		t.held.drop()
	}
	t.ended(t.sent, err)
}

// endAll ends what is left when the loops are closed, and what was about to start.
func (l *loop) endAll(empty <-chan struct{}) {
	for {
		l.work()
		for len(l.timetable) > 0 {
			l.end(l.timetable[0], net.ErrClosed)
		}
		select {
		case <-l.kick:
		case <-empty:
			return
		}
	}
}
