package main

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"kvgateway/internal/bound"
	"kvgateway/internal/handlers"
)

const (
	// beginningLease is how long a connection counts as beginning if its first request does not
	// arrive whole. Without this bound, thousands of connections that are opened at once would all
	// come before the requests of others (see bound.Turn).
	beginningLease = 2 * time.Millisecond
	// beginningWait is how long a connection waits for its turn to begin.
	beginningWait = 10 * time.Second

	// headBytes bounds the bytes of all heads that have not arrived whole.
	headBytes = 32 << 20

	// unsentBytes is how much of an answer waits in the system beside what is on its way to the
	// client.
	unsentBytes = 64 << 10
)

// A connectionLimit says how many connections a listener may have.
type connectionLimit struct {
	// name, of and setting are those of the bound, see [bound.Spec].
	name, of, setting string
	// places is how many connections may be open.
	places int64
	// refusals is how many more are answered 503 at the same time.
	refusals int64
	// descriptors is how many file descriptors the process may have, 0 if that is not known.
	descriptors int64
}

// connections is a listener that bounds what its connections hold, before net/http and the handlers
// know of them.
//
// The first bound is that of places. Without it new connections could use up the file descriptors
// of the process: new clients then hung in the queue of the system, /readyz as well, and no bucket
// could be created (256 descriptors, 300 streams). So the connections of the API have as many
// places as planDescriptors leaves them, of which one address may have three quarters, and the
// admin listener has 16 of its own (TestConnectionsLeaveFileDescriptorsForTheStore in test/e2e). A
// connection for which there is no place is accepted, answered 503 and closed, since its client
// would wait in vain in the queue of the system. But first one that waits for its client may have
// to give its place, see [connections.giveWay]. A connection has its place until it is closed,
// whoever closes it: a stream takes it over from net/http.
//
// The other bounds are on connections that are being refused, on those whose first request is being
// read (they take turns as requests do), on heads that have not arrived whole, and on what the
// system keeps of an answer.
//
// One connection is a client of its own in the bounds of the handlers, since an attacker can have
// the address of everybody else, behind a proxy or on loopback. One HTTP/2 connection therefore has
// 100 requests at once, beside watches and long polls, and 16 MiB of answers (connection-requests
// and connection-answer-bytes in docs/bounds.md). An HTTP/2 stream cannot be reset while its
// connection takes nothing, so 250 ms after an answer was cut without success its connection is
// closed.
type connections struct {
	net.Listener
	// places counts the open connections.
	places *bound.Bound
	// refusals counts the connections that are being refused.
	refusals *bound.Bound
	// beginning counts the connections whose first request is being read.
	beginning *bound.Bound
	// unsent is the bound on the bytes of an answer that wait in the system.
	unsent *bound.Bound
	// heads counts the bytes of heads that have not arrived whole.
	heads *bound.Bound
	// refusal is the answer to a connection or a head for which there is no room.
	refusal []byte
	// descriptors is how many file descriptors the process may have, 0 if that is not known.
	descriptors int64
	// spare is a descriptor that is given up to answer a connection for which there is none left.
	// It is nil while there is none for it either. Only Accept uses it.
	spare *os.File
	// closed is called once for each connection that is closed; nil for nothing. It does not change
	// once connections are accepted.
	closed func(*connection)

	// mu guards the fields below, and those of connections that say so.
	mu sync.Mutex
	// silent are the connections whose first request has yet to arrive, and idle those that are
	// between two requests.
	silent, idle line
	// open has the number of open connections of each client.
	open map[string]int
}

// A connection is an open connection that has a place.
type connection struct {
	socket
	// listener is the listener that has accepted it.
	listener *connections
	// owner is the client for the bounds, made from its address.
	owner string
	// place is its place.
	place bound.Hold
	// once lets only the first Close release the place and close ended.
	once sync.Once
	// hasBegun says that its first bytes were read. Only Read uses it.
	hasBegun bool
	// beginning is held until the first request has arrived.
	beginning bound.Hold
	// head counts the head of a request while it arrives.
	head head
	// step is called during a write, see OnStep.
	step atomic.Pointer[func()]
	// speaksTLS says that it carries TLS, so that no answer can be sent on it in the clear. It is
	// set before the first byte is read.
	speaksTLS bool
	// handshake is held while a handshake is under way; nil otherwise. It can be evicted while the
	// client sends nothing. Only the goroutine of the handshake uses it.
	handshake *bound.Hold
	// written counts the bytes of TLS that were written since the last step.
	written atomic.Int64
	// isTorn says that a write of TLS has failed, after which nothing more can be sent.
	isTorn atomic.Bool
	// flooded says that nothing more is read from it, see Flooded.
	flooded atomic.Bool
	// trust ends, by distrust, when the certificate of its client is not trusted any more. Both are
	// nil if the client has none, and do not change after the handshake.
	trust    context.Context
	distrust context.CancelFunc
	// ended is closed with the connection.
	ended chan struct{}

	// line is where the connection waits for its client, nil while it does not. listener.mu guards
	// this and the fields below.
	line *line
	// next and before are the neighbours in the line.
	next, before *connection
	// since is when it began to wait.
	since time.Time
}

// limitConnections bounds the connections of a listener. refusal is sent to those without a place.
func limitConnections(
	l net.Listener, bounds *bound.Set, limit connectionLimit, refusal []byte,
) *connections {
	all := &connections{Listener: l, refusal: refusal, descriptors: limit.descriptors,
		open: make(map[string]int)}
	all.silent.init(silentPatience)
	all.idle.init(idlePatience)
	all.spare = openSpare()
	all.places = bounds.New(bound.Spec{
		Name:     limit.name,
		Of:       limit.of,
		Unit:     bound.Places,
		Limit:    limit.places,
		PerOwner: max(1, limit.places/4*3),
		Setting:  limit.setting,
		AtLimit: "a connection that has sent no whole request for 1 s, or none for 5 s since " +
			"the last, is closed; else a new one is answered 503 and closed",
	})
	all.refusals = bounds.New(bound.Spec{
		Name:    limit.name + "-refused",
		Of:      "connections that are being answered 503, of " + limit.name,
		Unit:    bound.Places,
		Limit:   limit.refusals,
		AtLimit: "a connection is closed right after its answer, which may get lost",
	})
	all.beginning = bounds.New(bound.Spec{
		Name: limit.name + "-beginning",
		Of: "new connections whose first request is being read, each for 2 ms at most, of " +
			limit.name,
		Unit:     bound.Places,
		Limit:    4 * handlers.WorkShare(),
		PerOwner: handlers.WorkShare(),
		Lease:    beginningLease,
		Wait:     beginningWait,
		QueuedBy: limit.name,
		AtLimit:  "connections wait, clients taking turns; one that has waited for 10 s is closed",
	})
	all.unsent = bounds.New(bound.Spec{
		Name: limit.name + "-unsent",
		Of: "bytes that wait in the system for one client beside what is on its way to it, of " +
			limit.name + "; on Linux only",
		Unit:    bound.Bytes,
		Limit:   unsentBytes,
		AtLimit: "what follows waits in the gateway, and counts as `answer-bytes`",
	})
	all.heads = bounds.New(bound.Spec{
		Name: limit.name + "-heads",
		Of: "bytes of request lines and headers over HTTP/1.1 that have not arrived whole, if " +
			"they have more than 8 KiB, of " + limit.name,
		Unit:     bound.Bytes,
		Limit:    headBytes,
		PerOwner: headBytes / 2,
		AtLimit:  "the request is answered 503 and its connection closed",
	})
	return all
}

// Accept returns the next connection that has a place, and answers those that have none.
func (l *connections) Accept() (net.Conn, error) {
	for {
		accepted, err := l.Listener.Accept()
		if noDescriptors(err) && l.useSpare() {
			continue
		}
		if err != nil {
			return nil, err
		}
		conn, ok := accepted.(socket)
		if !ok { // this cannot happen with a listener of ours
			accepted.Close()
			continue
		}
		c := &connection{socket: conn, listener: l, owner: ownerOf(conn),
			ended: make(chan struct{})}
		if l.admit(c) {
			// If the connection is gone, its reader notices.
			_ = limitUnsent(conn, int(l.unsent.Limit()))
			return c, nil
		}
		l.refuse(conn)
	}
}

// Read reads from the connection. The first call waits until there is something to read, and then
// for a place among the connections that begin: a connection that sends nothing takes no place.
func (c *connection) Read(p []byte) (int, error) {
	if !c.hasBegun {
		c.hasBegun = true
		if err := awaitBytes(c.socket); err != nil {
			return 0, err
		}
		c.listener.leave(c) // it does not wait for its client
		places := c.listener.beginning
		err := places.Take(context.Background(), &c.beginning, c.owner, 1, nil)
		if err != nil {
			return 0, err
		}
		c.listener.wait(c, &c.listener.silent) // for the rest of the request
	}
	if c.flooded.Load() {
		return 0, c.endFlood()
	}
	if c.handshake != nil {
		c.handshake.Evictable(func() { c.Close() })
		defer c.handshake.Evictable(nil)
	}
	n, err := c.socket.Read(p)
	if c.flooded.Load() {
		return 0, c.endFlood()
	}
	if !c.head.room(c, p[:n]) {
		if !c.speaksTLS {
			_, _ = c.socket.Write(c.listener.refusal) // it fits into the socket's buffer
		}
		return 0, io.EOF // to which net/http answers nothing
	}
	return n, err
}

// floodPause is for how long nothing is read from a flooded connection before it is closed.
const floodPause = 5 * time.Second

// Flooded ends the connection after floodPause. Nothing more is read from it meanwhile. If it were
// closed at once, its client would come back at once: 40 clients that did so, with 2,000 requests
// each, took all of both processors (measured). See [handlers.ConnContext].
func (c *connection) Flooded() { c.flooded.Store(true) }

// endFlood waits for the end of floodPause, or until the connection is closed. It returns what Read
// returns then, for which net/http closes the connection.
func (c *connection) endFlood() error {
	pause := time.NewTimer(floodPause)
	defer pause.Stop()
	select {
	case <-pause.C:
	case <-c.ended:
	}
	return io.EOF
}

// writeStep is the number of bytes after which a connection reports that its client goes on taking
// an answer. With larger steps a client of 100 KB/s would look stalled.
const writeStep = 64 << 10

// errTorn is the error of a write after one that has failed.
var errTorn = errors.New("an earlier write over TLS has failed")

// Write writes to the connection, and calls the function of OnStep after each step. See
// [handlers.ConnContext].
//
// Once a write of TLS has failed, the client cannot read what follows. The alert that
// tls.Conn.Close sends fails then at once, and not after its 5 s: for so long a stream that was cut
// because its client takes nothing kept its places and its subscriptions.
func (c *connection) Write(p []byte) (n int, err error) {
	if c.isTorn.Load() {
		return 0, errTorn
	}
	for {
		m, err := c.socket.Write(p[n:min(len(p), n+writeStep)])
		n += m
		isStep := n < len(p)
		if c.speaksTLS { // in records of up to 16 KiB each, which are parts of one answer
			isStep = c.written.Add(int64(m)) >= writeStep
		}
		if step := c.step.Load(); err == nil && isStep && step != nil {
			c.written.Store(0)
			(*step)()
		}
		if err != nil {
			c.isTorn.Store(c.speaksTLS)
			return n, err
		}
		if n == len(p) {
			return n, nil
		}
	}
}

// OnStep sets the function that Write calls after each step, nil for none.
func (c *connection) OnStep(step *func()) { c.step.Store(step) }

// Close closes the connection and releases its place.
func (c *connection) Close() error {
	err := c.socket.Close()
	c.once.Do(func() {
		close(c.ended)
		c.listener.forget(c)
		c.place.Release()
		if c.listener.closed != nil {
			c.listener.closed(c)
		}
	})
	c.beginning.Release()
	c.head.done()
	return err
}
