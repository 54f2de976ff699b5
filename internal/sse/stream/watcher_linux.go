package stream

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
)

// CanLoop reports whether [NewLoops] works on this system.
const CanLoop = true

// A watcher wakes the streams of sockets that their peer has closed, or that take more after they
// were full. It has an epoll instance of its own, since the Go runtime's only wakes goroutines that
// wait, one for each socket. The runtime watches this instance in its turn, so that one goroutine
// can wait for all sockets.
type watcher struct {
	// file is the epoll instance.
	file *os.File
	// poll waits for file to become readable, which it is when there are events.
	poll syscall.RawConn
	// fd is the file descriptor of file.
	fd int
	// lastNumber is the watchNumber of the stream that was watched last.
	lastNumber atomic.Uint32

	// mu guards streams.
	mu sync.Mutex
	// streams has the streams that are watched, by file descriptor.
	streams map[int32]*LoopStream
	// events belongs to the goroutine of run.
	events [256]syscall.EpollEvent
}

// edgeTriggered is EPOLLET, which the syscall package has as a negative number.
const edgeTriggered = 1 << 31

// watchedEvents are the events of a socket that are asked for: its peer has ended its half of the
// connection, and the socket takes more. Errors and the end of the connection are told in any case.
const watchedEvents = syscall.EPOLLRDHUP | syscall.EPOLLOUT | edgeTriggered

// newWatcher makes the epoll instance. Nothing is watched until run is called.
func newWatcher() (*watcher, error) {
	fd, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll_create1: %w", err)
	}
	// The runtime only watches files that do not block.
	if err := syscall.SetNonblock(fd, true); err != nil {
		return nil, fmt.Errorf("watch epoll: %w", err)
	}
	w := &watcher{
		file:    os.NewFile(uintptr(fd), "epoll"),
		fd:      fd,
		streams: make(map[int32]*LoopStream),
	}
	if w.poll, err = w.file.SyscallConn(); err != nil {
		return nil, fmt.Errorf("watch epoll: %w", err)
	}
	return w, nil
}

// close closes the epoll instance, which ends run.
func (w *watcher) close() { w.file.Close() }

// watch begins to watch the connection of a stream.
func (w *watcher) watch(s *LoopStream) error {
	conn, ok := s.conn.(syscall.Conn)
	if !ok {
		return errors.New("the connection is no socket")
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	s.watchNumber = w.lastNumber.Add(1)
	failed := raw.Control(func(fd uintptr) {
		s.fd = int(fd)
		w.mu.Lock()
		// #nosec G115 -- the system has these in 32 bits (epoll_ctl(2))
		w.streams[int32(fd)] = s
		w.mu.Unlock()
		event := syscall.EpollEvent{
			Events: watchedEvents,
			// #nosec G115 -- the system has these in 32 bits (epoll_ctl(2))
			Fd: int32(fd),
			// #nosec G115 -- the system has these in 32 bits (epoll_ctl(2))
			Pad: int32(s.watchNumber), // comes back with each event
		}
		err = syscall.EpollCtl(w.fd, syscall.EPOLL_CTL_ADD, int(fd), &event)
	})
	if err = errors.Join(failed, err); err != nil {
		w.forget(s)
	}
	return err
}

// forget ends the watching of a connection that is about to be closed. Closing it removes it from
// the epoll instance.
func (w *watcher) forget(s *LoopStream) {
	w.mu.Lock()
	// #nosec G115 -- the system has these in 32 bits (epoll_ctl(2))
	delete(w.streams, int32(s.fd))
	w.mu.Unlock()
}

// run wakes streams until the watcher is closed.
func (w *watcher) run() {
	for {
		n := 0
		err := w.poll.Read(func(fd uintptr) bool {
			n, _ = syscall.EpollWait(int(fd), w.events[:], 0)
			return n > 0
		})
		if err != nil {
			return
		}
		for i := range w.events[:max(n, 0)] {
			w.handle(&w.events[i])
		}
	}
}

// handle wakes the stream that an event is about. An event of a socket that was closed meanwhile
// may name the file descriptor of a new one, hence the number.
func (w *watcher) handle(e *syscall.EpollEvent) {
	w.mu.Lock()
	s := w.streams[e.Fd]
	w.mu.Unlock()
	// #nosec G115 -- the system has these in 32 bits (epoll_ctl(2))
	if s == nil || s.watchNumber != uint32(e.Pad) {
		return
	}
	switch {
	case e.Events&(syscall.EPOLLHUP|syscall.EPOLLERR) != 0:
		s.clientGone.Store(true)
	case e.Events&syscall.EPOLLRDHUP != 0 && s.halfClosed.CompareAndSwap(false, true):
		s.probe.Store(true)
	}
	s.Wake()
}
