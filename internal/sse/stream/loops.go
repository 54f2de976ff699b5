package stream

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Loops write streams on connections taken over from net/http: a few goroutines write to all of
// them. A stream costs no goroutine, no timer and no buffer. Loops need Linux, see [CanLoop].
//
// With net/http a stream costs a goroutine with its stack, another that watches the connection, and
// three buffers: 32 KB of memory and 18 µs of CPU for a delivery with 5,000 streams, where nginx
// with nchan takes 14 KB and 13 µs. A loop takes 3 KB and 11 µs (bench/README.md).
//
// A loop never waits in a write. What a socket does not take stays with its stream, and the source
// of the stream is asked for nothing until that is gone. So a client that reads slowly costs its
// stream what one call of Next appends, and costs the other streams nothing
// (TestLoopsDoNotWaitForAReader), and the log of the feed stays the only queue. The client has 30 s
// to take some of it, and at most 30 s beyond the age of the stream. A frame that is larger than
// [FlushAt] is not copied for each stream that waits with it.
//
// An epoll instance of its own, which the Go runtime watches, tells of connections that are closed
// and of sockets that take more. The runtime's own epoll only tells goroutines that wait, one for
// each socket. An answer that a loop writes has no chunks, and ends with its connection.
//
// A loop has a list of streams that are ready to be visited and a timetable of all that are open;
// the package documentation has the table of what a visit does. A Loops is safe for concurrent use.
type Loops struct {
	// limits are the bounds that all streams share.
	limits *Limits
	// loops has the loops, to which streams are assigned in turn.
	loops []*loop
	// watcher tells of sockets that are closed or take more.
	watcher *watcher
	// made counts the streams that were made, to choose the loop of the next one.
	made atomic.Uint32
	// unsent is the sum of the bytes that wait for sockets, of all loops.
	unsent atomic.Int64
	// closed is closed when the loops have to end the streams that are left.
	closed chan struct{}
	// drained is closed when no stream is left.
	drained chan struct{}

	// mu guards closing.
	mu sync.Mutex
	// closing says that no more streams are accepted.
	closing bool
	// streams counts the streams that were started and have not ended. Nothing is added once
	// closing is set.
	streams sync.WaitGroup
}

// NewLoops starts count loops. It returns an error where the system has no way to watch sockets.
func NewLoops(count int, limits *Limits) (*Loops, error) {
	watcher, err := newWatcher()
	if err != nil {
		return nil, err
	}
	l := &Loops{
		limits:  limits,
		watcher: watcher,
		closed:  make(chan struct{}),
		drained: make(chan struct{}),
	}
	for range count {
		one := &loop{
			watcher: watcher,
			limits:  limits,
			wakeUp:  make(chan struct{}, 1),
			unsent:  &l.unsent,
			buffer:  make([]byte, 0, 2*FlushAt),
		}
		l.loops = append(l.loops, one)
		go one.run(l.closed, l.drained)
	}
	go watcher.run()
	return l, nil
}

// Close waits until all streams have ended, which their sources must do by themselves, and ends
// those that are left when the context ends. Streams that are about to be started are refused.
func (l *Loops) Close(ctx context.Context) {
	l.mu.Lock()
	l.closing = true
	l.mu.Unlock()
	go func() { l.streams.Wait(); close(l.drained) }()
	select {
	case <-l.drained:
	case <-ctx.Done():
	}
	close(l.closed)
	<-l.drained
	l.watcher.close()
}

// enter counts a stream, and returns false if the loops are closing. The check is needed since
// whoever shuts the HTTP server down does not wait for a handler that has just taken its connection
// over.
func (l *Loops) enter() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closing {
		return false
	}
	l.streams.Add(1)
	return true
}

// Unsent returns how many bytes wait for sockets that took no more. A large frame with which
// several streams wait counts for each of them, and is in memory once.
func (l *Loops) Unsent() int64 { return l.unsent.Load() }

// New returns a stream of a client, the owner, that is not started yet, and assigns it to a loop.
// Wakes before Start do nothing; Start wakes the stream itself.
func (l *Loops) New(owner string) *LoopStream {
	// #nosec G115 -- there are few loops
	one := l.loops[l.made.Add(1)%uint32(len(l.loops))]
	return &LoopStream{loop: one, owner: owner, heapIndex: notInHeap}
}

// Start hands conn to the loops, which send head first. When the stream ends, ended is called once
// with the number of bytes sent after head and the reason, nil if the source finished. It runs on
// the goroutine of a loop: it must not block or panic.
//
// Start returns an error and leaves conn alone if conn cannot be watched, or, with [net.ErrClosed],
// if the loops are closed.
func (l *Loops) Start(
	s *LoopStream, conn net.Conn, head []byte, source Source, pace Pace,
	ended func(sent int64, err error),
) error {
	first := source.Begin(head) // if the source panics, nothing is left behind here
	if !l.enter() {
		return net.ErrClosed
	}
	s.conn, s.source, s.rest = conn, source, first
	s.clock = newClock(time.Now(), pace)
	s.onEnd = func(sent int64, err error) {
		defer l.streams.Done() // even if ended panics, since Close waits for it
		ended(max(0, sent-int64(len(head))), err)
	}
	if err := l.watcher.watch(s); err != nil {
		l.streams.Done()
		return err
	}
	l.unsent.Add(int64(len(s.rest)))
	l.limits.bindSocket(conn)
	s.started.Store(true)
	s.Wake()
	return nil
}
