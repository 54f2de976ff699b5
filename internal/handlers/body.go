package handlers

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"
)

// readBody reads a body of at most limit bytes, in bounded time. A declared length that is too large is refused before any of
// it is read. TooLarge makes the problem of one that is too large.
func (s *Server) readBody(w http.ResponseWriter, r *http.Request, limit int, tooLarge func(limit int) problemError) ([]byte, error) {
	if r.ContentLength == 0 {
		return nil, nil
	}
	if r.ContentLength > int64(limit) {
		return nil, tooLarge(limit)
	}
	// Connections that know no deadline (in tests) have none to be set.
	if err := http.NewResponseController(w).SetReadDeadline(time.Now().Add(s.options.BodyTimeout)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return nil, errRequestTimeout
	}
	body, err := readAll(http.MaxBytesReader(w, r.Body, int64(limit)), r.ContentLength)
	if err == nil {
		w.(*recorder).unread = false
		return body, nil
	}
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return nil, tooLarge(limit)
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return nil, errRequestTimeout
	}
	return nil, problemError{code: codeInvalidBody, detail: "The body ended early or is not well framed. Nothing was done."}
}

// readAll reads all, into a buffer of the declared length where there is one. A large buffer is made only when a part has come: what a
// client declares costs it nothing, and the gateway memory.
func readAll(r io.Reader, declared int64) ([]byte, error) {
	if declared < 0 {
		return io.ReadAll(r)
	}
	const part = 64 << 10
	body := make([]byte, min(declared, part))
	_, err := io.ReadFull(r, body)
	if err != nil || declared <= part {
		return body, err
	}
	whole := make([]byte, declared)
	_, err = io.ReadFull(r, whole[copy(whole, body):])
	return whole, err
}

// maxDrained is how much of a body that nobody wants is read: more than a client has under way when it hears the answer.
const maxDrained = 4 << 20

// drain sends the answer and reads what is left of the body, for a moment, where net/http does not: over HTTP/2 it resets the stream
// as soon as it is answered, and clients such as curl 7.88 lose the answer when that comes while they are sending; a connection to
// be closed it closes, which resets it, and a reset can overtake the answer.
func drain(w http.ResponseWriter, body io.Reader) {
	controller := http.NewResponseController(w)
	if controller.Flush() != nil || controller.SetReadDeadline(time.Now().Add(unreadGrace)) != nil {
		return
	}
	_, _ = io.CopyN(io.Discard, body, maxDrained) // whatever ends it, it was for the client's sake
}

// bodyTooLarge is the problem of a body that is no value, and has more bytes than it may.
func bodyTooLarge(limit int) problemError {
	return problemError{code: codeBodyTooLarge, members: members{"max_body_bytes": limit},
		detail: fmt.Sprintf("The body has at most %d bytes here. Nothing was done.", limit)}
}

// jsonBody reads a JSON body in one of the media types, or nil where there is none.
func (s *Server) jsonBody(w http.ResponseWriter, r *http.Request, mediaTypes ...string) ([]byte, error) {
	body, err := s.readBody(w, r, maxJSONBytes, bodyTooLarge)
	if err != nil {
		return nil, err
	}
	if body = bytes.TrimSpace(body); len(body) == 0 {
		return nil, nil
	}
	if !hasMediaType(r.Header, mediaTypes...) {
		return nil, problemError{code: codeUnsupportedMediaType, detail: "The body is not of a media type that this operation takes. Send Content-Type: " +
			mediaTypes[0] + "."}
	}
	return body, nil
}

// maxJSONBytes bounds a JSON body, 1 MiB.
const maxJSONBytes = 1 << 20
