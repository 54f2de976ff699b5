package stream

import "time"

const (
	// goAwayTime is how long the client may take for the goaway of a stream that ends because it is
	// slow.
	goAwayTime = 100 * time.Millisecond
	// freeBytes is the size up to which a write is not counted: the buffers of net/http hold as
	// much for each connection.
	freeBytes = 4 << 10
	// cutAfter is how long a stream that was evicted may still wait in a write before its
	// connection is closed. An HTTP/2 stream cannot be ended while its connection takes nothing.
	cutAfter = 250 * time.Millisecond
)

// counted writes data, which other streams have too if it is shared, and counts it until the client
// has taken it.
func (s *Writer) counted(data []byte, shared bool) (n int, err error) {
	if len(data) <= freeBytes {
		return s.writeAll(data)
	}
	s.setWriting(true)
	defer s.held.drop()
	defer s.setWriting(false)
	if !s.held.keep(data, shared) {
		s.limits.slow.Add(1)
		return 0, errNoRoom
	}
	if n, err = s.writeAll(data); err != nil && s.isEvicted() {
		s.limits.slow.Add(1)
		err = errHeldTooMuch
	}
	return n, err
}

// setWriting notes that a counted write begins or has ended.
func (s *Writer) setWriting(writing bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.writing = writing
}

// isEvicted reports whether the bytes of the write under way have to make room for others.
func (s *Writer) isEvicted() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.evicted
}

// evict ends the write that is under way, if there is one. It is called on another goroutine.
// Without a write it does nothing: a deadline that is set when the handler has returned would hit
// another request on the connection.
func (s *Writer) evict() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.writing {
		return
	}
	s.evicted = true
	_ = s.controller.SetWriteDeadline(time.Now().Add(-time.Second))
	if s.cut != nil {
		time.AfterFunc(cutAfter, s.cutIfStuck)
	}
}

// cutIfStuck closes the connection if the write that evict has ended is still under way.
func (s *Writer) cutIfStuck() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.writing {
		s.cut()
	}
}

// tryGoAway tells the client of a stream that stands between two blocks why it ends, if the client
// takes that now.
func (s *Writer) tryGoAway(source Source) {
	s.writeDeadline = time.Now().Add(goAwayTime)
	if s.controller.SetWriteDeadline(s.writeDeadline) == nil {
		_, _ = s.w.Write(source.GoAway(nil, reasonSlow))
	}
}
