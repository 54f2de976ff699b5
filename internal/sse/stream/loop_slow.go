package stream

import (
	"bytes"
)

// keep keeps what the socket did not take of data. If data lies in the buffer of the loop, which is
// used again, it keeps a copy; otherwise other streams may have the same bytes. If there is no room
// for it, the stream ends.
func (l *loop) keep(s *LoopStream, left, data []byte) {
	shared := !within(data, l.buffer)
	if !shared {
		left = bytes.Clone(left)
		data = left
	}
	s.rest, s.deadline = left, l.newDeadline(s)
	l.unsent.Add(int64(len(left)))
	if !l.count(s, data, shared) {
		l.endSlow(s)
		return
	}
	l.timetable.put(s)
}

// count counts bytes that wait for the client of a stream. It returns false if there is no room.
func (l *loop) count(s *LoopStream, data []byte, shared bool) bool {
	if s.held == nil {
		s.held = &unsentHold{
			limits: l.limits,
			owner:  s.owner,
			evict:  func() { s.evicted.Store(true); s.Wake() },
		}
	}
	return s.held.keep(data, shared)
}

// endSlow ends a stream whose client does not take what it is sent. A block that was begun cannot
// be finished, so the client sees the end of its connection within a block, which it drops: its
// last id is that of the last whole block, and it resumes from there. Only between two blocks can
// it be told the reason, if the socket has room for that by now.
func (l *loop) endSlow(s *LoopStream) {
	l.limits.slow.Add(1)
	if !s.blockBegun {
		_, _ = l.push(s, s.source.GoAway(l.buffer[:0], reasonSlow))
	}
	discardUnread(s.fd, l.buffer[:cap(l.buffer)])
	l.end(s, errHeldTooMuch)
}
