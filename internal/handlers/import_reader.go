package handlers

import (
	"bufio"
	"bytes"
	"io"

	"kvgateway/internal/kv"
)

// A lineReader reads lines, one at a time. It begins with a small buffer, since nothing bounds how
// many clients have sent a part of their first line.
type lineReader struct {
	// body is the body that the lines are in.
	body *requestBody
	// in buffers the body.
	in *bufio.Reader
	// buffer has what was read of a line that does not fit into in. Its memory is claimed from
	// body.
	buffer []byte
	// limit is how many bytes a line may have.
	limit int
	// ahead is what next will return, if it was read already; else nil.
	ahead *line
}

// A line is a result of [lineReader.next].
type line struct {
	// text is the line without white space around it.
	text []byte
	// tooLong reports whether the line was passed over because it is too long.
	tooLong bool
	// err is why there is no line.
	err error
}

// keptLine is how large the buffer of a line may be to be kept for the next line.
const keptLine = 64 << 10

// newLineReader returns a reader of lines of at most limit bytes.
func newLineReader(body *requestBody, limit int) *lineReader {
	return &lineReader{body: body, in: bufio.NewReaderSize(body, freeBody), limit: limit}
}

// first waits for the first line, which next will return. It returns the error of reading it,
// except for the end of the body.
func (l *lineReader) first() error {
	var ahead line
	ahead.text, ahead.tooLong, ahead.err = l.next()
	l.ahead = &ahead
	if ahead.err == io.EOF {
		return nil
	}
	return ahead.err
}

// widen gives the reader the larger buffer of an import that has its place.
func (l *lineReader) widen() { l.in = bufio.NewReaderSize(l.in, 64<<10) }

// next returns the next line, without white space around it. It is valid until the next call. A
// line that is too long is passed over, and tooLong is true. next returns [io.EOF] after the last
// line, which need not end with a line feed.
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
			return trimLine(part), false, nil
		default:
			if err := l.keep(part); err != nil {
				return nil, false, err
			}
		}
		if whole || err == io.EOF && tooLong {
			return trimLine(l.buffer), tooLong, nil
		}
		if err != bufio.ErrBufferFull {
			return nil, false, err
		}
	}
}

// trimLine returns a line without JSON's white space around it, and without the byte order mark
// that some editors and shells put at the beginning of a file. It can be in the middle of a body
// that was put together from files.
func trimLine(text []byte) []byte {
	return kv.TrimJSON(bytes.TrimPrefix(text, []byte(kv.ByteOrderMark)))
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

// keep appends to the buffer of a line. It returns the error of claiming memory for it.
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
