//go:build linux

package stream

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// A dismissedStream is a stream that a test dismisses.
type dismissedStream struct {
	// body is what the client reads.
	body io.Reader
	// goAway dismisses it.
	goAway func(reason string, by time.Time)
	// ended is closed when the stream has ended.
	ended <-chan struct{}
}

// eachForm runs a test with a stream on a loop, and with one on a goroutine over each version of
// HTTP. before is called before the stream begins.
func eachForm(
	t *testing.T,
	source func() Source,
	before func(goAway func(string, time.Time)),
	test func(t *testing.T, s dismissedStream),
) {
	t.Run("loop", func(t *testing.T) {
		t.Parallel()
		a := startLoops(t, 1, writePatience)
		client, server := a.connect()
		if err := client.SetReadDeadline(time.Now().Add(soon)); err != nil {
			t.Fatal(err)
		}
		s, ended := a.loops.New(""), make(chan struct{})
		before(s.GoAway)
		err := a.loops.Start(s, server, nil, source(), unhurried,
			func(int64, error) { close(ended) })
		if err != nil {
			t.Fatal(err)
		}
		test(t, dismissedStream{client, s.GoAway, ended})
	})
	for name, version := range map[string]func(*http.Protocols){
		"HTTP/1.1": func(p *http.Protocols) { p.SetHTTP1(true) },
		"HTTP/2":   func(p *http.Protocols) { p.SetUnencryptedHTTP2(true) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			writers, ended := make(chan *Writer, 1), make(chan struct{})
			handler := func(w http.ResponseWriter, r *http.Request) {
				s := NewWriter(w, newLimits(nil, writePatience, 0), "", nil)
				before(s.GoAway)
				writers <- s
				s.Run(r.Context(), source(), unhurried)
				close(ended)
			}
			server := httptest.NewUnstartedServer(http.HandlerFunc(handler))
			var protocols http.Protocols
			version(&protocols)
			server.Config.Protocols = &protocols
			server.Start()
			t.Cleanup(server.Close)
			client := &http.Client{Transport: &http.Transport{Protocols: &protocols}, Timeout: soon}
			response, err := client.Get(server.URL)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { response.Body.Close() })
			test(t, dismissedStream{response.Body, (<-writers).GoAway, ended})
		})
	}
}

// awaitEnd waits until the stream has ended.
func (s *dismissedStream) awaitEnd(t *testing.T) {
	t.Helper()
	select {
	case <-s.ended:
	case <-time.After(soon):
		t.Fatal("the stream has not ended")
	}
}

// nothing is what happens before most streams begin.
func nothing(func(string, time.Time)) {}

// A stream that is dismissed sends the goaway and ends, whether it is quiet or always has more to
// say.
func TestDismissedStreamSaysWhy(t *testing.T) {
	t.Parallel()
	for name, source := range map[string]func() Source{
		"quiet":   func() Source { return &scriptedSource{} },
		"endless": func() Source { return newEndless() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			eachForm(t, source, nothing, func(t *testing.T, s dismissedStream) {
				s.goAway("permissions", time.Now().Add(soon))
				s.goAway("another", time.Now().Add(2*soon))
				all, err := io.ReadAll(s.body)
				if end := tail(all); err != nil || !strings.HasSuffix(end, "permissions\n") {
					t.Errorf("read %d bytes that end in %q, %v", len(all), end, err)
				}
				s.awaitEnd(t)
			})
		})
	}
}

// tail returns the end of what was read.
func tail(all []byte) string { return string(all[max(0, len(all)-40):]) }

// A stream that is dismissed before it begins sends nothing of what its source has.
func TestStreamDismissedBeforeItBeginsSendsNothing(t *testing.T) {
	t.Parallel()
	source := func() Source { return &scriptedSource{words: [][]byte{[]byte("secret\n")}} }
	before := func(goAway func(string, time.Time)) { goAway("permissions", time.Now().Add(soon)) }
	eachForm(t, source, before, func(t *testing.T, s dismissedStream) {
		all, err := io.ReadAll(s.body)
		if string(all) != "begin\ngoaway permissions\n" || err != nil {
			t.Errorf("read %q, %v", all, err)
		}
		s.awaitEnd(t)
	})
}

// A client that takes nothing is cut when the time of the dismissal comes, long before the patience
// with slow clients is over.
func TestDismissedStreamOfAStuckClientIsCut(t *testing.T) {
	t.Parallel()
	source := func() Source { return &scriptedSource{words: [][]byte{largeWord()}} }
	eachForm(t, source, nothing, func(t *testing.T, s dismissedStream) {
		if _, err := io.ReadFull(s.body, make([]byte, 100)); err != nil {
			t.Fatal(err)
		}
		s.goAway("auth-expiring", time.Now().Add(soon))
		began := time.Now()
		s.goAway("permissions", began.Add(300*time.Millisecond))
		s.awaitEnd(t)
		if took := time.Since(began); took < 300*time.Millisecond || took > soon/2 {
			t.Errorf("it was cut after %v", took)
		}
	})
}

// A loop visits a dismissed stream when its time comes, although the client would have had longer
// for what is left.
func TestDismissalShortensTheTimeForTheRest(t *testing.T) {
	t.Parallel()
	l, s, _ := idleLoop(t, &sharedFrameSource{largeWord()}, unhurried)
	l.advance(s, time.Time{})
	for left := 0; left != len(s.rest); { // until the socket takes nothing more
		left = len(s.rest)
		l.advance(s, time.Time{})
	}
	by := time.Now().Add(time.Second)
	s.GoAway("permissions", by)
	l.advance(s, time.Time{})
	if due := l.timetable[0].due(); !due.Equal(by) {
		t.Errorf("it is visited %v too late", due.Sub(by))
	}
	l.advance(s, by)
	if !s.ended {
		t.Error("it goes on")
	}
}

// A client that takes what it was sent, if slowly, gets all of it and the goaway.
func TestDismissedStreamOfASlowClientIsSentToItsEnd(t *testing.T) {
	t.Parallel()
	word := largeWord()[:4<<20]
	source := func() Source { return &scriptedSource{words: [][]byte{word}} }
	eachForm(t, source, nothing, func(t *testing.T, s dismissedStream) {
		if _, err := io.ReadFull(s.body, make([]byte, len("begin\n")+100)); err != nil {
			t.Fatal(err)
		}
		s.goAway("permissions", time.Now().Add(soon))
		all, err := io.ReadAll(s.body)
		if want := len(word) - 100 + len("goaway permissions\n"); err != nil || len(all) != want {
			t.Errorf("read %d bytes of %d, which end in %q, %v", len(all), want, tail(all), err)
		}
		s.awaitEnd(t)
	})
}
