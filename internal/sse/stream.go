package sse

import (
	"fmt"
	"net/http"
	"time"
)

const (
	// flushAt is how much of a stream is collected, at the most, before it is sent.
	flushAt = 32 << 10
	// keepBuffer is how large a buffer an idle stream keeps.
	keepBuffer = 4 << 10
	// writePatience bounds each write: a client that takes nothing for so long has its connection closed.
	writePatience = 30 * time.Second
)

// A Stream writes frames to one client.
type Stream struct {
	w          http.ResponseWriter
	controller *http.ResponseController
	buffer     []byte
	begun      bool
}

// NewStream begins the answer. Nothing is sent before the first Flush.
func NewStream(w http.ResponseWriter, format Format) *Stream {
	h := w.Header()
	h["Content-Type"] = []string{"text/event-stream"}
	if format == Lines {
		h["Content-Type"] = []string{"application/x-ndjson"}
	}
	h["Cache-Control"] = []string{"no-store, no-transform"}
	h["X-Accel-Buffering"] = []string{"no"} // nginx would collect a page before it sends any
	h["X-Content-Type-Options"] = []string{"nosniff"}
	return &Stream{w: w, controller: http.NewResponseController(w)}
}

// Append lets frames be appended to what is sent next, and sends if that is much.
func (s *Stream) Append(appendTo func([]byte) []byte) error {
	s.buffer = appendTo(s.buffer)
	if len(s.buffer) >= flushAt {
		return s.Flush()
	}
	return nil
}

// Flush sends what was appended.
func (s *Stream) Flush() error {
	if err := s.controller.SetWriteDeadline(time.Now().Add(writePatience)); err != nil {
		return fmt.Errorf("bound a write: %w", err)
	}
	if !s.begun {
		s.begun = true
		s.w.WriteHeader(http.StatusOK)
	}
	if len(s.buffer) > 0 {
		if _, err := s.w.Write(s.buffer); err != nil {
			return err
		}
	}
	if s.buffer = s.buffer[:0]; cap(s.buffer) > keepBuffer {
		s.buffer = nil
	}
	return s.controller.Flush()
}
