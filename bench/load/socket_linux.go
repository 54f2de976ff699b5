package load

import (
	"errors"
	"fmt"
	"net/netip"
	"syscall"
	"time"
)

// dialSocket connects to an IPv4 address. The socket is a blocking one, which is read only when
// there is something to read.
func dialSocket(address string) (fd int, err error) { return dial(address, 0) }

// dial connects with a receive buffer of that many bytes, or of the kernel's default with 0.
func dial(address string, receive int) (fd int, err error) {
	target, err := netip.ParseAddrPort(address)
	if err != nil {
		return -1, err
	}
	fd, err = syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("socket: %w", err)
	}
	timeout := syscall.NsecToTimeval(AnswerTimeout.Nanoseconds())
	syscall.SetsockoptInt(fd, syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1)
	if receive > 0 {
		syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_RCVBUF, receive)
	}
	syscall.SetsockoptTimeval(fd, syscall.SOL_SOCKET, syscall.SO_SNDTIMEO, &timeout)
	syscall.SetsockoptTimeval(fd, syscall.SOL_SOCKET, syscall.SO_RCVTIMEO, &timeout)
	inet := &syscall.SockaddrInet4{Port: int(target.Port()), Addr: target.Addr().As4()}
	if err := connect(fd, inet); err != nil {
		syscall.Close(fd)
		return -1, fmt.Errorf("connect to %s: %w", address, err)
	}
	return fd, nil
}

// connect goes on after a preemption signal of the Go runtime has interrupted it.
func connect(fd int, target syscall.Sockaddr) error {
	for {
		switch err := syscall.Connect(fd, target); err {
		case syscall.EINTR, syscall.EALREADY:
		case syscall.EISCONN:
			return nil
		default:
			return err
		}
	}
}

func closeSocket(fd int) { syscall.Close(fd) }

// readSocket returns 0 at the end of the stream.
func readSocket(fd int, into []byte) (int, error) {
	for {
		n, err := syscall.Read(fd, into)
		if err != syscall.EINTR {
			return n, err
		}
	}
}

// writeSocket writes all of the bytes.
func writeSocket(fd int, from []byte) error {
	for len(from) > 0 {
		n, err := syscall.Write(fd, from)
		if err != nil && err != syscall.EINTR {
			return err
		}
		from = from[max(n, 0):]
	}
	return nil
}

// errNothingToRead is the error of a wait during which nothing arrived.
var errNothingToRead = errors.New("nothing to read")

// A poller reports which of its sockets have something to read.
type poller struct {
	fd     int
	events []syscall.EpollEvent
}

// newPoller watches sockets. They are known by their indices here.
func newPoller(sockets []int) (*poller, error) {
	fd, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll_create1: %w", err)
	}
	for i, socket := range sockets {
		event := syscall.EpollEvent{Events: syscall.EPOLLIN, Fd: int32(i)}
		if err := syscall.EpollCtl(fd, syscall.EPOLL_CTL_ADD, socket, &event); err != nil {
			syscall.Close(fd)
			return nil, fmt.Errorf("epoll_ctl: %w", err)
		}
	}
	return &poller{fd, make([]syscall.EpollEvent, 64)}, nil
}

func (p *poller) close() { syscall.Close(p.fd) }

// wait calls each for every readable socket. If there is none in time, it fails with
// [errNothingToRead].
func (p *poller) wait(timeout time.Duration, each func(index int) error) error {
	n, err := syscall.EpollWait(p.fd, p.events, int(timeout.Milliseconds()))
	switch {
	case err == syscall.EINTR: // a preemption signal of the Go runtime
		return nil
	case err != nil:
		return fmt.Errorf("epoll_wait: %w", err)
	case n == 0:
		return fmt.Errorf("%w within %s", errNothingToRead, timeout)
	}
	for _, event := range p.events[:n] {
		if err := each(int(event.Fd)); err != nil {
			return err
		}
	}
	return nil
}
