package main

import (
	"net"
	"sync"
	"time"
)

// A proxy stands between gateway and NATS, so that their connection can be cut while everybody else's holds.
type proxy struct {
	listener net.Listener
	target   string

	mu      sync.Mutex
	changed *sync.Cond
	refuse  bool
	frozen  bool // nothing passes, and nobody is told: a network that drops every packet
	open    map[net.Conn]bool
}

func newProxy(target string) (*proxy, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &proxy{listener: l, target: target, open: map[net.Conn]bool{}}
	p.changed = sync.NewCond(&p.mu)
	go p.accept()
	return p, nil
}

func (p *proxy) accept() {
	for {
		c, err := p.listener.Accept()
		if err != nil {
			return
		}
		go p.join(c)
	}
}

func (p *proxy) join(c net.Conn) {
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

func (p *proxy) copy(to, from net.Conn) {
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
func (p *proxy) pass() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.frozen {
		p.changed.Wait()
	}
}

// cut ends every connection and refuses new ones for a while.
func (p *proxy) cut(d time.Duration) {
	p.mu.Lock()
	p.refuse = true
	for c := range p.open {
		c.Close()
	}
	p.mu.Unlock()
	time.Sleep(d)
	p.mu.Lock()
	p.refuse = false
	p.mu.Unlock()
}

// partition lets nothing pass for a while, as if every packet were lost. What was sent comes when it is over.
func (p *proxy) partition(d time.Duration) {
	p.mu.Lock()
	p.frozen = true
	p.mu.Unlock()
	time.Sleep(d)
	p.mu.Lock()
	p.frozen = false
	p.mu.Unlock()
	p.changed.Broadcast()
}
