package main

import (
	"bytes"
	"sync"

	"kvgateway/internal/bound"
	"kvgateway/internal/handlers"
)

// A head counts what a connection has read of the line and headers of a request that has yet to come
// whole, which net/http keeps. Over HTTP/2 it counts nothing: there a connection has one such head.
type head struct {
	mu    sync.Mutex
	over  bool // it has come whole, or is none
	http2 bool
	bytes int64
	hold  bound.Hold
}

// preface is how an HTTP/2 connection begins (RFC 9113 §3.4).
var preface = []byte("PRI * HTTP/2")

// room counts what was read, and reports whether there is room for it.
func (h *head) room(c *connection, read []byte) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.over || h.http2 {
		return true
	}
	if h.http2 = h.bytes == 0 && bytes.HasPrefix(read, preface); h.http2 {
		return true
	}
	switch h.bytes += int64(len(read)); {
	case h.bytes <= handlers.FreeHead:
		return true
	case h.hold.Size() == 0:
		heads := c.among.heads
		if heads.Try(&h.hold, c.owner, h.bytes, nil) {
			return true
		}
		heads.Refuse()
		return false
	}
	return h.hold.Grow(h.bytes)
}

// begin notes that what comes next is a head.
func (h *head) begin() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.over, h.bytes = false, 0
	h.hold.Release() // of a request that no handler was asked for, such as OPTIONS *
}

// done notes that a head has come whole, or that none comes any more.
func (h *head) done() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.over = true
	h.hold.Release()
}

// HeadDone notes that a request has come with all of its headers. See [handlers.ConnContext].
func (c *connection) HeadDone() {
	c.turn.Release()
	c.head.done()
}
