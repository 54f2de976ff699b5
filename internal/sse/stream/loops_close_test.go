//go:build linux

package stream

import (
	"context"
	"errors"
	"net"
	"sync"
	"testing"
	"time"
)

// A stream that is started while the loops are being closed is refused, or it ends: Close returns,
// and no stream is left.
func TestLoopsCloseWhileStreamsStart(t *testing.T) {
	t.Parallel()
	for range 50 {
		testCloseWhileStreamsStart(t)
	}
}

func testCloseWhileStreamsStart(t *testing.T) {
	a := openLoops(t, 2, writePatience)
	l := a.loops
	const clients = 8
	connections := make([]net.Conn, clients)
	for i := range connections {
		_, connections[i] = a.connect()
		defer connections[i].Close()
	}
	outcomes := make(chan error, clients)
	var starting sync.WaitGroup
	for _, conn := range connections {
		starting.Go(func() {
			ended := func(_ int64, err error) { outcomes <- err }
			err := l.Start(l.New(""), conn, nil, &scriptedSource{}, unhurried, ended)
			if err != nil {
				outcomes <- err
			}
		})
	}
	closed := make(chan struct{})
	go func() {
		gone, cancel := context.WithCancel(context.Background())
		cancel()
		l.Close(gone)
		close(closed)
	}()
	starting.Wait()
	for range clients {
		select {
		case err := <-outcomes:
			if !errors.Is(err, net.ErrClosed) {
				t.Errorf("a stream ended with %v", err)
			}
		case <-time.After(soon):
			t.Fatal("a stream was neither refused nor ended")
		}
	}
	select {
	case <-closed:
	case <-time.After(soon):
		t.Fatal("Close does not return")
	}
}

// A source that panics ends its stream, and neither the process nor another stream.
func TestPanicEndsOneStream(t *testing.T) {
	t.Parallel()
	a := startLoops(t, 1, writePatience)
	var other scriptedSource
	s := a.open(&other, unhurried)
	s.expect(t, "head\nbegin\n")
	if err := a.open(&panickingSource{}, unhurried).outcome(t); !errors.Is(err, ErrPanicked) {
		t.Errorf("ended with %v", err)
	}
	other.say("word\n")
	s.stream.Wake()
	s.expect(t, "word\n")
}

// A panickingSource panics when it is asked.
type panickingSource struct{ scriptedSource }

func (*panickingSource) Next([]byte) ([]byte, When) { panic("in Next") }

// A panicAtBegin is a source that panics before its stream has begun.
type panicAtBegin struct{ scriptedSource }

func (*panicAtBegin) Begin([]byte) []byte { panic("in Begin") }

// Loops can be closed after a source or the function of a stream's end has panicked.
func TestLoopsCloseAfterPanics(t *testing.T) {
	t.Parallel()
	a := openLoops(t, 1, writePatience)
	l := a.loops
	func() {
		defer func() { _ = recover() }()
		ended := func(int64, error) { t.Error("the end of a stream that never began was reported") }
		_ = l.Start(l.New(""), nil, nil, &panicAtBegin{}, unhurried, ended)
		t.Error("the panic was swallowed")
	}()
	_, server := a.connect()
	called := make(chan struct{})
	ended := func(int64, error) { close(called); panic("in ended") }
	err := l.Start(l.New(""), server, nil, &scriptedSource{over: true}, unhurried, ended)
	if err != nil {
		t.Fatal(err)
	}
	<-called
	closed := make(chan struct{})
	go func() { l.Close(t.Context()); close(closed) }()
	select {
	case <-closed:
	case <-time.After(soon):
		t.Fatal("Close does not return")
	}
}
