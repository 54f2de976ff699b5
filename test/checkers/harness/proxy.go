// Package harness has what the checkers share: their flags, processes that can be killed and
// paused, proxies that cut connections, ports, and a measure of how late the machine runs them.
package harness

import (
	"bytes"
	"net"
	"sync"
	"time"
)

// Proxy stands between a gateway and NATS. It can cut the gateway's connections while those of
// others hold. Its methods may be called by several goroutines.
type Proxy struct {
	listener net.Listener
	target   string

	mu      sync.Mutex // guards what follows
	changed *sync.Cond // is signalled when frozen becomes false
	refuse  bool       // New connections are closed at once.
	frozen  bool       // Nothing passes and no end learns of it, as if every packet were lost.
	late    string     // What the server sends to clients of this name passes after a while.
	delay   time.Duration
	open    map[*joined]bool
}

// joined is a client's connection and the one to the server that it is passed on to.
type joined struct {
	client, server net.Conn
	hello          []byte // What the client sent first, which contains its name.
	dead           bool   // What either end sends is dropped, and neither learns of it.
}

// NewProxy listens on a free port of the loopback interface and passes every connection on to
// target, for as long as the process lives.
func NewProxy(target string) (*Proxy, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &Proxy{listener: l, target: target, open: map[*joined]bool{}}
	p.changed = sync.NewCond(&p.mu)
	go p.accept()
	return p, nil
}

// Addr returns the address on which it listens.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

func (p *Proxy) accept() {
	for {
		c, err := p.listener.Accept()
		if err != nil {
			return
		}
		go p.join(c)
	}
}

func (p *Proxy) join(c net.Conn) {
	defer c.Close()
	p.pass()
	up, err := net.Dial("tcp", p.target)
	if err != nil {
		return
	}
	defer up.Close()
	p.mu.Lock()
	if p.refuse {
		p.mu.Unlock()
		return
	}
	both := &joined{client: c, server: up}
	p.open[both] = true
	p.mu.Unlock()
	go p.copy(both, up, c)
	p.copy(both, c, up)
	p.mu.Lock()
	delete(p.open, both)
	p.mu.Unlock()
}

func (p *Proxy) copy(both *joined, to, from net.Conn) {
	defer to.Close()
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		p.pass()
		p.mu.Lock()
		if from == both.client && both.hello == nil {
			both.hello = bytes.Clone(buffer[:n])
		}
		if both.dead {
			n = 0
		}
		delay := time.Duration(0)
		if p.late != "" && from == both.server && bytes.Contains(both.hello, []byte(p.late+`"`)) {
			delay = p.delay
		}
		p.mu.Unlock()
		time.Sleep(delay)
		if _, err2 := to.Write(buffer[:n]); err != nil || err2 != nil {
			return
		}
	}
}

// pass waits until the proxy is no longer frozen.
func (p *Proxy) pass() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.frozen {
		p.changed.Wait()
	}
}

// Cut ends every connection and refuses new ones for d, or for as long as meanwhile takes if that
// is longer. Meanwhile may be nil, and is called after a third of d.
func (p *Proxy) Cut(d time.Duration, meanwhile func()) {
	p.mu.Lock()
	p.refuse = true
	for c := range p.open {
		c.client.Close()
	}
	p.mu.Unlock()
	wait(d, meanwhile)
	p.mu.Lock()
	p.refuse = false
	p.mu.Unlock()
}

// Partition lets nothing pass for as long as Cut does, as if every packet were lost. What was sent
// arrives when it is over.
func (p *Proxy) Partition(d time.Duration, meanwhile func()) {
	p.mu.Lock()
	p.frozen = true
	p.mu.Unlock()
	wait(d, meanwhile)
	p.mu.Lock()
	p.frozen = false
	p.mu.Unlock()
	p.changed.Broadcast()
}

// Kill makes those connections dead whose client has a name that ends with name: nothing passes,
// and neither end learns of it. After as long as Cut takes they are closed. All other connections
// go on.
func (p *Proxy) Kill(name string, d time.Duration, meanwhile func()) {
	var killed []*joined
	p.mu.Lock()
	for c := range p.open {
		if bytes.Contains(c.hello, []byte(name+`"`)) {
			c.dead = true
			killed = append(killed, c)
		}
	}
	p.mu.Unlock()
	wait(d, meanwhile)
	for _, c := range killed {
		c.client.Close()
	}
}

// Delay holds back what the server sends to clients whose name ends with name, for d and up to
// twice as long. It must be called before there are connections.
func (p *Proxy) Delay(name string, d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.late, p.delay = name, d
}

// wait waits for d, and calls meanwhile after a third of it.
func wait(d time.Duration, meanwhile func()) {
	until := time.Now().Add(d)
	if meanwhile != nil {
		time.Sleep(d / 3)
		meanwhile()
	}
	time.Sleep(time.Until(until))
}
