package sse

import (
	"bytes"
	"errors"
	"net"

	"kvgateway/internal/feed"
)

// errHeldTooMuch ends a stream so that what its client does not take makes room for others.
var errHeldTooMuch = errors.New("the client did not take what the stream held")

// bindSocket bounds what the kernel keeps for a client that does not read. Without a bound of ours
// a socket's buffer grows to megabytes.
func (l *Limits) bindSocket(conn net.Conn) {
	if c, ok := conn.(interface{ SetWriteBuffer(int) error }); ok && l.socketBytes > 0 {
		_ = c.SetWriteBuffer(l.socketBytes) // where it cannot be set, the system's own bound holds
	}
}

// keep keeps what the socket did not take: a copy of what is in the loop's buffer, which is used
// again. If nobody who holds more can make room for it, the stream ends.
func (l *loop) keep(t *Taken, left, of []byte) {
	shared := !within(of, l.buffer)
	if !shared {
		left = bytes.Clone(left)
		of = left
	}
	t.rest, t.bound = left, l.until(t)
	l.unsent.Add(int64(len(left)))
	if !l.count(t, of, shared) {
		l.endSlow(t)
		return
	}
	l.timetable.put(t)
}

// count counts bytes that wait for a stream's client. It returns false if there is no room.
func (l *loop) count(t *Taken, data []byte, shared bool) bool {
	if t.held == nil {
		t.held = &unsent{limits: l.limits, evict: func() { t.evicted.Store(true); t.Wake() }}
	}
	return t.held.keep(data, shared)
}

// endSlow ends a stream whose client does not take what it is sent. The client sees a stream that
// ends, perhaps within a block, which it drops: its last id is that of the last whole block. Only
// where no block was begun can it be told why, if the socket has room for that by now.
func (l *loop) endSlow(t *Taken) {
	l.limits.slow.Add(1)
	if !t.begun {
		_, _ = l.push(t, t.source.GoAway(l.buffer[:0], feed.ReasonSlow))
	}
	readAway(t.fd, l.buffer[:cap(l.buffer)])
	l.end(t, errHeldTooMuch)
}
