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
	ready []*LoopStream

	// The fields below belong to the goroutine of the loop.

	// visiting has the streams that were ready when the goroutine took them. Its array is used
	// again for the next ones.
	visiting []*LoopStream
	// timetable has all open and full streams of the loop.
	timetable timetable
	// buffer is what sources append to.
	buffer []byte
}

// add makes a stream ready, and wakes the loop if it was the first. It is called on any goroutine.
func (l *loop) add(s *LoopStream) {
	l.mu.Lock()
	l.ready = append(l.ready, s)
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
	for i, s := range l.visiting {
		l.visiting[i] = nil
		s.queued.Store(false)
		l.visit(s, time.Time{})
	}
}

// visitDue visits each stream whose time has come, once: a stream that has more to say may still be
// due after its visit.
func (l *loop) visitDue(now time.Time) {
	due := l.visiting[:0]
	for s := l.timetable.popDue(now); s != nil; s = l.timetable.popDue(now) {
		due = append(due, s)
	}
	for i, s := range due {
		due[i] = nil
		l.visit(s, now)
	}
	l.visiting = due
}

// visit visits a stream. If its source panics, this stream ends and no other, as in net/http, where
// a panic ends one request. now is zero unless the time of the stream has come.
func (l *loop) visit(s *LoopStream, now time.Time) {
	defer func() {
		if failure := recover(); failure != nil {
			l.end(s, fmt.Errorf("%w: %v\n%s", ErrPanicked, failure, debug.Stack()))
		}
	}()
	l.advance(s, now)
}

// advance writes what was left, and then asks the source once. What the source has beyond that
// comes with the next visit, after the other streams have had theirs.
func (l *loop) advance(s *LoopStream, now time.Time) {
	switch {
	case s.ended:
		return
	case s.clientGone.Load():
		l.end(s, ErrClientGone)
		return
	case s.evicted.Swap(false) && len(s.rest) > 0:
		l.endSlow(s)
		return
	case len(s.rest) > 0:
		if !l.sendRest(s, now) {
			return
		}
		now = time.Now() // nobody looked at the clock of the stream while something was left
	}
	if s.sourceEnded {
		l.end(s, nil)
		return
	}
	l.send(s, l.ask(s, now))
}

// ask returns what a stream has to say now. It may lie in the buffer of the loop.
func (l *loop) ask(s *LoopStream, now time.Time) []byte {
	if d := s.dismissal(); d != nil {
		s.sourceEnded = true
		return s.source.GoAway(l.buffer[:0], d.reason)
	}
	probe := s.probe.CompareAndSwap(true, false)
	out, when := s.source.Next(l.buffer[:0])
	s.sourceEnded = when == Never
	if when == AtOnce {
		s.Wake()
	}
	switch due := !now.Before(s.clock.due()); {
	case s.sourceEnded:
	case due && s.clock.expired(now):
		// However much there is to say: a client that is always behind has to come again too.
		out, s.sourceEnded = s.source.GoAway(out, reasonMaxAge), true
	case len(out) > 0 || when == AtOnce:
	case probe && !due:
		out = s.source.Beat(out)
	case due:
		out = s.source.Beat(out)
		s.clock.noteBeat(now)
		l.timetable.put(s)
	}
	return out
}

// send writes what the socket takes, keeps the rest, and puts the stream into the timetable.
func (l *loop) send(s *LoopStream, data []byte) {
	left, err := l.push(s, data)
	switch {
	case err != nil:
		l.end(s, err)
		return
	case len(left) > 0:
		l.keep(s, left, data)
	case s.sourceEnded:
		l.end(s, nil)
	case s.heapIndex == notInHeap:
		l.timetable.put(s)
	}
}

// newDeadline returns until when the client must take some of what is left. A client that always
// takes a little does not keep its stream longer than the patience beyond its age, nor beyond the
// time of its dismissal.
func (l *loop) newDeadline(s *LoopStream) time.Time {
	deadline := time.Now().Add(l.limits.patience)
	if last := s.clock.end.Add(l.limits.patience); last.Before(deadline) {
		deadline = last
	}
	if d := s.dismissal(); d != nil && d.by.Before(deadline) {
		return d.by
	}
	return deadline
}

// sendRest writes what was left, and reports whether nothing is left now. If it returns false, the
// stream has ended or is in the timetable.
func (l *loop) sendRest(s *LoopStream, now time.Time) bool {
	left, err := l.push(s, s.rest)
	l.unsent.Add(int64(len(left) - len(s.rest)))
	had := len(s.rest)
	s.rest = left
	if len(left) < had && s.held != nil {
		s.held.noteProgress()
	}
	switch {
	case err != nil:
		l.end(s, err)
		return false
	case len(left) == 0:
		s.rest, s.deadline = nil, time.Time{}
		if s.held != nil {
			s.held.drop()
		}
		l.timetable.put(s)
		return true
	case now.After(s.clock.end.Add(l.limits.patience)):
		l.end(s, errTooSlow)
		return false
	case s.dismissal().isOverdue(now):
		l.end(s, errDismissed)
		return false
	case len(left) < had || s.deadline.IsZero():
		s.deadline = l.newDeadline(s)
	case now.After(s.deadline):
		l.end(s, errTookNothing)
		return false
	}
	if d := s.dismissal(); d != nil && d.by.Before(s.deadline) {
		s.deadline = d.by
	}
	l.timetable.put(s)
	return false
}

// push writes as much as the socket takes now, and returns what is left.
func (l *loop) push(s *LoopStream, data []byte) (left []byte, err error) {
	n, err := writeNow(s.fd, data)
	s.sent += int64(n)
	s.blockBegun = n < len(data) && (s.blockBegun || n > 0)
	return data[n:], err
}

// end closes the connection of a stream and calls its onEnd.
func (l *loop) end(s *LoopStream, err error) {
	if s.ended {
		return
	}
	s.ended = true
	l.timetable.remove(s)
	l.watcher.forget(s)
	if err == nil {
		discardUnread(s.fd, l.buffer[:cap(l.buffer)])
	}
	_ = s.conn.Close() // nothing is buffered in it
	l.unsent.Add(-int64(len(s.rest)))
	s.rest = nil
	if s.held != nil {
		s.held.drop()
	}
	s.onEnd(s.sent, err)
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
