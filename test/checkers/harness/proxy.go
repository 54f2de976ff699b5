// Package harness has what the checkers need around a gateway: processes that can be killed and paused, and a proxy that can cut.
package harness

import (
	"bytes"
	"net"
	"sync"
	"time"
)

// Proxy stands between gateway and NATS, so that their connection can be cut while everybody else's holds.
type Proxy struct {
	listener net.Listener
	target   string

	mu      sync.Mutex
	changed *sync.Cond
	refuse  bool
	frozen  bool // nothing passes, and nobody is told: a network that drops every packet
	open    map[*joined]bool
}

// joined is a client's connection and the server's end of it.
type joined struct {
	client, server net.Conn
	hello          []byte // what the client sent first, which has its name
	dead           bool   // what either side sends is dropped, and nobody is told
}

// NewProxy listens on a free port of the loopback interface and passes everything on to the target, for as long as the process lives.
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

// Addr is where it listens.
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
		p.mu.Unlock()
		if _, err2 := to.Write(buffer[:n]); err != nil || err2 != nil {
			return
		}
	}
}

// pass waits while nothing passes.
func (p *Proxy) pass() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.frozen {
		p.changed.Wait()
	}
}

// Cut ends every connection and refuses new ones, for a while or for as long as something takes.
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

// Partition lets nothing pass for a while, as if every packet were lost. What was sent comes when it is over.
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

// Kill makes the connections dead whose client has a name that ends so: nothing passes, and nobody is told, for a while. Then they
// end. All others go on.
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

// wait does something in the middle of a while.
func wait(d time.Duration, meanwhile func()) {
	until := time.Now().Add(d)
	if meanwhile != nil {
		time.Sleep(d / 3)
		meanwhile()
	}
	time.Sleep(time.Until(until))
}
