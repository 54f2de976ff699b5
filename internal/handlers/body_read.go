package handlers

import (
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"kvgateway/internal/bound"
	"kvgateway/internal/handlers/problem"
	"kvgateway/internal/kv"
)

// read reads a body of at most limit bytes into memory. If the request declares a length that
// is too large, it is refused before any of the body is read. tooLarge makes the problem of a body
// that is too large.
func (bounds *bodyBounds) read(
	x *exchange,
	limit int,
	tooLarge func(limit int) problem.Error,
) ([]byte, error) {
	switch {
	case x.request.ContentLength == 0:
		return nil, nil
	case x.request.ContentLength > int64(limit):
		return nil, tooLarge(limit)
	}
	body := bounds.openFor(x)
	return body.readWhole(x, limit, tooLarge)
}

// readWhole reads the whole body into memory; see [bodyBounds.read].
func (b *requestBody) readWhole(
	x *exchange,
	limit int,
	tooLarge func(limit int) problem.Error,
) ([]byte, error) {
	if x.request.ContentLength < 0 {
		b.in = http.MaxBytesReader(x, x.request.Body, int64(limit))
	}
	content, err := b.all(x.request.ContentLength, int64(limit))
	if err == nil {
		x.unread = false
		b.complete()
		return content, x.recheck() // It may have taken long.
	}
	if b.hasLostRights() {
		return nil, x.rightsLost()
	}
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return nil, tooLarge(limit)
	}
	return nil, bodyError(err, " Nothing was done.")
}

// bodyError returns the problem of a body that could not be read. done is a sentence, with a space
// before it, that says what was done.
func bodyError(err error, done string) error {
	if _, ok := errors.AsType[*bound.FullError](err); ok {
		return err
	}
	if p, ok := errors.AsType[problem.Error](err); ok {
		return p
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return problem.Error{Code: problem.RequestTimeout,
			Detail: "The body did not come in time, or not as fast as it must while others " +
				"wait." + done}
	}
	return problem.Error{Code: problem.InvalidBody,
		Detail: "The body ended early, or its framing is malformed." + done}
}

// all reads the body to its end: as many bytes as were declared, or, if declared is negative, at
// most limit.
//
// The buffer grows with what has come, since declaring a length costs the client nothing and would
// cost the gateway memory. It begins with freeBody bytes, which are not counted, and each larger
// buffer is claimed before it is made. Before that, two hundred values that were declared with 1
// MiB, and sent except for their end, took 203 MiB. Now they take 32 MiB, which is the share of one
// address (measured).
func (b *requestBody) all(declared, limit int64) ([]byte, error) {
	if declared >= 0 {
		limit = declared
	} else {
		// The read that finds the end needs room for a byte.
		limit++
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
// little gets little. Larger buffers grow fast, since each is copied into the next.
func nextSize(size int64) int64 {
	switch {
	case size < 64<<10:
		return 64 << 10
	case size < 1<<20:
		return 1 << 20
	}
	return 4 * size
}

// refuseEncoding refuses a body with a content coding if the gateway has to understand the body: it
// decodes none.
func (x *exchange) refuseEncoding() error {
	if x.request.ContentLength == 0 {
		return nil
	}
	codings := strings.Join(x.request.Header["Content-Encoding"], ",")
	for coding := range strings.SplitSeq(codings, ",") {
		coding = strings.TrimSpace(coding)
		if coding != "" && !strings.EqualFold(coding, "identity") {
			x.Header()["Accept-Encoding"] = []string{"identity"} // RFC 7694 §3
			return problem.Error{Code: problem.UnsupportedMediaType,
				Detail: "The body has a Content-Encoding, and this operation decodes none. " +
					"Send the body without an encoding."}
		}
	}
	return nil
}

// maxDrained is how many bytes of a body that nobody needs are read. It is more than a client has
// under way when the answer reaches it.
const maxDrained = 4 << 20

// drain sends the answer and then reads what is left of the body for up to unreadGrace, so that a
// client that is still sending gets the answer. net/http does this itself in most cases, before it
// sends the answer (see unreadGrace), but not in two:
//
//   - Over HTTP/2 it does not read the rest at all, and resets the stream as soon as it is
//     answered. Clients that are still sending, such as curl 7.88, then lose the answer
//     (TestRefusalOfABodyOverHTTP2).
//   - If the client wants the connection to be closed, as proxies that speak HTTP/1.0 do, net/http
//     closes it at once. The system then resets the connection, and the reset can arrive before the
//     answer.
func drain(w http.ResponseWriter, body io.Reader) {
	controller := http.NewResponseController(w)
	if controller.Flush() != nil || controller.SetReadDeadline(time.Now().Add(unreadGrace)) != nil {
		return
	}
	// No error matters here: reading is only for the sake of the client.
	_, _ = io.CopyN(io.Discard, body, maxDrained)
}

// countTooLarge returns a problem.OfBodySize that counts the refusals of a bound.
func countTooLarge(size *bound.Bound) func(limit int) problem.Error {
	return func(limit int) problem.Error {
		size.Refuse()
		return problem.OfBodySize(limit)
	}
}

// readJSON reads a JSON body of one of the media types. It returns nil if there is no body.
func (bounds *bodyBounds) readJSON(x *exchange, mediaTypes ...string) ([]byte, error) {
	if err := x.refuseEncoding(); err != nil {
		return nil, err
	}
	body, err := bounds.read(x, maxSettingsBytes, countTooLarge(bounds.jsonSize))
	if err != nil {
		return nil, err
	}
	if body = kv.TrimJSON(body); len(body) == 0 {
		return nil, nil
	}
	if !hasMediaType(x.request.Header, mediaTypes...) {
		return nil, problem.Error{Code: problem.UnsupportedMediaType,
			Detail: "This operation does not take a body of this media type. Send Content-Type: " +
				mediaTypes[0] + "."}
	}
	return body, nil
}

// maxSettingsBytes bounds the body of a request about a bucket. nats-server takes 128 KiB of
// metadata (JSMaxMetadataLen, nats-server 2.15.2), and everything else is small.
const maxSettingsBytes = 256 << 10

// maxPatchBytes is how large the patch of a value may be in any case, however little room there is
// for the value itself.
const maxPatchBytes = 1 << 20
