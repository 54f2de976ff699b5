//go:build unix

package main

import "syscall"

// awaitBytes waits until there is something to read, the peer has ended its half of the connection,
// or the read deadline has passed. It does not read anything.
func awaitBytes(c syscall.Conn) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var one [1]byte
	return raw.Read(func(fd uintptr) bool {
		_, _, err := syscall.Recvfrom(int(fd), one[:], syscall.MSG_PEEK)
		return err != syscall.EAGAIN && err != syscall.EINTR
	})
}
