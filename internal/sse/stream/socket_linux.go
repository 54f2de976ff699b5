package stream

import (
	"syscall"
	"unsafe"
)

// writeNow writes as much as the socket takes now. Since the system call does not wait, the
// scheduler need not know of it.
func writeNow(fd int, data []byte) (n int, err error) {
	for n < len(data) {
		wrote, _, errno := syscall.RawSyscall(syscall.SYS_WRITE, uintptr(fd),
			uintptr(unsafe.Pointer(&data[n])), uintptr(len(data)-n))
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

// maxUnread bounds the bytes that are read from a client that sends more than its request.
const maxUnread = 1 << 20

// discardUnread reads what a client has sent and nobody needs. With unread bytes the system would
// reset the connection when it is closed, and the client could lose the end of its stream.
func discardUnread(fd int, into []byte) {
	for unread := maxUnread; unread > 0; {
		n, _, errno := syscall.RawSyscall(syscall.SYS_READ, uintptr(fd),
			uintptr(unsafe.Pointer(&into[0])), uintptr(len(into)))
		if errno != 0 || n == 0 {
			return
		}
		unread -= int(n)
	}
}
