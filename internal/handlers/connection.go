package handlers

import (
	"context"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"

	"kvgateway/internal/bound"
)

// A connection is one that carries requests. Over HTTP/2 it is what bounds are shared by: many
// clients can have one address, and one client many requests.
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

// place takes a place among the requests of an HTTP/2 connection, which ends with the request. A
// long poll needs none: it waits as a watch does, and counts as one.
func (s *Server) place(r *http.Request, hold *bound.Hold) error {
	if r.ProtoMajor < 2 || isLongPoll(r) {
		return nil
	}
	c := connectionOf(r)
	if c == nil {
		return nil
	}
	return s.answers.requests.Take(r.Context(), hold, c.name, 1, nil)
}

// isLongPoll reports whether a request may wait for a change of a key before it is answered.
func isLongPoll(r *http.Request) bool {
	return r.Method == http.MethodGet && strings.Contains(r.URL.EscapedPath(), "/keys/") &&
		len(r.Header["Prefer"]) > 0 && len(r.Header["If-None-Match"]) > 0
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
