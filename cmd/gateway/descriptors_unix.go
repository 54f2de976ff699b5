//go:build unix

package main

import "syscall"

// openFilesLimit returns how many file descriptors the process may have, 0 if that is not known.
// The soft limit equals the hard one by now: Go's syscall package raises it when the program
// starts.
func openFilesLimit() int64 {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 0
	}
	// #nosec G115 -- a limit beyond 2^63 is negative here, and counts as none
	if soft := int64(limit.Cur); soft >= 0 {
		return soft
	}
	return 0 // more than can be counted
}
