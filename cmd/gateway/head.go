package main

import (
	"bytes"
	"sync"

	"kvgateway/internal/bound"
	"kvgateway/internal/handlers"
)

// A head counts what a connection has read of the line and headers of a request, which net/http
// keeps until they have arrived whole. Over HTTP/2 it counts nothing, since a connection has one
// such head at most there. It is safe for concurrent use.
type head struct {
	// mu guards all fields.
	mu sync.Mutex
	// isWhole says that the head has arrived whole, so that bytes belong to a body.
	isWhole bool
	// http2 says that the connection is one of HTTP/2.
	http2 bool
	// bytes is how much of the head has arrived.
	bytes int64
	// hold counts the bytes, once there are more than a head may have for free.
	hold bound.Hold
}

// preface is how an HTTP/2 connection begins (RFC 9113 §3.4).
var preface = []byte("PRI * HTTP/2")

// room counts bytes that were read, and reports whether there is room for them.
func (h *head) room(c *connection, read []byte) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.isWhole || h.http2 {
		return true
	}
	if h.http2 = h.bytes == 0 && bytes.HasPrefix(read, preface); h.http2 {
		return true
	}
	switch h.bytes += int64(len(read)); {
	case h.bytes <= handlers.FreeHead:
		return true
	case h.hold.Size() == 0:
		heads := c.listener.heads
		if heads.Try(&h.hold, c.owner, h.bytes, nil) {
			return true
		}
		heads.Refuse()
		return false
	}
	return h.hold.Grow(h.bytes)
}

// begin notes that the next bytes are those of a head.
func (h *head) begin() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.isWhole, h.bytes = false, 0
	h.hold.Release() // no handler was called for some requests, such as OPTIONS *
}

// done notes that a head has arrived whole, or that none comes any more.
func (h *head) done() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.isWhole = true
	h.hold.Release()
}

// HeadDone notes that all headers of a request have arrived. See [handlers.ConnContext].
func (c *connection) HeadDone() {
	c.beginning.Release()
	c.head.done()
}
