//go:build linux

package stream

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
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
// Only a client that takes nothing is cut.
func TestSlowReaderReceivesALargeFrame(t *testing.T) {
	t.Parallel()
	const patience = time.Second
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		source := &scriptedSource{words: [][]byte{largeWord()}, over: true}
		s := NewWriter(w, newLimits(nil, patience, 0), "", nil)
		s.Run(r.Context(), source, unhurried)
	}))
	defer server.Close()
	response, err := http.Get(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	began := time.Now()
	n, err := readSlowly(response.Body)
	if want := len("begin\n") + len(largeWord()); err != io.EOF || n != want {
		t.Errorf("read %d bytes of %d, then %v", n, want, err)
	}
	if took := time.Since(began); took < 2*patience {
		t.Errorf("it took %v, which is too short to test anything", took)
	}
}

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
