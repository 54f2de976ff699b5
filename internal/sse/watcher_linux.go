package sse

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"unsafe"
)

// CanLoop tells whether [NewLoops] works on this system.
const CanLoop = true

// A watcher tells of sockets that their peer has closed, or that take more after they took no more, with an epoll instance of its
// own. The Go runtime's tells only goroutines that wait, one for each socket.
type watcher struct {
	file *os.File // the epoll instance, which the runtime watches in its turn
	poll syscall.RawConn
	fd   int
	last atomic.Uint32

	mu     sync.Mutex
	taken  map[int32]*Taken // by file descriptor
	events [256]syscall.EpollEvent
}

// edgeTriggered is EPOLLET, which the syscall package has as a negative number.
const edgeTriggered = 1 << 31

func newWatcher() (*watcher, error) {
	fd, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll_create1: %w", err)
	}
	if err := syscall.SetNonblock(fd, true); err != nil { // or os.NewFile would not let the runtime watch it
		return nil, fmt.Errorf("watch epoll: %w", err)
	}
	w := &watcher{file: os.NewFile(uintptr(fd), "epoll"), fd: fd, taken: make(map[int32]*Taken)}
	if w.poll, err = w.file.SyscallConn(); err != nil {
		return nil, fmt.Errorf("watch epoll: %w", err)
	}
	return w, nil
}

func (w *watcher) close() { w.file.Close() }

// watch begins to watch a stream's connection.
func (w *watcher) watch(t *Taken) error {
	conn, ok := t.conn.(syscall.Conn)
	if !ok {
		return errors.New("the connection is no socket")
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	t.number = w.last.Add(1)
	failed := raw.Control(func(fd uintptr) {
		t.fd = int(fd)
		w.mu.Lock()
		w.taken[int32(fd)] = t
		w.mu.Unlock()
		event := syscall.EpollEvent{Events: syscall.EPOLLRDHUP | syscall.EPOLLOUT | edgeTriggered, Fd: int32(fd), Pad: int32(t.number)}
		err = syscall.EpollCtl(w.fd, syscall.EPOLL_CTL_ADD, int(fd), &event)
	})
	if err = errors.Join(failed, err); err != nil {
		w.forget(t)
	}
	return err
}

// forget ends the watching of a connection that will be closed, which ends the rest.
func (w *watcher) forget(t *Taken) {
	w.mu.Lock()
	delete(w.taken, int32(t.fd))
	w.mu.Unlock()
}

// run tells the streams until the watcher is closed.
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
			w.tell(&w.events[i])
		}
	}
}

func (w *watcher) tell(e *syscall.EpollEvent) {
	w.mu.Lock()
	t := w.taken[e.Fd]
	w.mu.Unlock()
	if t == nil || t.number != uint32(e.Pad) {
		return
	}
	switch {
	case e.Events&(syscall.EPOLLHUP|syscall.EPOLLERR) != 0:
		t.gone.Store(true)
	case e.Events&syscall.EPOLLRDHUP != 0 && t.finished.CompareAndSwap(false, true):
		t.probe.Store(true)
	}
	t.Wake()
}

// writeNow writes as much as the socket takes, which it does without waiting: so the scheduler need not be told of the system call.
func writeNow(fd int, data []byte) (n int, err error) {
	for n < len(data) {
		wrote, _, errno := syscall.RawSyscall(syscall.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(&data[n])), uintptr(len(data)-n))
		switch errno {
		case 0:
			n += int(wrote)
		case syscall.EINTR:
		case syscall.EAGAIN:
			return n, nil
		default:
			return n, errno
		}
	}
	return n, nil
}

// maxUnread bounds what is read of a client that has sent more than its request, and sends on.
const maxUnread = 1 << 20

// readAway takes what a client has sent and nobody will read. Else to close the connection would be to reset it, and the client might lose
// what it has yet to read.
func readAway(fd int, into []byte) {
	for unread := maxUnread; unread > 0; {
		n, _, errno := syscall.RawSyscall(syscall.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(&into[0])), uintptr(len(into)))
		if errno != 0 || n == 0 {
			return
		}
		unread -= int(n)
	}
}
