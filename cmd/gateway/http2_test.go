package main

import (
	"encoding/binary"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/rs/zerolog"
)

// frame appends a frame of HTTP/2 (RFC 9113 §4.1).
func frame(dst []byte, kind, flags byte, stream uint32, payload ...byte) []byte {
	dst = append(dst, 0, 0, byte(len(payload)), kind, flags)
	return append(binary.BigEndian.AppendUint32(dst, stream), payload...)
}

// The handlers of an HTTP/2 connection that takes nothing end, although flow control holds none of
// its streams back.
func TestStoppedHTTP2ConnectionEndsItsHandlers(t *testing.T) {
	t.Parallel()
	const streams = 8
	ended := make(chan error, streams)
	handler := func(w http.ResponseWriter, _ *http.Request) {
		part := make([]byte, 64<<10)
		for {
			if _, err := w.Write(part); err != nil {
				ended <- err
				return
			}
		}
	}
	l, err := listen(t.Context(), optionsFor(100), http.HandlerFunc(handler), zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	if l.http.HTTP2.WriteByteTimeout != 30*time.Second {
		t.Errorf("a connection may take nothing for %v", l.http.HTTP2.WriteByteTimeout)
	}
	l.http.HTTP2.WriteByteTimeout = min(100*time.Millisecond, l.http.HTTP2.WriteByteTimeout)
	go l.serve(make(chan error, 1))
	defer l.http.Close()

	conn, err := net.Dial("tcp", l.net.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	request := []byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
	// SETTINGS_INITIAL_WINDOW_SIZE of the streams, and WINDOW_UPDATE of the connection
	request = frame(request, 0x4, 0, 0, 0, 0x4, 0x7f, 0xff, 0xff, 0xff)
	request = frame(request, 0x8, 0, 0, 0x7f, 0xfe, 0xff, 0xff)
	for i := range uint32(streams) {
		// HEADERS, END_HEADERS and END_STREAM: GET http / of "a", by HPACK's static table
		request = frame(request, 0x1, 0x5, 2*i+1, 0x82, 0x86, 0x84, 0x01, 1, 'a')
	}
	if _, err := conn.Write(request); err != nil {
		t.Fatal(err)
	}
	for range streams {
		select {
		case <-ended:
		case <-time.After(20 * time.Second):
			t.Fatal("a handler waits for a client that takes nothing")
		}
	}
}
