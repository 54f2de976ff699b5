package main

import (
	"net"
	"syscall"
)

// A socket is a connection of the system: a *net.TCPConn or a *net.UnixConn.
type socket interface {
	net.Conn
	syscall.Conn
	// CloseWrite ends the half of the connection on which is written.
	CloseWrite() error
}

// connectionBelow returns the connection that carries another, if one of ours does.
func connectionBelow(conn net.Conn) (*connection, bool) {
	if secured, ok := conn.(interface{ NetConn() net.Conn }); ok {
		conn = secured.NetConn()
	}
	c, ok := conn.(*connection)
	return c, ok
}
