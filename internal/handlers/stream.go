package handlers

import (
	"net/http"
	"time"
)

const (
	// streamBuffer is how much of a streamed answer is collected before it is sent.
	streamBuffer = 32 << 10

	// streamPatience is how long a client may take for each part of a streamed answer.
	streamPatience = time.Minute
)

// A listWriter streams a JSON list: the answer begins with its first part, so that what fails before is still a problem.
type listWriter struct {
	rec    *recorder
	buffer []byte
	items  int
	begun  bool
}

func newListWriter(w http.ResponseWriter, head string) *listWriter {
	return &listWriter{rec: w.(*recorder), buffer: []byte(head)}
}

// item adds an item of the list.
func (l *listWriter) item(appendTo func([]byte) []byte) {
	if l.items++; l.items > 1 {
		l.buffer = append(l.buffer, ',')
	}
	if l.buffer = appendTo(l.buffer); len(l.buffer) >= streamBuffer {
		l.flush()
	}
}

// end finishes the answer, or cuts it if it has begun and cannot be finished: a list that ends early must not look whole.
func (l *listWriter) end(err error, tail string) error {
	switch {
	case err == nil:
		l.buffer = append(l.buffer, tail...)
		if !l.begun {
			respond(l.rec, http.StatusOK, headerJSON, l.buffer)
			return nil
		}
		l.flush()
		return nil
	case !l.begun:
		return err
	}
	panic(http.ErrAbortHandler)
}

func (l *listWriter) flush() {
	if !l.begun {
		l.begun = true
		h := l.rec.Header()
		h["Content-Type"], h["Cache-Control"], h["X-Content-Type-Options"] = headerJSON, headerNoStore, headerNosniff
		l.rec.WriteHeader(http.StatusOK)
	}
	l.rec.extend()
	l.rec.write(l.buffer)
	l.buffer = l.buffer[:0]
}

// extend gives the client time for the next part of a streamed answer. Where that cannot be said, the server's bound holds.
func (rec *recorder) extend() {
	_ = http.NewResponseController(rec.ResponseWriter).SetWriteDeadline(time.Now().Add(streamPatience))
}
