package handlers

import (
	"bufio"
	"bytes"
	"io"
)

// A lineReader reads lines, of which it holds one in memory. It begins with a small buffer, since
// nothing bounds how many clients have sent a part of their first line.
type lineReader struct {
	body   *requestBody
	in     *bufio.Reader
	buffer []byte // what was read of a line that does not fit into in
	limit  int    // of a line's bytes
	ahead  *line  // what next returns, if it was read already
}

// A line is what [lineReader.next] returns.
type line struct {
	text    []byte
	tooLong bool
	err     error
}

// keptLine is how large a line's buffer may be to be kept for the next line.
const keptLine = 64 << 10

func newLineReader(body *requestBody, limit int) *lineReader {
	return &lineReader{body: body, in: bufio.NewReaderSize(body, freeBody), limit: limit}
}

// first waits for the first line. It returns the error that next will return, but for the end.
func (l *lineReader) first() error {
	var ahead line
	ahead.text, ahead.tooLong, ahead.err = l.next()
	l.ahead = &ahead
	if ahead.err == io.EOF {
		return nil
	}
	return ahead.err
}

// widen gives the reader the buffer of an import that has its place.
func (l *lineReader) widen() { l.in = bufio.NewReaderSize(l.in, 64<<10) }

// next returns the next line, without white space around it, until the next call. A line that is too long is passed over. It
// returns [io.EOF] after the last line, which need not have an end.
func (l *lineReader) next() (text []byte, tooLong bool, err error) {
	if ahead := l.ahead; ahead != nil {
		l.ahead = nil
		return ahead.text, ahead.tooLong, ahead.err
	}
	l.forget()
	for {
		part, err := l.in.ReadSlice('\n')
		whole := err == nil || err == io.EOF && len(l.buffer)+len(part) > 0
		switch {
		case tooLong:
		case len(l.buffer)+len(part) > l.limit:
			l.forget()
			tooLong = true
		case whole && len(l.buffer) == 0:
			return bytes.TrimSpace(part), false, nil
		default:
			if err := l.keep(part); err != nil {
				return nil, false, err
			}
		}
		if whole || err == io.EOF && tooLong {
			return bytes.TrimSpace(l.buffer), tooLong, nil
		}
		if err != bufio.ErrBufferFull {
			return nil, false, err
		}
	}
}

// forget empties the buffer of a line, and gives a large one back.
func (l *lineReader) forget() {
	l.buffer = l.buffer[:0]
	if cap(l.buffer) > keptLine {
		l.buffer = nil
		l.body.memory.Release()
		l.body.held = 0
	}
}

// keep adds to the buffer of a line. It returns the error of a claim.
func (l *lineReader) keep(part []byte) error {
	if need := len(l.buffer) + len(part); need > cap(l.buffer) {
		size := min(max(nextSize(int64(cap(l.buffer))), int64(need)), int64(l.limit))
		if err := l.body.claim(size); err != nil {
			return err
		}
		l.buffer = append(make([]byte, 0, size), l.buffer...)
	}
	l.buffer = append(l.buffer, part...)
	return nil
}
