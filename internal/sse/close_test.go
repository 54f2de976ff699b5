//go:build linux

package sse

import (
	"context"
	"errors"
	"net"
	"sync"
	"testing"
	"time"
)

// Whoever starts a stream while the loops are closed is refused, or the stream ends: Close does not wait for ever, and forgets none.
func TestLoopsCloseWhileStreamsStart(t *testing.T) {
	t.Parallel()
	for range 50 {
		testCloseWhileStreamsStart(t)
	}
}

func testCloseWhileStreamsStart(t *testing.T) {
	a := openAudience(t, 2, writePatience)
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
			if err := l.Start(l.New(), conn, nil, &script{}, unhurried, func(_ int64, err error) { outcomes <- err }); err != nil {
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

// A panic ends one stream, and not the process with all the others.
func TestLoopsOutliveAPanic(t *testing.T) {
	t.Parallel()
	a := startAudience(t, 1, writePatience)
	var other script
	s := a.join(&other, unhurried)
	s.expect(t, "head\nbegin\n")
	if err := a.join(&faulty{}, unhurried).outcome(t); !errors.Is(err, ErrPanicked) {
		t.Errorf("ended with %v", err)
	}
	other.say("word\n")
	s.stream.Wake()
	s.expect(t, "word\n")
}

// A faulty source panics when it is asked.
type faulty struct{ script }

func (*faulty) Next([]byte) ([]byte, Next) { panic("faulty") }

// A reluctant source panics before its stream has begun.
type reluctant struct{ script }

func (*reluctant) Begin([]byte) []byte { panic("reluctant") }

// Loops can be closed whatever has panicked in them.
func TestPanicsLeaveNothingToWaitFor(t *testing.T) {
	t.Parallel()
	a := openAudience(t, 1, writePatience)
	l := a.loops
	func() {
		defer func() { _ = recover() }()
		_ = l.Start(l.New(), nil, nil, &reluctant{}, unhurried, func(int64, error) { t.Error("ended") })
		t.Error("the panic was swallowed")
	}()
	_, server := a.connect()
	called := make(chan struct{})
	if err := l.Start(l.New(), server, nil, &script{over: true}, unhurried, func(int64, error) { close(called); panic("ended") }); err != nil {
		t.Fatal(err)
	}
	<-called
	closed := make(chan struct{})
	go func() { l.Close(t.Context()); close(closed) }()
	select {
	case <-closed:
	case <-time.After(soon):
		t.Fatal("Close waits")
	}
}
