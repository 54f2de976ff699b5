package handlers

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"kvgateway/internal/bound"
)

// readBody reads a body of at most limit bytes into memory. A declared length that is too large is
// refused before any of it is read. TooLarge makes the problem of one that is too large.
func (s *Server) readBody(w http.ResponseWriter, r *http.Request, limit int, tooLarge func(limit int) problemError) ([]byte, error) {
	switch {
	case r.ContentLength == 0:
		return nil, nil
	case r.ContentLength > int64(limit):
		return nil, tooLarge(limit)
	}
	body := s.openBody(w, r)
	return body.into(w, r, limit, tooLarge)
}

// into reads the whole body; see [Server.readBody].
func (b *requestBody) into(w http.ResponseWriter, r *http.Request, limit int, tooLarge func(limit int) problemError) ([]byte, error) {
	if r.ContentLength < 0 {
		b.in = http.MaxBytesReader(w, r.Body, int64(limit))
	}
	content, err := b.all(r.ContentLength, int64(limit))
	if err == nil {
		w.(*recorder).unread = false
		b.complete()
		return content, nil
	}
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return nil, tooLarge(limit)
	}
	return nil, bodyError(err, " Nothing was done.")
}

// bodyError finds the problem of a body that could not be read. Done says what was done.
func bodyError(err error, done string) error {
	if _, ok := errors.AsType[*bound.FullError](err); ok {
		return err
	}
	if p, ok := errors.AsType[problemError](err); ok {
		return p
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return problemError{code: codeRequestTimeout, detail: "The body did not come in time, or not as fast " +
			"as it must while others wait." + done}
	}
	return problemError{code: codeInvalidBody, detail: "The body ended early or is not well framed." + done}
}

// all reads all, of the declared length where there is one. The buffer grows with what has come: what
// a client declares costs it nothing, and the gateway memory.
func (b *requestBody) all(declared, limit int64) ([]byte, error) {
	if declared >= 0 {
		limit = declared
	} else {
		limit++ // for the read that finds the end
	}
	buffer, n := make([]byte, min(limit, freeBody)), int64(0)
	for {
		if n == int64(len(buffer)) {
			if n == declared {
				return buffer, nil
			}
			size := min(limit, nextSize(n))
			if err := b.claim(size); err != nil {
				return nil, err
			}
			grown := make([]byte, size)
			copy(grown, buffer)
			buffer = grown
		}
		read, err := b.Read(buffer[n:])
		n += int64(read)
		switch {
		case err == io.EOF && n < declared:
			return nil, io.ErrUnexpectedEOF
		case err == io.EOF:
			return buffer[:n], nil
		case err != nil:
			return nil, err
		}
	}
}

// nextSize returns the size of the buffer that follows one of so many bytes. A client that has sent
// little gets little; large buffers are few, since each is copied into the next.
func nextSize(size int64) int64 {
	switch {
	case size < 64<<10:
		return 64 << 10
	case size < 1<<20:
		return 1 << 20
	}
	return 4 * size
}

// refuseEncoding refuses the content codings of a body that is to be understood: none is decoded.
func refuseEncoding(w http.ResponseWriter, r *http.Request) error {
	if r.ContentLength == 0 {
		return nil
	}
	for _, value := range r.Header["Content-Encoding"] {
		for coding := range strings.SplitSeq(value, ",") {
			if coding = strings.TrimSpace(coding); coding != "" && !strings.EqualFold(coding, "identity") {
				w.Header()["Accept-Encoding"] = []string{"identity"} // RFC 7694 §3
				return problemError{code: codeUnsupportedMediaType,
					detail: "The body has a Content-Encoding, and this operation decodes none. Send it as it is."}
			}
		}
	}
	return nil
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

// countTooLarge returns bodyTooLarge for bodies whose size is a bound.
func countTooLarge(size *bound.Bound) func(limit int) problemError {
	return func(limit int) problemError {
		size.Refuse()
		return bodyTooLarge(limit)
	}
}

// jsonBody reads a JSON body in one of the media types, or nil where there is none.
func (s *Server) jsonBody(w http.ResponseWriter, r *http.Request, mediaTypes ...string) ([]byte, error) {
	if err := refuseEncoding(w, r); err != nil {
		return nil, err
	}
	body, err := s.readBody(w, r, maxJSONBytes, countTooLarge(s.bodies.jsonSize))
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
