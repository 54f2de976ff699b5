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
	// preface is how many bytes of the preface of HTTP/2 the connection has begun with, in any
	// number of segments. It is notHTTP2 once other bytes came.
	preface int
	// bytes is how much of the head has arrived.
	bytes int64
	// hold counts the bytes, once there are more than a head may have for free.
	hold bound.Hold
}

// preface is how an HTTP/2 connection begins (RFC 9113 §3.4). A connection that begins with only a
// part of it is one of HTTP/1.1 for net/http, which keeps what follows, so that must be counted.
var preface = []byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")

// notHTTP2 is the value of head.preface for a connection that is not one of HTTP/2.
const notHTTP2 = -1

// room counts bytes that were read, and reports whether there is room for them.
func (h *head) room(c *connection, read []byte) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.isWhole || h.isHTTP2(read) {
		return true
	}
	switch h.bytes += int64(len(read)); {
	case h.bytes <= handlers.UncountedHeadBytes:
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

// isHTTP2 takes note of bytes that were read, and reports whether the connection is known to be one
// of HTTP/2. h.mu must be held.
func (h *head) isHTTP2(read []byte) bool {
	if h.preface == notHTTP2 || h.preface == len(preface) {
		return h.preface == len(preface)
	}
	next := read[:min(len(read), len(preface)-h.preface)]
	if !bytes.HasPrefix(preface[h.preface:], next) {
		h.preface = notHTTP2
		return false
	}
	h.preface += len(next)
	return h.preface == len(preface)
}

// begin notes that the next bytes are those of a head.
func (h *head) begin() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.isWhole, h.bytes = false, 0
	h.hold.Release() // no handler was called for some requests, such as OPTIONS *
}

// afterHandshake notes that what was read so far was a TLS handshake. What follows is encrypted:
// with HTTP/2 it is not counted.
func (h *head) afterHandshake(isHTTP2 bool) {
	h.begin()
	h.mu.Lock()
	defer h.mu.Unlock()
	h.preface = notHTTP2
	if isHTTP2 {
		h.preface = len(preface)
	}
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
