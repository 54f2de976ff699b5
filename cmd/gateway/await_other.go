//go:build !unix

package main

import "net"

// awaitBytes does nothing where it cannot be told whether something has come.
func awaitBytes(*net.TCPConn) error { return nil }
