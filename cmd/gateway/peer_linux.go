package main

import (
	"strconv"
	"syscall"
)

// socketUser returns who connected to a Unix socket, for the bounds: the user of the process
// (SO_PEERCRED of unix(7)), or unknownUser.
func socketUser(c syscall.Conn) string {
	raw, err := c.SyscallConn()
	if err != nil {
		return unknownUser
	}
	var peer *syscall.Ucred
	var failed error
	err = raw.Control(func(fd uintptr) {
		peer, failed = syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED)
	})
	if err != nil || failed != nil {
		return unknownUser
	}
	return "uid=" + strconv.FormatUint(uint64(peer.Uid), 10)
}
