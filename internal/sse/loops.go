package sse

import (
	"bytes"
	"container/heap"
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// ErrClientGone ends a stream whose client has closed its connection.
var ErrClientGone = errors.New("the client is gone")

// errTookNothing ends a stream whose client has not read for the patience of a write.
var errTookNothing = errors.New("the client reads nothing")

// Loops are the second form of a stream's writer: a few goroutines that write to all streams, on connections taken over from
// net/http. A write never waits. What a socket does not take stays with its stream, and the stream is not asked for more until
// that is gone; so a client that reads slowly costs its stream what one turn appends, and the others nothing.
//
// A stream costs no goroutine, no timer and no buffer.
type Loops struct {
	loops   []*loop
	watcher *watcher
	next    atomic.Uint32
	streams sync.WaitGroup
	closed  chan struct{}
}

// NewLoops starts that many loops. It returns an error where the system has no way to watch sockets.
func NewLoops(count int) (*Loops, error) { return newLoops(count, writePatience) }

func newLoops(count int, patience time.Duration) (*Loops, error) {
	watcher, err := newWatcher()
	if err != nil {
		return nil, err
	}
	l := &Loops{watcher: watcher, closed: make(chan struct{})}
	for range count {
		one := &loop{watcher: watcher, patience: patience, kick: make(chan struct{}, 1), buffer: make([]byte, 0, 2*FlushAt)}
		l.loops = append(l.loops, one)
		go one.run(l.closed)
	}
	go watcher.run()
	return l, nil
}

// Close waits until all streams have ended, which their sources must do by themselves, and ends those that have not when the context does.
// No stream may be started any more.
func (l *Loops) Close(ctx context.Context) {
	ended := make(chan struct{})
	go func() { l.streams.Wait(); close(ended) }()
	select {
	case <-ended:
	case <-ctx.Done():
	}
	close(l.closed) // the loops end what is left
	<-ended
	l.watcher.close()
}

// A Taken stream is one that the loops write. See [Loops.New].
type Taken struct {
	loop    *loop
	started atomic.Bool
	queued  atomic.Bool
	gone    atomic.Bool // the client has closed its connection

	conn   net.Conn
	fd     int    // of the connection, which nobody but the loop closes
	number uint32 // tells it from an earlier stream on a socket of the same number
	source Source
	ended  func(sent int64, err error)

	// Of the loop's goroutine.
	clock clock
	rest  []byte    // what the socket did not take
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
// ended, with how many bytes were sent and why, nil if the source was over; a loop calls it, so it must not wait. Start returns an error, and
// leaves the connection alone, if it cannot be watched.
func (l *Loops) Start(t *Taken, conn net.Conn, head []byte, source Source, pace Pace, ended func(sent int64, err error)) error {
	t.conn, t.source, t.clock, t.rest = conn, source, newClock(time.Now(), pace), source.Begin(head)
	t.ended = func(sent int64, err error) {
		ended(sent, err)
		l.streams.Done()
	}
	if err := l.watcher.watch(t); err != nil {
		return err
	}
	l.streams.Add(1)
	t.started.Store(true)
	t.Wake()
	return nil
}

// A loop writes to its share of the streams.
type loop struct {
	watcher  *watcher
	patience time.Duration // with a client that takes nothing of what is left
	kick     chan struct{}

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

func (l *loop) run(closed <-chan struct{}) {
	timer := time.NewTimer(time.Hour)
	for {
		l.work()
		timer.Reset(l.timetable.wait(time.Now()))
		select {
		case <-l.kick:
		case <-timer.C:
			l.speak(time.Now())
		case <-closed:
			l.endAll()
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
		l.turn(t, time.Time{})
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
		l.turn(t, now)
	}
	l.working = due
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
	case due:
		out = t.source.Beat(out)
		t.clock.beaten(now)
	}
	if cap(out) <= keepBuffer {
		l.buffer = out
	}
	return out
}

// send writes what the socket takes, keeps a copy of the rest, and enters the stream into the timetable.
func (l *loop) send(t *Taken, data []byte) {
	left, err := l.push(t, data)
	switch {
	case err != nil:
		l.end(t, err)
		return
	case len(left) > 0:
		t.rest, t.bound = bytes.Clone(left), time.Now().Add(l.patience)
		l.timetable.put(t)
	case t.over:
		l.end(t, nil)
	case t.place < 0:
		l.timetable.put(t)
	}
}

// sendRest sends what was left, and tells whether nothing is left now.
func (l *loop) sendRest(t *Taken, now time.Time) bool {
	left, err := l.push(t, t.rest)
	switch {
	case err != nil:
		l.end(t, err)
		return false
	case len(left) == 0:
		t.rest, t.bound = nil, time.Time{}
		l.timetable.put(t)
		return true
	case len(left) < len(t.rest) || t.bound.IsZero():
		t.bound = time.Now().Add(l.patience)
	case now.After(t.bound):
		l.end(t, errTookNothing)
		return false
	}
	t.rest = left
	l.timetable.put(t)
	return false
}

// push writes what the socket takes now and returns what is left.
func (l *loop) push(t *Taken, data []byte) (left []byte, err error) {
	n, err := writeNow(t.fd, data)
	t.sent += int64(n)
	return data[n:], err
}

func (l *loop) end(t *Taken, err error) {
	if t.done {
		return
	}
	t.done = true
	l.timetable.remove(t)
	l.watcher.forget(t)
	_ = t.conn.Close() // nothing is buffered in it
	t.rest = nil
	t.ended(t.sent, err)
}

// endAll ends what is left when the loops are closed.
func (l *loop) endAll() {
	l.work()
	for len(l.timetable) > 0 {
		l.end(l.timetable[0], net.ErrClosed)
	}
}

// A timetable has the streams of a loop by the time at which they have to be looked at: a heap.
type timetable []*Taken

// due is when a stream must be looked at.
func (t *Taken) due() time.Time {
	if !t.bound.IsZero() {
		return t.bound
	}
	return t.clock.due()
}

func (h timetable) Len() int           { return len(h) }
func (h timetable) Less(i, j int) bool { return h[i].due().Before(h[j].due()) }
func (h timetable) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].place, h[j].place = i, j
}

func (h *timetable) Push(x any) {
	t := x.(*Taken)
	t.place = len(*h)
	*h = append(*h, t)
}

func (h *timetable) Pop() any {
	last := len(*h) - 1
	t := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	t.place = -1
	return t
}

// put enters a stream, or moves it to where it belongs now.
func (h *timetable) put(t *Taken) {
	if t.place < 0 {
		heap.Push(h, t)
		return
	}
	heap.Fix(h, t.place)
}

func (h *timetable) remove(t *Taken) {
	if t.place >= 0 {
		heap.Remove(h, t.place)
	}
}

// next takes out a stream whose time has come; nil if there is none.
func (h *timetable) next(now time.Time) *Taken {
	if len(*h) == 0 || (*h)[0].due().After(now) {
		return nil
	}
	return heap.Pop(h).(*Taken)
}

const longWait = time.Hour

// wait is how long until the next stream's time.
func (h timetable) wait(now time.Time) time.Duration {
	if len(h) == 0 {
		return longWait
	}
	return max(0, h[0].due().Sub(now))
}
