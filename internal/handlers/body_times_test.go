package handlers_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"kvgateway/internal/handlers"
)

// A pipeListener accepts the connections that clients dial within the process. Their deadlines use
// the clock of the synctest bubble.
type pipeListener struct {
	accepted chan net.Conn
	closed   chan struct{}
}

// Accept waits for a client that dials.
func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.accepted:
		return conn, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	select {
	case <-l.closed:
	default:
		close(l.closed)
	}
	return nil
}

func (l *pipeListener) Addr() net.Addr { return &net.TCPAddr{} }

// dial connects a client to the listener.
func (l *pipeListener) dial(context.Context, string, string) (net.Conn, error) {
	client, server := net.Pipe()
	l.accepted <- server
	return client, nil
}

// A bodyCase is a way in which a client sends a body, and what must become of it.
type bodyCase struct {
	// send writes the body.
	send func(io.Writer)
	// pause is how long the gateway pauses after each read.
	pause time.Duration

	// stopped is the code of the problem; "" if the body is read to its end.
	stopped string
	// from and to are the earliest and latest time of the answer.
	from, to time.Duration
}

// every writes size bytes at a time, until total bytes are written or nobody takes them.
func every(interval time.Duration, size, total int) func(io.Writer) {
	return func(w io.Writer) {
		for sent := 0; sent < total; sent += size {
			if _, err := w.Write(make([]byte, size)); err != nil {
				return
			}
			time.Sleep(interval)
		}
	}
}

// atOnce writes size bytes at once.
func atOnce(size int) func(io.Writer) { return every(0, size, size) }

func TestBodiesHaveTheirTime(t *testing.T) {
	then := func(parts ...func(io.Writer)) func(io.Writer) {
		return func(w io.Writer) {
			for _, part := range parts {
				part(w)
			}
		}
	}
	pause := func(d time.Duration) func(io.Writer) { return func(io.Writer) { time.Sleep(d) } }
	for name, s := range map[string]bodyCase{
		"nothing at all": {send: pause(time.Hour), stopped: "request-timeout",
			from: 9 * time.Second, to: 10 * time.Second},
		"a byte each few seconds": {send: every(3*time.Second, 1, 1e6),
			stopped: "request-timeout", from: 9 * time.Second, to: 11 * time.Second},
		"half of the rate": {send: every(time.Second, 512, 1e6),
			stopped: "request-timeout", from: 15 * time.Second, to: 22 * time.Second},
		"silence after much": {send: then(atOnce(100<<10), pause(time.Hour)),
			stopped: "request-timeout", from: 28 * time.Second, to: 31 * time.Second},
		"much, then a trickle": {send: then(atOnce(100<<10), every(time.Second, 1, 1e6)),
			stopped: "request-timeout", from: 28 * time.Second, to: 32 * time.Second},
		"for ever": {send: every(time.Second, 8<<10, 1<<30),
			stopped: "request-timeout", from: 59 * time.Minute, to: time.Hour},
		"a bad line of 8 KiB/s": {send: every(time.Second, 8<<10, 10<<20),
			from: 1270 * time.Second, to: 1290 * time.Second},
		"a little above the rate": {send: every(time.Second, 1100, 1e6),
			from: 900 * time.Second, to: 920 * time.Second},
		"a pause within the patience": {
			send: then(atOnce(100<<10), pause(25*time.Second), atOnce(100<<10)),
			from: 25 * time.Second, to: 26 * time.Second},
		"a small body within the grace": {send: then(atOnce(10), pause(8*time.Second), atOnce(10)),
			from: 8 * time.Second, to: 9 * time.Second},
		"a gateway that is slow itself": {send: atOnce(1 << 20), pause: time.Minute,
			from: time.Minute, to: 10 * time.Hour},
	} {
		for _, version := range []string{"HTTP/1.1", "HTTP/2"} {
			t.Run(name+" "+version, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { s.check(t, version == "HTTP/2") })
			})
		}
	}
}

// check sends the body to a gateway's reader and checks the answer.
func (s *bodyCase) check(t *testing.T, http2 bool) {
	var protocols http.Protocols
	protocols.SetHTTP1(!http2)
	protocols.SetUnencryptedHTTP2(http2)
	listener := &pipeListener{accepted: make(chan net.Conn), closed: make(chan struct{})}
	server := http.Server{Handler: handlers.BodyReader(s.pause), Protocols: &protocols}
	go server.Serve(listener)
	defer server.Close()
	transport := &http.Transport{DialContext: listener.dial, Protocols: &protocols}
	defer transport.CloseIdleConnections()
	reader, writer := io.Pipe()
	sent := 0
	var sender sync.WaitGroup
	sender.Go(func() {
		s.send(countingWriter{writer, &sent})
		writer.Close()
	})
	began := time.Now()
	request, err := http.NewRequestWithContext(t.Context(), "PUT", "http://gateway/", reader)
	if err != nil {
		t.Fatal(err)
	}
	response, err := transport.RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took < s.from || took > s.to {
		t.Errorf("answered after %v, want %v to %v", took, s.from, s.to)
	}
	if got := response.Header.Get("Stopped"); got != s.stopped {
		t.Errorf("stopped by %q after %s bytes, want %q", got, answer, s.stopped)
	}
	if s.stopped == "" && string(answer) != fmt.Sprint(sent) {
		t.Errorf("read %s bytes of %d", answer, sent)
	}
	reader.Close()
	response.Body.Close()
	sender.Wait()
}

// A countingWriter counts the bytes that the writer below it took.
type countingWriter struct {
	io.Writer
	n *int
}

func (w countingWriter) Write(p []byte) (int, error) {
	n, err := w.Writer.Write(p)
	*w.n += n
	return n, err
}
