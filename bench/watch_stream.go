package main

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"time"
)

// Every event's value begins with a stamp: its number and when it was sent, in hexadecimal between two signs that occur nowhere else
// in a stream.
const (
	stampSign   = '@'
	stampLength = 34
)

type stamp struct {
	number int64
	sent   time.Duration // since the generator's start
}

func appendStamp(dst []byte, s stamp) []byte {
	return fmt.Appendf(dst, "%c%016x%016x%c", stampSign, s.number, s.sent.Nanoseconds(), stampSign)
}

func parseStamp(text []byte) (s stamp, err error) {
	number, err1 := strconv.ParseInt(string(text[1:17]), 16, 64)
	sent, err2 := strconv.ParseInt(string(text[17:33]), 16, 64)
	if err := errors.Join(err1, err2); err != nil || text[33] != stampSign {
		return s, fmt.Errorf("not a stamp: %q", text)
	}
	return stamp{number, time.Duration(sent)}, nil
}

// stampedValue is a value of that many bytes that begins with a stamp.
func stampedValue(s stamp, size int) []byte {
	value := appendStamp(make([]byte, 0, size), s)
	return append(value, payload(size)[len(value):]...)
}

type streamPhase uint8

const (
	inHeader streamPhase = iota
	inChunkSize
	inChunk
	inChunkEnd
	inBody // not in chunks: it ends with the connection
)

// streamReader finds the stamps in a stream of events, whatever the pieces in which it arrives. It does not allocate once the header is
// over.
type streamReader struct {
	phase  streamPhase
	left   int // bytes of the chunk, or of the end of its line
	size   kept
	stamp  kept // which the end of a chunk may cut
	header []byte
	heard  bool // some of the body has come
}

// kept is the beginning of something short.
type kept struct {
	bytes [stampLength]byte
	n     int
}

var errNoStream = errors.New("not a stream of events")

// read calls each for every stamp that ends in these bytes.
func (r *streamReader) read(data []byte, each func(stamp) error) (err error) {
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
	if !bytes.HasPrefix(header, []byte("HTTP/1.1 200")) || !bytes.Contains(header, []byte("text/event-stream")) {
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
		return nil, fmt.Errorf("%w: it ended, or has a chunk size %.50q", errNoStream, text.bytes[:text.n])
	}
	text.n, r.left, r.phase = 0, int(size), inChunk
	return data[end+1:], nil
}

// readBody finds stamps.
func (r *streamReader) readBody(data []byte, each func(stamp) error) error {
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

func found(text []byte, each func(stamp) error) error {
	s, err := parseStamp(text)
	if err != nil {
		return err
	}
	return each(s)
}
