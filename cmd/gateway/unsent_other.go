//go:build !linux

package main

import "net"

// limitUnsent does nothing where the system has no such bound, or another one.
func limitUnsent(*net.TCPConn, int) error { return nil }
