package main

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"kvgateway/internal/bound"
	"kvgateway/internal/handlers"
)

const (
	// idlePatience is how long a connection has been without a request before it is closed in favour
	// of a new one. A shorter time would hit clients between two requests.
	idlePatience = 5 * time.Second
	// refusalTimeout bounds the answer to a connection for which there is no place.
	refusalTimeout = time.Second
	// refusalDrain is how much is read of what such a client has sent, or its system would throw the
	// answer away.
	refusalDrain = 64 << 10

	// beginningLease is for how long a connection counts as beginning whose first request does not come
	// whole. Thousands that are opened at once would all be before the requests of others (see
	// requests-at-work).
	beginningLease = 2 * time.Millisecond
	beginningWait  = 10 * time.Second

	// headBytes is how much all connections have of heads that have yet to come whole.
	headBytes = 32 << 20

	// unsentBytes is how much of an answer waits in the system beside what is under way to the client.
	unsentBytes = 64 << 10
)

// A connectionLimit is the places of a listener.
type connectionLimit struct {
	name     string // of the bound
	of       string
	setting  string
	places   int64
	refusals int64 // that are answered at the same time, beside the places
}

// connections counts the open connections of a listener, so that new ones never use up what the
// store and the requests need of the process' file descriptors. A connection holds its place until
// it is closed, whoever closes it: a stream takes it over from net/http.
//
// A connection for which there is no place is answered 503 and closed: left in the system's queue,
// its client would wait for nothing. If the longest idle connection has been so for idlePatience,
// that is closed instead.
type connections struct {
	net.Listener
	places    *bound.Bound
	refusals  *bound.Bound
	beginning *bound.Bound
	unsent    *bound.Bound // bytes
	heads     *bound.Bound // bytes
	answer    []byte
	patience  time.Duration

	mu sync.Mutex
	// idle is the end of a ring of the idle connections: the longest idle comes next to it, and the
	// latest before it. It is no connection itself.
	idle      connection
	idleCount int
}

// A connection is one that has a place.
type connection struct {
	*net.TCPConn
	among *connections
	owner string
	hold  bound.Hold
	once  sync.Once
	begun bool       // its first bytes were asked for
	turn  bound.Hold // to begin, until the first request is there
	head  head
	step  atomic.Pointer[func()]

	flooded atomic.Bool   // see Flooded
	ended   chan struct{} // closed with the connection

	// Guarded by among.mu.
	next, before *connection // in the ring of idle connections, nil while it is active
	idleSince    time.Time
}

// limitConnections gives a listener's connections places. answer is sent where there is none.
func limitConnections(
	l net.Listener, bounds *bound.Set, limit connectionLimit, answer []byte,
) *connections {
	all := &connections{Listener: l, answer: answer, patience: idlePatience,
		places: bounds.New(bound.Spec{
			Name: limit.name, Of: limit.of, Unit: bound.Places, Limit: limit.places,
			PerOwner: max(1, limit.places/4*3), Setting: limit.setting,
			AtLimit: "the longest idle connection is closed, or a new one is answered 503 and closed",
		}),
		refusals: bounds.New(bound.Spec{
			Name: limit.name + "-refused", Of: "connections that are being answered 503, of " + limit.name,
			Unit: bound.Places, Limit: limit.refusals,
			AtLimit: "a connection is closed at once behind its answer, which may get lost",
		}),
		beginning: bounds.New(bound.Spec{
			Name: limit.name + "-beginning",
			Of: "new connections whose first request is being read, each for 2 ms at most, of " +
				limit.name,
			Unit: bound.Places, Limit: 4 * handlers.WorkShare(), PerOwner: handlers.WorkShare(),
			Lease: beginningLease, Wait: beginningWait, QueuedBy: limit.name,
			AtLimit: "connections wait, clients taking turns; one that has waited for 10 s is closed",
		}),
		unsent: bounds.New(bound.Spec{
			Name: limit.name + "-unsent",
			Of: "bytes that wait in the system for one client beside what is under way to it, of " +
				limit.name + "; on Linux only",
			Unit: bound.Bytes, Limit: unsentBytes,
			AtLimit: "what follows waits in the gateway, and counts as bytes of answers",
		}),
		heads: bounds.New(bound.Spec{
			Name: limit.name + "-heads",
			Of: "bytes of requests' lines and headers that have yet to come whole, of those with more than " +
				"8 KiB, over HTTP/1.1, of " + limit.name,
			Unit: bound.Bytes, Limit: headBytes, PerOwner: headBytes / 2,
			AtLimit: "the request is answered 503 and its connection closed",
		}),
	}
	all.idle.next, all.idle.before = &all.idle, &all.idle
	return all
}

// Accept returns the next connection that has a place, and answers those that have none.
func (l *connections) Accept() (net.Conn, error) {
	for {
		accepted, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		tcp, ok := accepted.(*net.TCPConn)
		if !ok { // this cannot happen with a TCP listener
			accepted.Close()
			continue
		}
		c := &connection{TCPConn: tcp, among: l, ended: make(chan struct{}),
			owner: handlers.OwnerOf(tcp.RemoteAddr().String())}
		if l.admit(c) {
			_ = limitUnsent(tcp, int(l.unsent.Limit())) // if the connection is there no more, its reader is told
			return c, nil
		}
		l.refuse(tcp)
	}
}

// admit gives a connection a place, if need be that of an idle one.
func (l *connections) admit(c *connection) bool {
	err := l.places.Take(context.Background(), &c.hold, c.owner, 1, nil)
	full, ok := errors.AsType[*bound.FullError](err)
	if ok && !full.OfOwner && l.closeIdle() {
		err = l.places.Take(context.Background(), &c.hold, c.owner, 1, nil)
	}
	return err == nil
}

// closeIdle closes the connection that has been idle for longest, if that is long enough.
func (l *connections) closeIdle() bool {
	l.mu.Lock()
	first := l.idle.next
	if first == &l.idle || time.Since(first.idleSince) < l.patience {
		l.mu.Unlock()
		return false
	}
	l.unlist(first)
	l.mu.Unlock()
	first.Close()
	return true
}

// unlist takes a connection out of the idle ones, if it is one. l.mu must be held.
func (l *connections) unlist(c *connection) {
	if c.next == nil {
		return
	}
	c.next.before, c.before.next = c.before, c.next
	c.next, c.before = nil, nil
	l.idleCount--
}

// list makes a connection the latest of the idle ones. l.mu must be held.
func (l *connections) list(c *connection) {
	c.next, c.before = &l.idle, l.idle.before
	c.before.next, l.idle.before = c, c
	l.idleCount++
}

// refuse answers a connection without a place and closes it, in bounded time.
func (l *connections) refuse(c *net.TCPConn) {
	_ = c.SetDeadline(time.Now().Add(refusalTimeout))
	hold := new(bound.Hold)
	if l.refusals.Take(context.Background(), hold, "", 1, nil) != nil {
		_, _ = c.Write(l.answer) // it fits into the socket's buffer
		c.Close()
		return
	}
	go func() {
		defer hold.Release()
		defer c.Close()
		if _, err := c.Write(l.answer); err != nil || c.CloseWrite() != nil {
			return
		}
		_, _ = io.CopyN(io.Discard, c, refusalDrain)
	}()
}

// noteState keeps the list of idle connections. It is the http.Server's ConnState.
func (l *connections) noteState(conn net.Conn, state http.ConnState) {
	c, ok := conn.(*connection)
	if !ok {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.unlist(c)
	if state == http.StateIdle {
		c.head.begin()
		c.idleSince = time.Now()
		l.list(c)
	}
}

// Read reads, for the first time when something has come and it is the connection's turn: one that
// sends nothing takes no turn from others.
func (c *connection) Read(p []byte) (int, error) {
	if !c.begun {
		c.begun = true
		if err := awaitBytes(c.TCPConn); err != nil {
			return 0, err
		}
		if err := c.among.beginning.Take(context.Background(), &c.turn, c.owner, 1, nil); err != nil {
			return 0, err
		}
	}
	if c.flooded.Load() {
		return 0, c.endFlood()
	}
	n, err := c.TCPConn.Read(p)
	if c.flooded.Load() {
		return 0, c.endFlood()
	}
	if !c.head.room(c, p[:n]) {
		_, _ = c.TCPConn.Write(c.among.answer) // it fits into the socket's buffer
		return 0, io.EOF                       // to which net/http answers nothing
	}
	return n, err
}

// floodPause is for how long nothing is read from a connection that is flooded before it is closed.
const floodPause = 5 * time.Second

// Flooded makes the connection end, in a while in which nothing more is read from it. It must not be
// closed at once: 40 clients that came back with 2,000 requests each took all of both processors.
// See [handlers.ConnContext].
func (c *connection) Flooded() { c.flooded.Store(true) }

// endFlood waits for the end of a flooded connection, and returns the error to read then.
func (c *connection) endFlood() error {
	pause := time.NewTimer(floodPause)
	defer pause.Stop()
	select {
	case <-pause.C:
	case <-c.ended:
	}
	return io.EOF
}

// writeStep is after how many bytes a connection says that its client goes on to take an answer.
const writeStep = 64 << 10

// Write writes, and tells whoever wants to know it of each step. See [handlers.ConnContext].
func (c *connection) Write(p []byte) (n int, err error) {
	for {
		m, err := c.TCPConn.Write(p[n:min(len(p), n+writeStep)])
		n += m
		if err != nil || n == len(p) {
			return n, err
		}
		if step := c.step.Load(); step != nil {
			(*step)()
		}
	}
}

// OnStep has a function called while something is written; nil for no more.
func (c *connection) OnStep(step *func()) { c.step.Store(step) }

// Close closes the connection and gives its place back.
func (c *connection) Close() error {
	err := c.TCPConn.Close()
	c.once.Do(func() {
		close(c.ended)
		c.hold.Release()
	})
	c.turn.Release()
	c.head.done()
	return err
}
