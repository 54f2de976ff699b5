package sse

import (
	"errors"
	"time"

	"kvgateway/internal/feed"
)

// errNoRoom ends a stream before it writes what there is no room to hold.
var errNoRoom = errors.New("there is no room for what the stream has to send")

const (
	// goodbye is how long a client may take for the last word of a stream that ends since it is slow.
	goodbye = 100 * time.Millisecond
	// freeBytes is how much a stream in the ordinary form writes without counting it: net/http's own
	// buffers hold as much for each connection.
	freeBytes = 4 << 10
	// cutAfter is how long a stream that was evicted may still wait in a write. An HTTP/2 stream
	// cannot be ended while its connection takes nothing.
	cutAfter = 250 * time.Millisecond
)

// counted writes data, and counts it while the client has yet to take it.
func (s *Stream) counted(data []byte, shared bool) (n int, err error) {
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

func (s *Stream) setWriting(writing bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.writing = writing
}

func (s *Stream) isEvicted() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.evicted
}

// evict ends the write that is under way, if there is one: a deadline that is set when the handler
// has returned would be for another request on its connection.
func (s *Stream) evict() {
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

func (s *Stream) cutIfStuck() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.writing {
		s.cut()
	}
}

// sayGoodbye ends a stream between two blocks with why it ends, if the client takes that now.
func (s *Stream) sayGoodbye(source Source) {
	s.bounded = time.Now().Add(goodbye)
	if s.controller.SetWriteDeadline(s.bounded) == nil {
		_, _ = s.w.Write(source.GoAway(nil, feed.ReasonSlow))
	}
}
