package main

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"syscall"
	"time"

	"kvgateway/internal/bound"
)

const (
	// silentPatience is how long the first request of a connection may take to arrive before the
	// connection is closed in favour of a new one.
	silentPatience = time.Second
	// idlePatience is how long a connection must have been without a request before it is closed in
	// favour of a new one. A shorter time would hit clients between two requests.
	idlePatience = 5 * time.Second
	// mostLookedAt bounds how many connections are looked at to find one to close.
	mostLookedAt = 1024

	// sparedDescriptors is how many descriptors must be left for a new connection to get a place.
	sparedDescriptors = 16
	// refusalTimeout bounds the answer to a connection for which there is no place.
	refusalTimeout = time.Second
	// spareTimeout bounds it where no other connection is accepted meanwhile.
	spareTimeout = 20 * time.Millisecond
	// refusalWait is how long such a connection may take to begin its request. An answer that
	// comes before the request belongs to none: Go's client then reports an error of its own.
	refusalWait = 200 * time.Millisecond
	// refusalDrain is how many bytes are read of what such a client has sent. With bytes left
	// unread the system would reset the connection, and the client would lose the answer.
	refusalDrain = 1 << 20
)

// A line has the connections that wait for their clients in one way. The mutex of the listener
// guards it.
type line struct {
	// end is the end of a ring of these connections, and none itself: next is the one that has
	// waited for longest, before the latest.
	end connection
	// length is the number of connections.
	length int
	// patience is how long they are let wait if others need their places.
	patience time.Duration
}

// init makes a line without connections.
func (q *line) init(patience time.Duration) {
	q.end.next, q.end.before = &q.end, &q.end
	q.patience = patience
}

// find returns the connection of an owner that has waited for longest, if that is at least the
// patience; nil if there is none. If owner is "", it returns that of the owner with the most open
// connections.
func (q *line) find(owner string, open map[string]int) (found *connection) {
	looked := 0
	for c := q.end.next; c != &q.end && looked < mostLookedAt; c = c.next {
		looked++
		switch {
		case time.Since(c.since) < q.patience:
			return found // as those behind it
		case owner != "" && c.owner == owner:
			return c
		case owner == "" && (found == nil || open[c.owner] > open[found.owner]):
			found = c
		}
	}
	return found
}

// admit gives a connection a place, if necessary that of one that waits for its client. It reports
// whether there was one.
func (l *connections) admit(c *connection) bool {
	if l.isScarce() {
		l.giveWay("")
		l.places.Refuse()
		return false
	}
	err := l.places.Take(context.Background(), &c.place, c.owner, 1, nil)
	if full, ok := errors.AsType[*bound.FullError](err); ok {
		owner := ""
		if full.OfOwner {
			owner = c.owner
		}
		if l.giveWay(owner) {
			err = l.places.Take(context.Background(), &c.place, c.owner, 1, nil)
		}
	}
	if err != nil {
		return false
	}
	l.mu.Lock()
	l.open[c.owner]++
	l.mu.Unlock()
	return true
}

// isScarce reports whether the process has hardly any file descriptors left, although the plan
// leaves some.
func (l *connections) isScarce() bool {
	return l.descriptors > 0 && usedDescriptors() > l.descriptors-sparedDescriptors
}

// giveWay closes a connection that has waited too long for its client: for the rest of its first
// request or, with more patience, for another one. If owner is "", it is one of the client that has
// most connections open, else one of the owner. Otherwise sockets that send nothing could keep all
// places for the 10 s that a request may take to arrive, and then come back (512 descriptors, 396
// sockets of two addresses). It reports whether it has closed one.
func (l *connections) giveWay(owner string) bool {
	l.mu.Lock()
	victim := l.silent.find(owner, l.open)
	idle := l.idle.find(owner, l.open)
	if victim == nil || idle != nil && l.open[idle.owner] > l.open[victim.owner] {
		victim = idle
	}
	if victim == nil {
		l.mu.Unlock()
		return false
	}
	l.unlist(victim)
	l.mu.Unlock()
	victim.Close()
	return true
}

// cutIdle closes what has been idle for goodbyeTime, without a goodbye, until ctx ends. It runs
// beside a shutdown, which closes idle connections with one, and so gives that up where a client
// does not take it.
func (l *connections) cutIdle(ctx context.Context) {
	for look := time.NewTicker(goodbyeTime); ; {
		select {
		case <-ctx.Done():
			look.Stop()
			return
		case <-look.C:
			for l.cutIdleFor(goodbyeTime) {
			}
		}
	}
}

// cutIdleFor closes the connection that has been idle for longest, if that is at least so long. It
// reports whether there was one.
func (l *connections) cutIdleFor(wait time.Duration) bool {
	l.mu.Lock()
	c := l.idle.end.next
	if c == &l.idle.end || time.Since(c.since) < wait {
		l.mu.Unlock()
		return false
	}
	l.unlist(c)
	l.mu.Unlock()
	c.Close()
	return true
}

// wait notes that a connection waits for its client from now on. One that is closed, perhaps while
// it waited for its turn, has left for good: in a line it would be closed once more for the next
// connection without a place, which would then be refused.
func (l *connections) wait(c *connection, q *line) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.unlist(c)
	select {
	case <-c.ended: // It is closed before forget comes.
		return
	default:
	}
	c.line, c.since = q, time.Now()
	c.next, c.before = &q.end, q.end.before
	c.before.next, q.end.before = c, c
	q.length++
}

// leave notes that a connection does not wait for its client.
func (l *connections) leave(c *connection) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.unlist(c)
}

// unlist takes a connection out of its line, if it is in one. l.mu must be held.
func (l *connections) unlist(c *connection) {
	if c.line == nil {
		return
	}
	c.next.before, c.before.next = c.before, c.next
	c.line.length--
	c.line, c.next, c.before = nil, nil, nil
}

// forget notes that a connection is closed.
func (l *connections) forget(c *connection) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.unlist(c)
	if l.open[c.owner]--; l.open[c.owner] <= 0 {
		delete(l.open, c.owner)
	}
}

// noteState keeps the lines of connections that wait. It is the ConnState of the http.Server, which
// calls a connection active once the head of a request has arrived whole.
func (l *connections) noteState(conn net.Conn, state http.ConnState) {
	c, ok := connectionBelow(conn)
	if !ok {
		return
	}
	switch state {
	case http.StateNew:
		l.wait(c, &l.silent)
	case http.StateIdle:
		c.head.begin()
		l.wait(c, &l.idle)
	default:
		l.leave(c)
	}
}

// refuse answers a connection without a place, and closes it within refusalWait and
// refusalTimeout. If too many are being refused, it is answered and closed at once, and its client
// may lose the answer.
func (l *connections) refuse(c socket) {
	_ = c.SetDeadline(time.Now().Add(refusalTimeout))
	hold := new(bound.Hold)
	if l.refusals.TakeFor(context.Background(), hold, 1) != nil {
		_, _ = c.Write(l.refusal) // it fits into the socket's buffer
		c.Close()
		return
	}
	go func() {
		defer hold.Release()
		defer c.Close()
		_ = c.SetReadDeadline(time.Now().Add(refusalWait))
		_, err := c.Read(make([]byte, 1))
		if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			return // the client has gone
		}
		_ = c.SetReadDeadline(time.Now().Add(refusalTimeout))
		if _, err := c.Write(l.refusal); err != nil || c.CloseWrite() != nil {
			return
		}
		_, _ = io.CopyN(io.Discard, c, refusalDrain)
	}()
}

// noDescriptors reports whether an error says that the process, or the system, has no file
// descriptor left.
func noDescriptors(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE)
}

// openSpare opens a descriptor to be given up later. It returns nil if there is none.
func openSpare() *os.File {
	spare, err := os.Open(os.DevNull)
	if err != nil {
		return nil
	}
	return spare
}

// useSpare gives up the spare descriptor to answer the next connection 503. Without that, clients
// would hang in the queue of the system while descriptors have run out. It reports whether it has
// answered one; if not, Accept returns the error, and net/http tries again after a while.
func (l *connections) useSpare() bool {
	l.giveWay("")
	if l.spare == nil {
		l.spare = openSpare()
	}
	if l.spare == nil {
		return false
	}
	l.spare.Close()
	conn, err := l.Listener.Accept()
	if tcp, ok := conn.(socket); ok && err == nil {
		l.places.Refuse()
		_ = tcp.SetDeadline(time.Now().Add(spareTimeout))
		if _, err := tcp.Write(l.refusal); err == nil && tcp.CloseWrite() == nil {
			_, _ = io.CopyN(io.Discard, tcp, refusalDrain)
		}
		tcp.Close()
	}
	l.spare = openSpare()
	return err == nil
}
