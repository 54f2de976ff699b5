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
	mu   sync.Mutex
	over bool // it has come whole, or is none
	// preface is how many bytes of HTTP/2's preface the connection began with, in any number of
	// segments, and notHTTP2 once something else came.
	preface int
	bytes   int64
	hold    bound.Hold
}

// preface is how an HTTP/2 connection begins (RFC 9113 §3.4). What begins with a part of it only is
// HTTP/1.1 to net/http, which keeps what follows.
var preface = []byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")

const notHTTP2 = -1

// room counts what was read, and reports whether there is room for it.
func (h *head) room(c *connection, read []byte) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.over || h.isHTTP2(read) {
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

// isHTTP2 reports whether the connection is known to be one of HTTP/2 once more was read. h.mu must
// be held.
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
