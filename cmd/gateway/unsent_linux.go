package main

import (
	"net"
	"syscall"
)

// tcpNotSentLowAt is TCP_NOTSENT_LOWAT of tcp(7), which package syscall lacks.
const tcpNotSentLowAt = 25

// limitUnsent bounds what the system takes of an answer beyond what the network is carrying. Without it
// it takes some 4 MB for each client that reads nothing, which nothing counts. What is under way is
// bounded by what the client has room for, so that fast connections over long ways stay fast, other
// than with a smaller send buffer.
func limitUnsent(c *net.TCPConn, bytes int) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	if err := raw.Control(func(fd uintptr) {
		failed = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, tcpNotSentLowAt, bytes)
	}); err != nil {
		return err
	}
	return failed
}
