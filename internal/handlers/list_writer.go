package handlers

import (
	"kvgateway/internal/kv"
	"net/http"
	"time"
)

const (
	// partBuffer is how many bytes of an answer that is sent in parts are collected for one part.
	partBuffer = 32 << 10

	// partPatience is how long a client may take for each part of such an answer.
	partPatience = time.Minute
)

// A listWriter sends JSON in parts while entries are read. The answer begins with its first part,
// so that whatever fails before that is still answered with a problem document.
type listWriter struct {
	// x is the exchange of the request.
	x *exchange
	// buffer has what was encoded and not sent yet.
	buffer []byte
	// items counts the entries of the list.
	items int
	// beside is how many bytes are in memory beside buffer and not held by the request.
	beside int64
	// begun reports whether the answer has begun.
	begun bool
}

// newListWriter returns a writer whose answer begins with head.
func newListWriter(x *exchange, head string) *listWriter {
	return &listWriter{x: x, buffer: append(make([]byte, 0, 512), head...)}
}

// entry adds an entry to the list.
func (l *listWriter) entry(
	e *kv.Entry,
	bucket kv.BucketName,
	form kv.ValueForm,
) error {
	if l.x.tooLong() {
		return errTooLong
	}
	if l.items++; l.items > 1 {
		l.buffer = append(l.buffer, ',')
	}
	return l.encode(e, bucket, form)
}

// encode appends an entry, and sends parts of it if it is large.
func (l *listWriter) encode(
	e *kv.Entry,
	bucket kv.BucketName,
	form kv.ValueForm,
) (err error) {
	l.beside = e.Bytes()
	l.buffer, err = e.EncodeJSON(l.buffer, bucket, form, l.send)
	l.beside = 0
	return err
}

// end finishes the answer with tail. If it has begun and cannot be finished, end cuts it: a list
// that ends early must not look complete.
func (l *listWriter) end(err error, tail string) error {
	if err == nil {
		l.buffer = append(l.buffer, tail...)
		if !l.begun && len(l.buffer) <= freeAnswer {
			l.x.respond(http.StatusOK, headerJSON, l.buffer)
			return nil
		}
		_, err = l.send(l.buffer)
	}
	if err != nil && l.begun {
		l.x.cut()
	}
	return err
}

// send is the [kv.Sink] of the answer.
func (l *listWriter) send(part []byte) ([]byte, error) {
	give, err := l.x.holdPart(part, l.beside)
	if err != nil {
		return nil, err
	}
	defer give()
	if !l.begun {
		l.begun = true
		h := l.x.Header()
		h["Content-Type"] = headerJSON
		h["Cache-Control"] = headerNoStore
		h["X-Content-Type-Options"] = headerNosniff
		l.x.WriteHeader(http.StatusOK)
	}
	return part[:0], l.x.delivery().write(part)
}

// holdPart holds a part of an answer, and so many bytes beside it, while the part waits for the
// client; give gives them back. If the request holds all that it has already, holdPart does
// nothing.
func (x *exchange) holdPart(part []byte, beside int64) (give func(), err error) {
	d := x.delivery()
	if d.holds() {
		return func() {}, nil
	}
	return d.release, d.hold(int64(cap(part)) + beside)
}

// extend gives the client time for the next part of an answer. If no deadline can be set, the bound
// of the server holds.
func (x *exchange) extend() {
	deadline := time.Now().Add(partPatience)
	_ = http.NewResponseController(x.ResponseWriter).SetWriteDeadline(deadline)
}
