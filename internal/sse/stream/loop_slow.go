package stream

import (
	"bytes"
	"errors"
	"net"
)

// errHeldTooMuch ends a stream so that what its client does not take makes room for others.
var errHeldTooMuch = errors.New("the client did not take what the stream held")

// bindSocket bounds what the kernel keeps for a client that does not read. Without a bound the
// buffer of a socket grows to 4 MB.
func (l *Limits) bindSocket(conn net.Conn) {
	if c, ok := conn.(interface{ SetWriteBuffer(int) error }); ok && l.socketBytes > 0 {
		_ = c.SetWriteBuffer(l.socketBytes) // where it cannot be set, the system's own bound holds
	}
}

// keep keeps what the socket did not take of data. If data lies in the buffer of the loop, which is
// used again, it keeps a copy; otherwise other streams may have the same bytes. If there is no room
// for it, the stream ends.
func (l *loop) keep(t *Taken, left, data []byte) {
	shared := !within(data, l.buffer)
	if !shared {
		left = bytes.Clone(left)
		data = left
	}
	t.rest, t.deadline = left, l.newDeadline(t)
	l.unsent.Add(int64(len(left)))
	if !l.count(t, data, shared) {
		l.endSlow(t)
		return
	}
	l.timetable.put(t)
}

// count counts bytes that wait for the client of a stream. It returns false if there is no room.
func (l *loop) count(t *Taken, data []byte, shared bool) bool {
	if t.held == nil {
		t.held = &unsentHold{
			limits: l.limits,
			owner:  t.owner,
			evict:  func() { t.evicted.Store(true); t.Wake() },
		}
	}
	return t.held.keep(data, shared)
}

// endSlow ends a stream whose client does not take what it is sent. A block that was begun cannot
// be finished, so the client sees the end of its connection within a block, which it drops: its
// last id is that of the last whole block, and it resumes from there. Only between two blocks can
// it be told the reason, if the socket has room for that by now.
func (l *loop) endSlow(t *Taken) {
	l.limits.slow.Add(1)
	if !t.blockBegun {
		_, _ = l.push(t, t.source.GoAway(l.buffer[:0], reasonSlow))
	}
	discardUnread(t.fd, l.buffer[:cap(l.buffer)])
	l.end(t, errHeldTooMuch)
}
