package main

import (
	"net"
	"syscall"

	"kvgateway/internal/handlers"
)

// unknownUser is the owner of connections to a Unix socket of whose users nothing is known.
const unknownUser = "uid=unknown"

// ownerOf returns who owns a connection and what it takes of bounds: its address or, on a Unix
// socket, the user at the other end.
func ownerOf(c socket) string {
	if c.LocalAddr().Network() == "unix" {
		return socketUser(c)
	}
	return handlers.OwnerOf(c.RemoteAddr().String())
}

// Owner returns who owns the connection. See [handlers.ConnContext].
func (c *connection) Owner() string { return c.owner }

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
