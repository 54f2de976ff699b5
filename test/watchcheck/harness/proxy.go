// Package harness has what the checkers need around a gateway: processes that can be killed and paused, and a proxy that can cut.
package harness

import (
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
	open    map[net.Conn]bool
}

// NewProxy listens on a free port of the loopback interface and passes everything on to the target, for as long as the process lives.
func NewProxy(target string) (*Proxy, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &Proxy{listener: l, target: target, open: map[net.Conn]bool{}}
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
	p.open[c] = true
	p.mu.Unlock()
	go p.copy(up, c)
	p.copy(c, up)
	p.mu.Lock()
	delete(p.open, c)
	p.mu.Unlock()
}

func (p *Proxy) copy(to, from net.Conn) {
	defer to.Close()
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		p.pass()
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
		c.Close()
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

// wait does something in the middle of a while.
func wait(d time.Duration, meanwhile func()) {
	until := time.Now().Add(d)
	if meanwhile != nil {
		time.Sleep(d / 3)
		meanwhile()
	}
	time.Sleep(time.Until(until))
}
