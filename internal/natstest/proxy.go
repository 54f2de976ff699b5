package natstest

import (
	"bytes"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
)

// A Proxy passes TCP connections on to a server, and breaks them when it is told to. Its methods
// are safe for concurrent use.
//
// For each connection two goroutines copy bytes, one from the client to the server and one back.
// Before they pass on a chunk, which is what one read returned, they look at it under the lock:
//
//   - A chunk of a client may contain the bytes for which a trigger is armed. That disarms the
//     trigger. One of Hold calls the test's function before the chunk is passed on. One of
//     CutAnswerTo or SwallowAnswerTo marks the connection, and passes the chunk on.
//   - The server's next chunk on a marked connection counts as the answer. It is dropped, the test
//     is told, and after CutAnswerTo the connection is reset.
//
// Both goroutines wait while their connection is paused, before and after each read.
type Proxy struct {
	// target is the host and port of the server.
	target string
	// listener accepts the connections of clients.
	listener net.Listener

	// mu guards the fields below, and those of all connections.
	mu sync.Mutex
	// changed is on mu, and is told when paused or closed changes.
	changed sync.Cond
	// conns are the connections that are open, and those that are lost.
	conns map[*proxiedConn]struct{}
	// paused says that nothing is read from either side of the connections of pausedNames.
	paused bool
	// pausedNames are those that Pause was given; none stand for all connections.
	pausedNames []string
	// refuse says that new connections are reset at once.
	refuse bool
	// closed says that the test has ended.
	closed bool
	// trigger is what waits for a client's request. There is one at a time.
	trigger trigger
	// tamper changes what the server sends, and returns whether it is done. It may be nil.
	tamper func(answer []byte) bool
}

// A trigger is armed by CutAnswerTo, SwallowAnswerTo or Hold, and disarmed when it fires.
type trigger struct {
	// needle is in the request that is waited for. It is nil if the trigger is not armed.
	needle []byte
	// cut says that the connection is reset in the place of the answer. Otherwise it stays.
	cut bool
	// fired is closed when the answer is dropped. It is nil for Hold.
	fired chan struct{}
	// meanwhile is called before the request is passed on. It is nil but for Hold.
	meanwhile func()
}

// A proxiedConn is a client's connection with that to the server. The proxy's mu guards it.
type proxiedConn struct {
	// client and server are the two sides.
	client, server net.Conn
	// hello is the first chunk that the client sent, which contains the client's name.
	hello string
	// lost says that both directions are read and dropped from now on.
	lost bool
	// swallow says that everything that the server sends is dropped from now on.
	swallow bool
	// cutNext says that the connection is reset when the server sends something.
	cutNext bool
	// fired is closed when the server sends something. It is nil if nobody waits for that.
	fired chan struct{}
}

// StartProxy starts a proxy in front of a server at the given host and port. It ends with the test.
func StartProxy(tb testing.TB, target string) *Proxy {
	tb.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatalf("proxy: %v", err)
	}
	p := &Proxy{target: target, listener: listener, conns: make(map[*proxiedConn]struct{})}
	p.changed.L = &p.mu
	go p.accept()
	tb.Cleanup(p.close)
	return p
}

// URL returns the proxy's address for NATS clients.
func (p *Proxy) URL() string { return "nats://" + p.listener.Addr().String() }

// Cut resets all connections. New connections are accepted, unless they are refused.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		c.reset()
	}
}

// Refuse makes the proxy reset new connections at once, until it is called with false. Those that
// are open stay.
func (p *Proxy) Refuse(on bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refuse = on
}

// Pause makes the proxy stop reading from either side, as a stopped process does. What the two
// sides send waits in the buffers of the operating system until Resume. If names are given, Pause
// concerns only connections of clients whose name ends with one of them.
func (p *Proxy) Pause(names ...string) { p.setPaused(true, names) }

// Resume ends Pause.
func (p *Proxy) Resume() { p.setPaused(false, nil) }

// Strand loses the present connections, like a network that drops all their packets: neither side
// is told. New connections work. If names are given, Strand loses only connections of clients
// whose name ends with one of them.
func (p *Proxy) Strand(names ...string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		c.lost = c.lost || c.isOneOf(names)
	}
}

// isOneOf reports whether the client's name ends with one of the names, or there are none.
func (c *proxiedConn) isOneOf(names []string) bool {
	return len(names) == 0 || slices.ContainsFunc(names, c.nameEndsWith)
}

// nameEndsWith reports whether the client sent a name with this end when it connected. Its hello is
// JSON, in which a quotation mark follows the name.
func (c *proxiedConn) nameEndsWith(end string) bool { return strings.Contains(c.hello, end+`"`) }

// CutAnswerTo makes the proxy wait for a client's request that contains needle. It passes the
// request on, and when the server answers it resets the connection instead of passing the answer
// on. The channel that CutAnswerTo returns is closed when that happens.
func (p *Proxy) CutAnswerTo(needle string) <-chan struct{} { return p.arm(needle, true) }

// SwallowAnswerTo does the same as CutAnswerTo, but does not reset the connection: from the answer
// on, all that the server sends on it is lost.
func (p *Proxy) SwallowAnswerTo(needle string) <-chan struct{} { return p.arm(needle, false) }

func (p *Proxy) arm(needle string, cut bool) <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.trigger = trigger{needle: []byte(needle), cut: cut, fired: make(chan struct{})}
	return p.trigger.fired
}

// Hold makes the proxy wait for a client's request that contains needle, and call meanwhile before
// it passes the request on. So what meanwhile does happens before the request arrives.
func (p *Proxy) Hold(needle string, meanwhile func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.trigger = trigger{needle: []byte(needle), meanwhile: meanwhile}
}

// Tamper makes the proxy call change with each chunk that the server sends, on any connection,
// until change returns true. It may change the bytes in place, but not how many there are.
func (p *Proxy) Tamper(change func(answer []byte) (done bool)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tamper = change
}

func (p *Proxy) setPaused(on bool, names []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.paused, p.pausedNames = on, names
	p.changed.Broadcast()
}

func (p *Proxy) close() {
	p.listener.Close()
	p.mu.Lock()
	p.closed = true
	p.changed.Broadcast()
	p.mu.Unlock()
	p.Cut()
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", p.target)
		c := &proxiedConn{client: client, server: server}
		p.mu.Lock()
		if err != nil || p.refuse || p.closed {
			c.reset()
		} else {
			p.conns[c] = struct{}{}
			go p.pump(c, client, server, p.observeRequest)
			go p.pump(c, server, client, p.observeAnswer)
		}
		p.mu.Unlock()
	}
}

// pump passes chunks from one side to the other, unless observe returns false. It returns when one
// of the sides has ended.
func (p *Proxy) pump(
	c *proxiedConn,
	from, to net.Conn,
	observe func(c *proxiedConn, chunk []byte) (pass bool),
) {
	defer p.drop(c)
	buffer := make([]byte, 64<<10)
	for {
		if !p.awaitResumed(c) {
			return
		}
		n, err := from.Read(buffer)
		if !p.awaitResumed(c) {
			return
		}
		if n > 0 && observe(c, buffer[:n]) {
			if _, err := to.Write(buffer[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// awaitResumed waits while the connection is paused. It returns false if the test has ended.
func (p *Proxy) awaitResumed(c *proxiedConn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.paused && c.isOneOf(p.pausedNames) && !p.closed {
		p.changed.Wait()
	}
	return !p.closed
}

// observeRequest looks at what a client sends, and fires the trigger if it contains the needle. It
// would miss a request that is split between two chunks, but the requests of tests are small. It
// calls meanwhile without the lock, so that the test can use the proxy there.
func (p *Proxy) observeRequest(c *proxiedConn, chunk []byte) (pass bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c.hello == "" {
		c.hello = string(chunk)
	}
	t := p.trigger
	if t.needle == nil || !bytes.Contains(chunk, t.needle) {
		return !c.lost
	}
	p.trigger = trigger{}
	if t.meanwhile == nil {
		c.swallow, c.cutNext, c.fired = true, t.cut, t.fired
		return !c.lost
	}
	p.mu.Unlock()
	t.meanwhile()
	p.mu.Lock()
	return !c.lost
}

// observeAnswer looks at what the server sends, and does what a trigger has asked for.
func (p *Proxy) observeAnswer(c *proxiedConn, chunk []byte) (pass bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.tamper != nil && p.tamper(chunk) {
		p.tamper = nil
	}
	if c.fired != nil {
		close(c.fired)
		c.fired = nil
	}
	if c.cutNext {
		c.reset()
	}
	return !c.lost && !c.swallow
}

// drop ends both sides of a connection when one has ended. A lost connection stays until the test
// ends, since the other side must not be told.
func (p *Proxy) drop(c *proxiedConn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c.lost && !p.closed {
		return
	}
	c.reset()
	delete(p.conns, c)
}

// reset closes both sides with a TCP reset, so that bytes that were not sent yet are lost. It does
// nothing on a side that is nil or closed.
func (c *proxiedConn) reset() {
	for _, conn := range []net.Conn{c.client, c.server} {
		if tcp, ok := conn.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
			_ = tcp.Close()
		}
	}
}
