package handlers

import (
	"context"
	"net"
	"net/http"
	"strconv"
	"sync/atomic"

	"kvgateway/internal/bound"
)

// A connection is one that carries requests. Over HTTP/2 it has shares of its own of some bounds:
// many clients can have one address, and one client many requests.
type connection struct {
	name string // unique in this process
	conn net.Conn
	told told // the same, nil if it wants to know nothing
}

type connectionKey struct{}

var lastConnection atomic.Uint64

// A told connection is told of its requests, and tells how they get on.
type told interface {
	// HeadDone is called when a request has come with all of its headers.
	HeadDone()
	// OnStep has a function called after each step in which something goes to the client; nil for no
	// more.
	OnStep(step *func())
}

// A floodable connection can be told that its client goes on to send requests, more than it may have
// open, and takes none of the refusals.
type floodable interface {
	// Flooded makes the connection end, in a while in which nothing more is read from it: whose
	// connection is closed at once comes back with another, and with as many requests.
	Flooded()
}

// flooded ends a connection whose client takes no refusals.
func (c *connection) flooded() {
	if conn, ok := c.conn.(floodable); ok {
		conn.Flooded()
		return
	}
	c.conn.Close()
}

// ConnContext is for http.Server's field of that name. Without it requests over HTTP/2 are bounded
// by their client's address only. A connection with methods HeadDone() and OnStep(*func()) is told of
// requests over HTTP/1.1, and its steps tell that the client takes its answer; else only the end of
// each part does.
func ConnContext(ctx context.Context, conn net.Conn) context.Context {
	name := strconv.FormatUint(lastConnection.Add(1), 36)
	c := &connection{name: name, conn: conn}
	c.told, _ = conn.(told)
	return context.WithValue(ctx, connectionKey{}, c)
}

// connectionOf returns the request's connection, nil if it is not known.
func connectionOf(r *http.Request) *connection {
	c, _ := r.Context().Value(connectionKey{}).(*connection)
	return c
}

// perConnection returns the owner of what a request takes of a bound that is shared by addresses,
// and of which each connection of an address has a part.
func perConnection(r *http.Request) string {
	c := connectionOf(r)
	if c == nil {
		return ownerOf(r)
	}
	return bound.Part(ownerOf(r), c.name)
}

// place waits for a place among the requests of an HTTP/2 connection that are answered. It ends
// with the request, or when that takes the place of a stream instead.
func (s *Server) place(r *http.Request, hold *bound.Hold) error {
	c := connectionOf(r)
	if r.ProtoMajor < 2 || c == nil {
		return nil
	}
	return s.answers.requests.Take(r.Context(), hold, perConnection(r), 1, nil)
}

// cutter returns what closes the connection of a request that shares it with others, nil if it does
// not or is not known.
func cutter(r *http.Request) func() {
	if r.ProtoMajor < 2 {
		return nil
	}
	c := connectionOf(r)
	if c == nil {
		return nil
	}
	return func() { c.conn.Close() }
}
