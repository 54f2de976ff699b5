package stream

import (
	"fmt"
	"net"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"
)

// A loop writes to its share of the streams, on one goroutine. It visits streams that are ready,
// one after the other, and those whose time in the timetable has come. A visit asks the source once
// at most and never waits, so no stream keeps the others from their visits.
type loop struct {
	// watcher watches the connections of the streams.
	watcher *watcher
	// limits are the bounds that all streams share.
	limits *Limits
	// wakeUp has room for one token, which is sent when the first stream becomes ready.
	wakeUp chan struct{}
	// unsent is the sum of the bytes that wait for sockets, of all loops.
	unsent *atomic.Int64

	// mu guards ready.
	mu sync.Mutex
	// ready has the streams that are to be visited, in the order in which they were woken.
	ready []*Taken

	// The fields below belong to the goroutine of the loop.

	// visiting has the streams that were ready when the goroutine took them. Its array is used
	// again for the next ones.
	visiting []*Taken
	// timetable has all open and full streams of the loop.
	timetable timetable
	// buffer is what sources append to.
	buffer []byte
}

// add makes a stream ready, and wakes the loop if it was the first. It is called on any goroutine.
func (l *loop) add(t *Taken) {
	l.mu.Lock()
	l.ready = append(l.ready, t)
	first := len(l.ready) == 1
	l.mu.Unlock()
	if first {
		select {
		case l.wakeUp <- struct{}{}:
		default:
		}
	}
}

// run is the goroutine of the loop.
func (l *loop) run(closed, drained <-chan struct{}) {
	timer := time.NewTimer(time.Hour)
	for {
		l.visitReady()
		timer.Reset(l.timetable.wait(time.Now()))
		select {
		case <-l.wakeUp:
		case <-timer.C:
			l.visitDue(time.Now())
		case <-closed:
			l.endAll(drained)
			return
		}
	}
}

// visitReady visits each stream that is ready now. One that becomes ready meanwhile comes next
// time.
func (l *loop) visitReady() {
	l.mu.Lock()
	l.visiting, l.ready = l.ready, l.visiting[:0]
	l.mu.Unlock()
	for i, t := range l.visiting {
		l.visiting[i] = nil
		t.queued.Store(false)
		l.visit(t, time.Time{})
	}
}

// visitDue visits each stream whose time has come, once: a stream that has more to say may still be
// due after its visit.
func (l *loop) visitDue(now time.Time) {
	due := l.visiting[:0]
	for t := l.timetable.next(now); t != nil; t = l.timetable.next(now) {
		due = append(due, t)
	}
	for i, t := range due {
		due[i] = nil
		l.visit(t, now)
	}
	l.visiting = due
}

// visit visits a stream. If its source panics, this stream ends and no other, as in net/http, where
// a panic ends one request. now is zero unless the time of the stream has come.
func (l *loop) visit(t *Taken, now time.Time) {
	defer func() {
		if failure := recover(); failure != nil {
			l.end(t, fmt.Errorf("%w: %v\n%s", ErrPanicked, failure, debug.Stack()))
		}
	}()
	l.advance(t, now)
}

// advance writes what was left, and then asks the source once. What the source has beyond that
// comes with the next visit, after the other streams have had theirs.
func (l *loop) advance(t *Taken, now time.Time) {
	switch {
	case t.ended:
		return
	case t.clientGone.Load():
		l.end(t, ErrClientGone)
		return
	case t.evicted.Swap(false) && len(t.rest) > 0:
		l.endSlow(t)
		return
	case len(t.rest) > 0:
		if !l.sendRest(t, now) {
			return
		}
		now = time.Now() // nobody looked at the clock of the stream while something was left
	}
	if t.sourceEnded {
		l.end(t, nil)
		return
	}
	l.send(t, l.ask(t, now))
}

// ask returns what a stream has to say now. It may lie in the buffer of the loop.
func (l *loop) ask(t *Taken, now time.Time) []byte {
	probe := t.probe.CompareAndSwap(true, false)
	out, next := t.source.Next(l.buffer[:0])
	t.sourceEnded = next == Never
	if next == AtOnce {
		t.Wake()
	}
	switch due := !now.Before(t.clock.due()); {
	case t.sourceEnded:
	case due && t.clock.expired(now):
		// However much there is to say: a client that is always behind has to come again too.
		out, t.sourceEnded = t.source.GoAway(out, reasonMaxAge), true
	case len(out) > 0 || next == AtOnce:
	case probe && !due:
		out = t.source.Beat(out)
	case due:
		out = t.source.Beat(out)
		t.clock.noteBeat(now)
		l.timetable.put(t)
	}
	return out
}

// send writes what the socket takes, keeps the rest, and puts the stream into the timetable.
func (l *loop) send(t *Taken, data []byte) {
	left, err := l.push(t, data)
	switch {
	case err != nil:
		l.end(t, err)
		return
	case len(left) > 0:
		l.keep(t, left, data)
	case t.sourceEnded:
		l.end(t, nil)
	case t.heapIndex == notInHeap:
		l.timetable.put(t)
	}
}

// newDeadline returns until when the client must take some of what is left. A client that always
// takes a little does not keep its stream longer than the patience beyond its age.
func (l *loop) newDeadline(t *Taken) time.Time {
	deadline := time.Now().Add(l.limits.patience)
	if last := t.clock.end.Add(l.limits.patience); last.Before(deadline) {
		return last
	}
	return deadline
}

// sendRest writes what was left, and reports whether nothing is left now. If it returns false, the
// stream has ended or is in the timetable.
func (l *loop) sendRest(t *Taken, now time.Time) bool {
	left, err := l.push(t, t.rest)
	l.unsent.Add(int64(len(left) - len(t.rest)))
	had := len(t.rest)
	t.rest = left
	if len(left) < had && t.held != nil {
		t.held.noteProgress()
	}
	switch {
	case err != nil:
		l.end(t, err)
		return false
	case len(left) == 0:
		t.rest, t.deadline = nil, time.Time{}
		if t.held != nil {
			t.held.drop()
		}
		l.timetable.put(t)
		return true
	case now.After(t.clock.end.Add(l.limits.patience)):
		l.end(t, errTooSlow)
		return false
	case len(left) < had || t.deadline.IsZero():
		t.deadline = l.newDeadline(t)
	case now.After(t.deadline):
		l.end(t, errTookNothing)
		return false
	}
	l.timetable.put(t)
	return false
}

// push writes as much as the socket takes now, and returns what is left.
func (l *loop) push(t *Taken, data []byte) (left []byte, err error) {
	n, err := writeNow(t.fd, data)
	t.sent += int64(n)
	t.blockBegun = n < len(data) && (t.blockBegun || n > 0)
	return data[n:], err
}

// end closes the connection of a stream and calls its onEnd.
func (l *loop) end(t *Taken, err error) {
	if t.ended {
		return
	}
	t.ended = true
	l.timetable.remove(t)
	l.watcher.forget(t)
	if err == nil {
		discardUnread(t.fd, l.buffer[:cap(l.buffer)])
	}
	_ = t.conn.Close() // nothing is buffered in it
	l.unsent.Add(-int64(len(t.rest)))
	if t.rest = nil; t.held != nil {
		t.held.drop()
	}
	t.onEnd(t.sent, err)
}

// endAll ends the streams that are left when the loops are closed, and those that are about to
// start. It returns when no stream is left.
func (l *loop) endAll(drained <-chan struct{}) {
	for {
		l.visitReady()
		for len(l.timetable) > 0 {
			l.end(l.timetable[0], net.ErrClosed)
		}
		select {
		case <-l.wakeUp:
		case <-drained:
			return
		}
	}
}
