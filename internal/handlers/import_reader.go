package handlers

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/http"
	"time"
)

// A patientBody gives a client time for each part of a body, and none in between: over HTTP/2 a bound that is over ends the body
// even if nobody is waiting for it.
type patientBody struct {
	body       io.Reader
	controller *http.ResponseController
}

func (p patientBody) Read(b []byte) (int, error) {
	// Connections that know no deadline (in tests) have none to be set.
	if err := p.controller.SetReadDeadline(time.Now().Add(streamPatience)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return 0, err
	}
	n, err := p.body.Read(b)
	_ = p.controller.SetReadDeadline(time.Time{})
	return n, err
}

// A lineReader reads lines, of which it holds one in memory.
type lineReader struct {
	in     *bufio.Reader
	buffer []byte
	limit  int // of a line's bytes
}

func newLineReader(body io.Reader, limit int) *lineReader {
	return &lineReader{in: bufio.NewReaderSize(body, 64<<10), limit: limit}
}

// next returns the next line, without white space around it, until the next call. A line that is too long is passed over. It
// returns [io.EOF] after the last line, which need not have an end.
func (l *lineReader) next() (line []byte, tooLong bool, err error) {
	l.buffer = l.buffer[:0]
	for {
		part, err := l.in.ReadSlice('\n')
		whole := err == nil || err == io.EOF && len(l.buffer)+len(part) > 0
		switch {
		case tooLong:
		case len(l.buffer)+len(part) > l.limit:
			l.buffer, tooLong = l.buffer[:0], true
		case whole && len(l.buffer) == 0:
			return bytes.TrimSpace(part), false, nil
		default:
			l.buffer = append(l.buffer, part...)
		}
		if whole || err == io.EOF && tooLong {
			return bytes.TrimSpace(l.buffer), tooLong, nil
		}
		if err != bufio.ErrBufferFull {
			return nil, false, err
		}
	}
}
