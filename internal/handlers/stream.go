package handlers

import (
	"net/http"
	"time"

	"kvgateway/internal/kvclient"
)

const (
	// streamBuffer is how much of a streamed answer is collected before it is sent.
	streamBuffer = 32 << 10

	// streamPatience is how long a client may take for each part of a streamed answer.
	streamPatience = time.Minute
)

// A listWriter streams JSON: the answer begins with its first part, so that what fails before is still a problem.
type listWriter struct {
	rec    *recorder
	buffer []byte
	items  int
	beside int64 // bytes that are in memory with the buffer, and not held by the request
	begun  bool
}

func newListWriter(w http.ResponseWriter, head string) *listWriter {
	return &listWriter{rec: w.(*recorder), buffer: append(make([]byte, 0, 512), head...)}
}

// entry adds an entry to the list.
func (l *listWriter) entry(e *kvclient.Entry, bucket kvclient.BucketName, form kvclient.ValueForm) error {
	if l.rec.tooLong() {
		return errTooLong
	}
	if l.items++; l.items > 1 {
		l.buffer = append(l.buffer, ',')
	}
	return l.encode(e, bucket, form)
}

// encode appends an entry.
func (l *listWriter) encode(e *kvclient.Entry, bucket kvclient.BucketName, form kvclient.ValueForm) (err error) {
	l.beside = e.Bytes()
	l.buffer, err = e.EncodeJSON(l.buffer, bucket, form, l.send)
	l.beside = 0
	return err
}

// end finishes the answer, or cuts it if it has begun and cannot be finished: a list that ends early must not look whole.
func (l *listWriter) end(err error, tail string) error {
	if err == nil {
		l.buffer = append(l.buffer, tail...)
		if !l.begun && len(l.buffer) <= freeAnswer {
			respond(l.rec, http.StatusOK, headerJSON, l.buffer)
			return nil
		}
		_, err = l.send(l.buffer)
	}
	if err != nil && l.begun {
		l.rec.cut()
	}
	return err
}

// send is the [kvclient.Sink] of the answer.
func (l *listWriter) send(part []byte) ([]byte, error) {
	give, err := l.rec.holdPart(part, l.beside)
	if err != nil {
		return nil, err
	}
	defer give()
	if !l.begun {
		l.begun = true
		h := l.rec.Header()
		h["Content-Type"], h["Cache-Control"], h["X-Content-Type-Options"] = headerJSON, headerNoStore, headerNosniff
		l.rec.WriteHeader(http.StatusOK)
	}
	return part[:0], l.rec.delivery().write(part)
}

// holdPart holds a part of an answer, and bytes beside it, while it waits for the client; give gives
// them back. It does nothing if the request holds all that it has already.
func (rec *recorder) holdPart(part []byte, beside int64) (give func(), err error) {
	d := rec.delivery()
	if d.holds() {
		return func() {}, nil
	}
	return d.release, d.hold(int64(cap(part)) + beside)
}

// extend gives the client time for the next part of a streamed answer. Where that cannot be said, the server's bound holds.
func (rec *recorder) extend() {
	_ = http.NewResponseController(rec.ResponseWriter).SetWriteDeadline(time.Now().Add(streamPatience))
}
