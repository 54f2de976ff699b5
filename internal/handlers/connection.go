package handlers

import (
	"context"
	"net"
	"net/http"
	"strconv"
	"sync/atomic"

	"kvgateway/internal/bound"
)

// A connection carries requests. Over HTTP/2 a connection has shares of its own of some bounds,
// since many clients can have one address, and one client can have many requests on one connection.
type connection struct {
	// name is unique in this process.
	name string
	// conn is the network connection.
	conn net.Conn
	// stepped is conn, if that is a steppedConn; else nil.
	stepped steppedConn
	// owner is who owns the connection; see [OwnerOf].
	owner string
	// trust ends when the certificate of the client is not trusted any more; nil if the client has
	// none.
	trust context.Context
	// isUnix says that it is one of a Unix socket, whose peers have no addresses.
	isUnix bool
}

// connectionKey is the key of a request's connection in its context.
type connectionKey struct{}

// lastConnection numbers the connections.
var lastConnection atomic.Uint64

// A steppedConn is a connection that writes in steps and reports each of them, and that learns when
// the headers of a request over HTTP/1.1 have come. cmd/gateway has one.
//
// It writes in steps of 64 KiB, and bounds what the system takes of an answer. Without a bound
// Linux grew its buffer to 4 MB for a client that reads nothing: 150 connections held 590 MB that
// no budget counted. With TCP_NOTSENT_LOWAT at 64 KiB it is 52 MB. What is under way is bounded by
// the window of the client, so that fast connections over long distances stay fast (no difference
// in throughput was measured). Each step shows that the client takes its answer. Without that, a
// client of 100 KB/s would look stalled, since the gateway no longer sees what the system has taken
// (TestSlowClientBesideThoseThatTakeNothing).
type steppedConn interface {
	// HeadDone is called when all headers of a request have come.
	HeadDone()
	// OnStep sets the function that is called after each step in which some of the answer goes to
	// the client. With nil no function is called any more.
	OnStep(step *func())
}

// A floodable connection can learn that its client goes on to send more requests than it may have
// open, and reads none of the refusals.
type floodable interface {
	// Flooded ends the connection after a while in which nothing more is read from it. A client
	// whose connection is closed at once comes back with another one, and with as many requests.
	Flooded()
}

// flooded ends a connection whose client reads no refusals.
func (c *connection) flooded() {
	if conn, ok := c.conn.(floodable); ok {
		conn.Flooded()
		return
	}
	c.conn.Close()
}

// ConnContext is for the field of that name of http.Server. It sets the owner of what the requests
// of a connection take of bounds. Without it clients have no shares, and the bounds of HTTP/2
// connections do not hold. If the connection has methods HeadDone() and OnStep(*func()), it learns
// of its requests over HTTP/1.1, and its steps show that the client takes its answer. Otherwise
// only the end of each part shows that. If it has a method Owner() string, that says who its owner
// is. If it has a method Trust() context.Context, that returns what ends when the certificate of
// the client is not trusted any more, nil if the client has none. Of a connection over TLS the one
// below it counts.
func ConnContext(ctx context.Context, conn net.Conn) context.Context {
	name := strconv.FormatUint(lastConnection.Add(1), 36)
	if secured, ok := conn.(interface{ NetConn() net.Conn }); ok {
		conn = secured.NetConn() // a *tls.Conn; closing it would wait to send an alert
	}
	c := &connection{name: name, conn: conn, isUnix: conn.LocalAddr().Network() == "unix",
		owner: OwnerOf(conn.RemoteAddr().String())}
	if owned, ok := conn.(interface{ Owner() string }); ok {
		c.owner = owned.Owner()
	}
	if certified, ok := conn.(interface{ Trust() context.Context }); ok {
		c.trust = certified.Trust()
	}
	c.stepped, _ = conn.(steppedConn)
	ctx = bound.WithOwner(ctx, c.owner)
	return context.WithValue(ctx, connectionKey{}, c)
}

// connectionOf returns the connection of a request; nil if it is not known.
func connectionOf(r *http.Request) *connection {
	c, _ := r.Context().Value(connectionKey{}).(*connection)
	return c
}

// trust returns what ends when the certificate of the client is not trusted any more; nil if the
// client has none.
func (x *exchange) trust() context.Context {
	if c := connectionOf(x.request); c != nil {
		return c.trust
	}
	return nil
}

// connectionPartOf returns the owner of what a request takes of a bound that addresses share, and
// of which each connection of an address has a part. If the connection is not known, the address is
// the owner.
func connectionPartOf(r *http.Request) string {
	owner := bound.OwnerOf(r.Context())
	if c := connectionOf(r); c != nil {
		return bound.Part(owner, c.name)
	}
	return owner
}

// takeConnectionPlace waits for a place among the requests over HTTP/2 that are being answered, of
// which each connection has a part. The place must be given back when the request ends, or when it
// takes the place of a stream instead.
func (s *Server) takeConnectionPlace(x *exchange) error {
	c := connectionOf(x.request)
	if x.request.ProtoMajor < 2 || c == nil {
		return nil
	}
	places, part := s.answerLimits.connectionRequests, connectionPartOf(x.request)
	return places.Take(x.context(), &x.answeringPlace, part, 1, nil)
}

// connectionCloser returns a function that closes the connection of a request which shares its
// connection with others. It returns nil if the request does not, or if the connection is not
// known.
func connectionCloser(r *http.Request) func() {
	if r.ProtoMajor < 2 {
		return nil
	}
	c := connectionOf(r)
	if c == nil {
		return nil
	}
	return func() { c.conn.Close() }
}
