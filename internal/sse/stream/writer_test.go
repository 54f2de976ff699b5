//go:build linux

package stream

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"
)

// Over HTTP/2 the deadline of a write ends the stream even while nothing is being written. A stream
// that says nothing for longer than a write may take must go on all the same.
func TestQuietStreamOutlivesTheDeadlineOfAWrite(t *testing.T) {
	t.Parallel()
	const patience, heartbeat = 100 * time.Millisecond, 400 * time.Millisecond
	handler := func(w http.ResponseWriter, r *http.Request) {
		s := NewWriter(w, newLimits(nil, patience, 0), "", nil)
		pace := Pace{Heartbeat: heartbeat, Age: time.Hour}
		s.Run(r.Context(), &scriptedSource{}, pace)
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(handler))
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	server.Config.Protocols = &protocols
	server.Start()
	defer server.Close()
	for name, clients := range map[string]func(*http.Protocols){
		"HTTP/1.1": func(p *http.Protocols) { p.SetHTTP1(true) },
		"HTTP/2":   func(p *http.Protocols) { p.SetUnencryptedHTTP2(true) },
	} {
		t.Run(name, func(t *testing.T) {
			var protocols http.Protocols
			clients(&protocols)
			client := &http.Client{Transport: &http.Transport{Protocols: &protocols}, Timeout: soon}
			response, err := client.Get(server.URL)
			if err != nil {
				t.Fatal(err)
			}
			defer response.Body.Close()
			const want = "begin\nbeat\nbeat\n"
			got := make([]byte, len(want))
			if n, err := io.ReadFull(response.Body, got); err != nil || string(got) != want {
				t.Errorf("read %q, %v", got[:n], err)
			}
		})
	}
}

// A client that reads slowly, but always reads, receives a large frame however long that takes.
// Only a client that takes nothing is cut. The clock is that of the test, and no time passes in it
// while somebody works, however busy the machine is.
func TestSlowReaderReceivesALargeFrame(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const patience = time.Second
		word := largeWord()[:4<<20]
		client, server := net.Pipe() // It holds no bytes, so that each write waits for the reader.
		defer client.Close()
		go serveOne(server, func(w http.ResponseWriter, r *http.Request) {
			source := &scriptedSource{words: [][]byte{word}, over: true}
			s := NewWriter(w, newLimits(nil, patience, 0), "", nil)
			s.Run(r.Context(), source, unhurried)
		})
		request := "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
		if _, err := io.WriteString(client, request); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		response, err := http.ReadResponse(bufio.NewReader(slowReader{client, patience / 8}), nil)
		if err != nil {
			t.Fatal(err)
		}
		n, err := io.Copy(io.Discard, response.Body)
		if want := int64(len("begin\n") + len(word)); err != nil || n != want {
			t.Errorf("read %d bytes of %d, then %v", n, want, err)
		}
		if took := time.Since(began); took < 10*patience {
			t.Errorf("it took %v, which is too short to test anything", took)
		}
	})
}

// A slowReader pauses before each read.
type slowReader struct {
	io.Reader
	pause time.Duration
}

func (r slowReader) Read(p []byte) (int, error) {
	time.Sleep(r.pause)
	return r.Reader.Read(p)
}

// serveOne serves the requests of one connection.
func serveOne(conn net.Conn, handler http.HandlerFunc) {
	conns := make(oneListener, 1)
	conns <- conn
	server := &http.Server{Handler: handler, ConnState: func(_ net.Conn, s http.ConnState) {
		if s == http.StateClosed {
			close(conns)
		}
	}}
	_ = server.Serve(conns) // It ends with the connection.
}

// A oneListener accepts the connections that are sent to it, until it is closed.
type oneListener chan net.Conn

func (l oneListener) Accept() (net.Conn, error) {
	if conn, ok := <-l; ok {
		return conn, nil
	}
	return nil, net.ErrClosed
}

func (oneListener) Close() error   { return nil }
func (oneListener) Addr() net.Addr { return &net.TCPAddr{} }

// A client that always takes a little does not keep its stream beyond its age.
func TestSlowReaderIsCutBeyondItsAge(t *testing.T) {
	t.Parallel()
	const patience = 200 * time.Millisecond
	a := startLoops(t, 1, patience)
	source := &scriptedSource{words: [][]byte{largeWord()}}
	s := a.open(source, Pace{Heartbeat: time.Hour, Age: patience})
	if n, err := readSlowly(s); n >= len(largeWord()) {
		t.Errorf("read %d bytes, %v", n, err)
	}
	if err := s.outcome(t); !errors.Is(err, errTooSlow) {
		t.Errorf("ended with %v", err)
	}
}

// largeWord returns more bytes than the buffers of sockets hold.
func largeWord() []byte { return bytes.Repeat([]byte("x"), 32<<20) }

// readSlowly reads to the end, at some 12 MB a second.
func readSlowly(r io.Reader) (n int, err error) {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	buffer := make([]byte, 64<<10)
	for err == nil {
		<-tick.C
		var read int
		read, err = io.ReadFull(r, buffer)
		n += read
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = io.EOF
	}
	return n, err
}
