package natstest

import (
	"bytes"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
)

// A Proxy passes TCP connections on to a server until it is told to misbehave. Its methods are safe for concurrent use.
type Proxy struct {
	target   string
	listener net.Listener

	mu      sync.Mutex
	changed sync.Cond // on mu
	conns   map[*proxied]struct{}
	paused  bool
	refuse  bool
	closed  bool
	trigger trigger
	tamper  func(answer []byte) bool
}

// A trigger is armed by CutAnswerTo, SwallowAnswerTo or Hold.
type trigger struct {
	needle    []byte // in what a client sends; nil if not armed
	cut       bool
	fired     chan struct{}
	meanwhile func() // nil but for Hold
}

// A proxied connection has two sides; lost and cutNext say what becomes of the bytes.
type proxied struct {
	client, server net.Conn
	hello          string // the first that the client sends, which has its name
	lost           bool   // both directions are read and dropped, for good
	swallow        bool   // what the server answers is dropped
	cutNext        bool   // the next answer is dropped, and the connection with it
	fired          chan struct{}
}

// StartProxy starts a proxy in front of a host and port. It ends with the test.
func StartProxy(tb testing.TB, target string) *Proxy {
	tb.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatalf("proxy: %v", err)
	}
	p := &Proxy{target: target, listener: listener, conns: make(map[*proxied]struct{})}
	p.changed.L = &p.mu
	go p.accept()
	tb.Cleanup(p.close)
	return p
}

// URL is the address for NATS clients.
func (p *Proxy) URL() string { return "nats://" + p.listener.Addr().String() }

// Cut resets all connections. New ones are accepted.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		c.reset()
	}
}

// Refuse resets new connections at once, until it is called with false.
func (p *Proxy) Refuse(on bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refuse = on
}

// Pause stops reading from either side, as a stopped process does: what is sent waits in the buffers between.
func (p *Proxy) Pause() { p.setPaused(true) }

// Resume ends Pause.
func (p *Proxy) Resume() { p.setPaused(false) }

// Strand loses the connections that there are as a network does that drops all packets: neither side hears of it. New
// connections work. With names it loses those only whose client's name ends like one of them.
func (p *Proxy) Strand(names ...string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		if len(names) == 0 || slices.ContainsFunc(names, func(name string) bool { return strings.Contains(c.hello, name+`"`) }) {
			c.lost = true
		}
	}
}

// CutAnswerTo waits for a client to send the bytes of needle, passes them on, and resets that connection in the place of
// the server's next answer. The channel is closed when it has happened.
func (p *Proxy) CutAnswerTo(needle string) <-chan struct{} { return p.arm(needle, true) }

// SwallowAnswerTo is CutAnswerTo, but that the connection stands and stays silent.
func (p *Proxy) SwallowAnswerTo(needle string) <-chan struct{} { return p.arm(needle, false) }

func (p *Proxy) arm(needle string, cut bool) <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.trigger = trigger{needle: []byte(needle), cut: cut, fired: make(chan struct{})}
	return p.trigger.fired
}

// Hold waits for a client to send the bytes of needle, and calls meanwhile before it passes them on: what happens there
// happens before the request.
func (p *Proxy) Hold(needle string, meanwhile func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.trigger = trigger{needle: []byte(needle), meanwhile: meanwhile}
}

// Tamper calls change with what the server sends, until it returns true: it may change bytes, but not how many there are.
func (p *Proxy) Tamper(change func(answer []byte) (done bool)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tamper = change
}

func (p *Proxy) setPaused(on bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.paused = on
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
		c := &proxied{client: client, server: server}
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

// pump passes bytes from one side to the other, as far as observe lets them through.
func (p *Proxy) pump(c *proxied, from, to net.Conn, observe func(c *proxied, chunk []byte) bool) {
	defer p.drop(c)
	buffer := make([]byte, 64<<10)
	for {
		if !p.awaitResumed() {
			return
		}
		n, err := from.Read(buffer)
		if !p.awaitResumed() {
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

// awaitResumed blocks while the proxy is paused; it returns false when the proxy ends.
func (p *Proxy) awaitResumed() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.paused && !p.closed {
		p.changed.Wait()
	}
	return !p.closed
}

// observeRequest looks for the armed needle. A request that two reads split would be missed; requests of tests are small.
func (p *Proxy) observeRequest(c *proxied, chunk []byte) bool {
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

func (p *Proxy) observeAnswer(c *proxied, chunk []byte) bool {
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

// drop ends both sides when one has ended; a lost connection stays, since nobody may hear of its end.
func (p *Proxy) drop(c *proxied) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c.lost && !p.closed {
		return
	}
	c.reset()
	delete(p.conns, c)
}

// reset closes both sides without the usual farewell, so that unsent bytes are gone.
func (c *proxied) reset() {
	for _, conn := range []net.Conn{c.client, c.server} {
		if tcp, ok := conn.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
			_ = tcp.Close()
		}
	}
}
