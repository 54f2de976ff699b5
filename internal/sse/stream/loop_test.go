//go:build linux

package stream

import (
	"bytes"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"
)

// idleLoop returns a loop without a goroutine, a stream of it, and the client's end of the stream's
// connection, so that the test itself can visit the stream.
func idleLoop(t *testing.T, source Source, pace Pace) (*loop, *LoopStream, net.Conn) {
	t.Helper()
	w, err := newWatcher()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.close)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	client, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	server, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close(); server.Close() })
	l := &loop{
		watcher: w,
		limits:  newLimits(nil, writePatience, 0),
		wakeUp:  make(chan struct{}, 1),
		unsent:  new(atomic.Int64),
		buffer:  make([]byte, 0, 2*FlushAt),
	}
	stream := &LoopStream{
		loop:      l,
		conn:      server,
		source:    source,
		clock:     newClock(time.Now(), pace),
		heapIndex: notInHeap,
		onEnd:     func(int64, error) {},
	}
	if err := w.watch(stream); err != nil {
		t.Fatal(err)
	}
	return l, stream, client
}

// A stream whose heartbeat came due while its socket was full is moved in the timetable when it has
// sent the heartbeat.
func TestTimetableMovesAStreamAfterALateHeartbeat(t *testing.T) {
	var source scriptedSource
	l, late, _ := idleLoop(t, &source, Pace{Heartbeat: time.Hour, Age: 10 * time.Hour})
	late.clock.nextBeat = time.Now().Add(-time.Second)
	late.rest = []byte("left\n")
	l.unsent.Add(int64(len(late.rest)))
	sooner := Pace{Heartbeat: time.Minute, Age: time.Hour}
	other := &LoopStream{loop: l, clock: newClock(time.Now(), sooner), heapIndex: notInHeap}
	l.timetable.put(other)
	l.timetable.put(late)
	l.advance(late, time.Time{})
	if source.beats.Load() != 1 {
		t.Fatalf("%d heartbeats", source.beats.Load())
	}
	if first := l.timetable[0]; first != other {
		t.Errorf("the first in the timetable is due in %v, the other in %v",
			time.Until(first.due()), time.Until(other.due()))
	}
	if n := l.unsent.Load(); n != 0 {
		t.Errorf("%d bytes count as unsent", n)
	}
}

// A sharedFrameSource is a source with one frame, which other streams may have too.
type sharedFrameSource struct{ frame []byte }

func (s *sharedFrameSource) Begin(dst []byte) []byte { return dst }
func (s *sharedFrameSource) Next([]byte) ([]byte, When) {
	return s.frame[:len(s.frame):len(s.frame)], WhenWoken
}
func (s *sharedFrameSource) Beat(dst []byte) []byte             { return dst }
func (s *sharedFrameSource) GoAway(dst []byte, _ string) []byte { return dst }

// The part of a shared frame that a socket does not take is not copied, and the frame is not
// changed.
func TestLargeFramesAreNotCopied(t *testing.T) {
	frame := bytes.Repeat([]byte("0123456789abcdef"), 1<<20)
	before := bytes.Clone(frame)
	l, stream, client := idleLoop(t, &sharedFrameSource{frame}, unhurried)
	l.advance(stream, time.Time{})
	left := len(stream.rest)
	if left == 0 || &stream.rest[0] != &frame[len(frame)-left] {
		t.Fatalf("%d bytes are left, and they are not the frame's", left)
	}
	if n := l.unsent.Load(); n != int64(left) {
		t.Errorf("%d bytes count as unsent, %d are", n, left)
	}
	got := make(chan []byte, 1)
	go func() {
		all := make([]byte, len(frame))
		_, _ = io.ReadFull(client, all)
		got <- all
	}()
	for deadline := time.Now().Add(soon); len(stream.rest) > 0; {
		if time.Now().After(deadline) {
			t.Fatal("the socket does not take the rest")
		}
		l.sendRest(stream, time.Time{})
	}
	if all := <-got; !bytes.Equal(all, before) || !bytes.Equal(frame, before) {
		t.Error("the frame was changed")
	}
	if n := l.unsent.Load(); n != 0 {
		t.Errorf("%d bytes count as unsent", n)
	}
}
