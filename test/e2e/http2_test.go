package e2e

import (
	"bufio"
	"io"
	"net"
	"testing"
	"time"
)

// The test needs these parts of HTTP/2 (RFC 9113) to see frames that ordinary clients hide.
const (
	frameData      = 0x0
	frameHeaders   = 0x1
	frameRSTStream = 0x3
	frameSettings  = 0x4

	flagEndStream  = 0x1
	flagEndHeaders = 0x4
)

// appendFrame encodes a frame.
func appendFrame(dst []byte, kind, flags, stream byte, payload []byte) []byte {
	size := len(payload)
	dst = append(dst, byte(size>>16), byte(size>>8), byte(size), kind, flags)
	return append(append(dst, 0, 0, 0, stream), payload...)
}

// appendField encodes a header field in the simplest way that HPACK has: as a literal that is not
// indexed (RFC 7541 §6.2.2).
func appendField(dst []byte, name, value string) []byte {
	dst = append(append(dst, 0, byte(len(name))), name...)
	return append(append(dst, byte(len(value))), value...)
}

// readFrame reads a frame and drops its payload.
func readFrame(t *testing.T, r io.Reader) (kind, flags, stream byte) {
	t.Helper()
	var header [9]byte
	if _, err := io.ReadFull(r, header[:]); err != nil {
		t.Fatalf("no frame: %v", err)
	}
	size := int64(header[0])<<16 | int64(header[1])<<8 | int64(header[2])
	if _, err := io.CopyN(io.Discard, r, size); err != nil {
		t.Fatalf("frame cut short: %v", err)
	}
	return header[3], header[4], header[8]
}

// A client that is still sending when it is refused gets the answer, and no reset that would make
// it forget the answer.
func TestRefusalOfABodyOverHTTP2(t *testing.T) {
	t.Parallel()
	g := start(t, "--data-dir="+t.TempDir())
	conn, err := net.Dial("tcp", g.listen.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	var fields []byte
	for _, field := range [][2]string{
		{":method", "PUT"},
		{":scheme", "http"},
		{":authority", "localhost"},
		{":path", "/buckets/nowhere/keys/a"},
		{"content-length", "5"},
	} {
		fields = appendField(fields, field[0], field[1])
	}
	request := appendFrame([]byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), frameSettings, 0, 0, nil)
	request = appendFrame(request, frameHeaders, flagEndHeaders, 1, fields)
	if _, err := conn.Write(request); err != nil {
		t.Fatal(err)
	}
	in := bufio.NewReader(conn)
	for answered := false; ; {
		kind, flags, stream := readFrame(t, in)
		switch {
		case stream != 1:
		case kind == frameRSTStream:
			t.Fatal("the stream was reset")
		case flags&flagEndStream != 0:
			if !answered {
				t.Fatal("the answer ended before the body was sent, so that a reset must follow")
			}
			return
		case kind == frameData && !answered:
			answered = true
			body := appendFrame(nil, frameData, flagEndStream, 1, []byte("value"))
			if _, err := conn.Write(body); err != nil {
				t.Fatal(err)
			}
		}
	}
}
