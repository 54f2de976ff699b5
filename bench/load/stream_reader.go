package load

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
)

// A streamPhase is what a stream reader expects next.
type streamPhase uint8

const (
	inHeader streamPhase = iota
	inChunkSize
	inChunk
	inChunkEnd
	inBody // which is not in chunks, and ends with the connection
)

// A streamReader finds the stamps in a stream of events, in whatever pieces it arrives. After the
// header it does not allocate.
type streamReader struct {
	phase  streamPhase
	left   int     // how many bytes of the chunk, or of the end of its line, are to come
	size   partial // the line with the size of a chunk
	stamp  partial // a stamp, which the end of a chunk may cut
	header []byte  // the bytes of the header that have arrived so far
	heard  bool    // whether some of the body has arrived
}

// A partial is the beginning of something short.
type partial struct {
	bytes [stampLength]byte
	n     int // how many of the bytes have arrived
}

var errNoStream = errors.New("not a stream of events")

// read calls each for every stamp that ends in these bytes.
func (r *streamReader) read(data []byte, each func(Stamp) error) (err error) {
	for len(data) > 0 && err == nil {
		switch r.phase {
		case inHeader:
			data, err = r.readHeader(data)
		case inChunkSize:
			data, err = r.readChunkSize(data)
		case inChunk:
			part := data[:min(r.left, len(data))]
			r.left -= len(part)
			data = data[len(part):]
			if r.left == 0 {
				r.phase, r.left = inChunkEnd, len(endOfLine)
			}
			err = r.readBody(part, each)
		case inChunkEnd:
			n := min(r.left, len(data))
			data = data[n:]
			if r.left -= n; r.left == 0 {
				r.phase = inChunkSize
			}
		case inBody:
			part := data
			data = nil
			err = r.readBody(part, each)
		}
	}
	return err
}

func (r *streamReader) readHeader(data []byte) ([]byte, error) {
	before := len(r.header)
	r.header = append(r.header, data...)
	end := bytes.Index(r.header, endOfHeader)
	if end < 0 {
		return nil, nil
	}
	header := r.header[:end]
	if !bytes.HasPrefix(header, []byte("HTTP/1.1 200")) ||
		!bytes.Contains(header, []byte("text/event-stream")) {
		return nil, fmt.Errorf("%w: %.300q", errNoStream, r.header)
	}
	r.phase = inBody
	if bytes.Contains(bytes.ToLower(header), []byte("transfer-encoding: chunked")) {
		r.phase = inChunkSize
	}
	r.header = nil
	return data[end+len(endOfHeader)-before:], nil
}

func (r *streamReader) readChunkSize(data []byte) ([]byte, error) {
	end := bytes.IndexByte(data, '\n')
	part := data[:end+1]
	if end < 0 {
		part = data
	}
	text := &r.size
	if text.n+len(part) > len(text.bytes) {
		return nil, fmt.Errorf("%w: chunk size %.50q", errNoStream, part)
	}
	text.n += copy(text.bytes[text.n:], part)
	if end < 0 {
		return nil, nil
	}
	size, err := strconv.ParseUint(string(bytes.TrimSpace(text.bytes[:text.n])), 16, 31)
	if err != nil || size == 0 {
		return nil, fmt.Errorf("%w: it ended, or has a chunk size %.50q",
			errNoStream, text.bytes[:text.n])
	}
	text.n, r.left, r.phase = 0, int(size), inChunk
	return data[end+1:], nil
}

// readBody finds the stamps in a piece of the body.
func (r *streamReader) readBody(data []byte, each func(Stamp) error) error {
	r.heard = true
	if begun := &r.stamp; begun.n > 0 {
		n := copy(begun.bytes[begun.n:], data)
		begun.n += n
		data = data[n:]
		if begun.n < stampLength {
			return nil
		}
		begun.n = 0
		if err := found(begun.bytes[:], each); err != nil {
			return err
		}
	}
	for {
		at := bytes.IndexByte(data, stampSign)
		if at < 0 {
			return nil
		}
		data = data[at:]
		if len(data) < stampLength {
			r.stamp.n = copy(r.stamp.bytes[:], data)
			return nil
		}
		if err := found(data[:stampLength], each); err != nil {
			return err
		}
		data = data[stampLength:]
	}
}

func found(text []byte, each func(Stamp) error) error {
	s, err := parseStamp(text)
	if err != nil {
		return err
	}
	return each(s)
}
