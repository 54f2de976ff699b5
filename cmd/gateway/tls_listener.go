package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"kvgateway/internal/bound"
)

const (
	// handshakeTime bounds the wait for the first byte of a handshake, and the handshake itself.
	handshakeTime = 5 * time.Second
	// handshakeWait is how long a handshake that has begun waits for a place. Thousands of clients
	// that come back at once take some time.
	handshakeWait = 10 * time.Second
	// handshakePatience is how long a client may send nothing of a handshake if others wait for its
	// place. The time that the gateway itself takes does not count.
	handshakePatience = 2 * time.Second
	// handshakePlaces is how many handshakes may be under way. Each takes some 40 KB.
	handshakePlaces = 512
	// untrustedGrace is for how long a connection of the API stays whose client's certificate is
	// not trusted any more: until what is under way on it has ended. Nothing new is begun on it.
	untrustedGrace = time.Second
	// expiredGrace is for how long a connection stays whose client's certificate has expired, so
	// that what the gateway has to say about it can be sent.
	expiredGrace = 2 * time.Second
)

// tlsRefusal is the answer to a connection that speaks TLS and has no place: the alert
// internal_error (RFC 8446 §6). Another answer would need a handshake.
var tlsRefusal = []byte{21, 3, 3, 0, 2, 2, 80}

// plainRefusal is the answer to a connection that speaks HTTP without TLS.
const plainRefusal = "HTTP/1.0 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\n" +
	"Connection: close\r\n\r\nThis port speaks TLS, and the request came without it. " +
	"Use https:// in place of http://.\n"

// handshakes is a listener whose connections speak TLS and have done their handshakes.
//
// net/http would do the handshake as well, on the goroutine that serves the connection. Here it is
// done before net/http knows of the connection, so that handshakes under way have places and a
// deadline of their own. A connection has its place among the connections meanwhile, and may have
// to give it to others as if it had sent no request yet.
type handshakes struct {
	*connections
	// source has the settings in force.
	source *tlsSource
	// places counts the handshakes under way, and deadline bounds the time of one.
	places, deadline *bound.Bound
	// untrustedGrace is for how long a connection stays whose client is not trusted any more.
	untrustedGrace time.Duration
	// log takes the reasons for which handshakes fail.
	log zerolog.Logger

	// start starts to accept connections once.
	start sync.Once
	// done has what Accept returns.
	done chan accepted
	// closed is closed with the listener, once.
	closed   chan struct{}
	closeOne sync.Once

	// carriersMu guards carriers.
	carriersMu sync.Mutex
	// carriers are the open connections whose clients have certificates.
	carriers map[*connection]carrier
}

// accepted is a result of Accept.
type accepted struct {
	conn net.Conn
	err  error
}

// secure makes the connections of a listener speak TLS.
func secure(l *connections, o listenOptions, log zerolog.Logger) *handshakes {
	bounds, name, source := o.bounds, o.limit.name, o.tls
	h := &handshakes{connections: l, source: source, untrustedGrace: o.untrustedGrace, log: log,
		done: make(chan accepted), closed: make(chan struct{}),
		carriers: make(map[*connection]carrier)}
	l.closed = h.uncarry
	h.places = bounds.New(bound.Spec{
		Name:     name + "-handshakes",
		Of:       "TLS handshakes under way, of " + name,
		Unit:     bound.Places,
		Limit:    handshakePlaces,
		PerOwner: handshakePlaces / 4 * 3,
		Patience: handshakePatience,
		Wait:     handshakeWait,
		QueuedBy: name,
		AtLimit: "a handshake waits for up to 10 s, clients taking turns; meanwhile those are " +
			"ended whose clients have sent nothing for 2 s",
	})
	h.deadline = bounds.New(bound.Spec{
		Name: name + "-handshake-time", Of: "the time for a TLS handshake, of " + name,
		Unit: bound.Seconds, Duration: handshakeTime, AtLimit: "the connection is closed",
	})
	source.onTrustChanged(h.distrust)
	return h
}

// Accept returns the next connection that has done its handshake.
func (h *handshakes) Accept() (net.Conn, error) {
	h.start.Do(func() { go h.acceptAll() })
	select {
	case next := <-h.done:
		return next.conn, next.err
	case <-h.closed:
		return nil, net.ErrClosed
	}
}

// Close closes the listener, and ends the handshakes under way.
func (h *handshakes) Close() error {
	h.closeOne.Do(func() { close(h.closed) })
	return h.connections.Close()
}

// acceptAll accepts connections until the listener is closed, and starts their handshakes.
func (h *handshakes) acceptAll() {
	for {
		conn, err := h.connections.Accept()
		if err == nil {
			go h.shake(conn.(*connection))
			continue
		}
		if !h.deliver(nil, err) || errors.Is(err, net.ErrClosed) {
			return
		}
	}
}

// deliver hands something to Accept. It reports whether the listener is still open.
func (h *handshakes) deliver(conn net.Conn, err error) bool {
	select {
	case h.done <- accepted{conn, err}:
		return true
	case <-h.closed:
		return false
	}
}

// shake does the handshake of a connection, and delivers it.
func (h *handshakes) shake(c *connection) {
	c.speaksTLS = true
	h.wait(c, &h.silent)
	state := h.source.now.Load()
	conn := tls.Server(c, state.config)
	if err := h.handshake(c, conn); err != nil {
		h.log.Debug().Str("client", c.owner).Err(err).Msg("no TLS handshake")
		c.Close()
		return
	}
	c.head.afterHandshake(conn.ConnectionState().NegotiatedProtocol == "h2")
	if !h.carry(c, conn, state) || !h.deliver(conn, nil) {
		c.Close()
	}
}

// handshake does a handshake within its time. It takes no place before the client has sent
// something.
func (h *handshakes) handshake(c *connection, conn *tls.Conn) error {
	tooLong := time.AfterFunc(h.deadline.Duration(), func() { c.Close() })
	defer tooLong.Stop()
	if err := awaitBytes(c.socket); err != nil {
		return err
	}
	tooLong.Stop()
	var place bound.Hold
	if err := h.places.Take(context.Background(), &place, c.owner, 1, nil); err != nil {
		return err
	}
	tooLong.Reset(h.deadline.Duration())
	c.handshake = &place
	err := conn.HandshakeContext(context.Background())
	c.handshake = nil
	place.Release()
	if plain, ok := errors.AsType[tls.RecordHeaderError](err); ok && plain.Conn != nil &&
		looksLikeHTTP(plain.RecordHeader[:]) {
		answerPlain(c)
	}
	return err
}

// looksLikeHTTP reports whether a connection begins as a request without TLS does.
func looksLikeHTTP(begin []byte) bool {
	return slices.Contains([]string{"GET /", "HEAD ", "POST ", "PUT /", "PATCH", "DELET", "OPTIO",
		"PRI *"}, string(begin))
}

// answerPlain tells a client that the port speaks TLS. The deadline of the handshake bounds it.
func answerPlain(c *connection) {
	if _, err := io.WriteString(c.socket, plainRefusal); err == nil && c.CloseWrite() == nil {
		// With bytes left unread the system would reset the connection, and the answer be lost.
		_, _ = io.CopyN(io.Discard, c.socket, refusalDrain)
	}
}

// A carrier is what a connection carries of its client's certificate.
type carrier struct {
	// presented has the certificates of the client, its own first.
	presented []*x509.Certificate
	// expiry closes the connection soon after the certificate has expired.
	expiry *time.Timer
}

// carry notes what a connection carries of its client's certificate: it is closed soon after the
// certificate has expired, or when the authority is not trusted any more. It reports whether the
// client is trusted now.
func (h *handshakes) carry(c *connection, conn *tls.Conn, state *tlsInForce) bool {
	of := conn.ConnectionState()
	if len(of.VerifiedChains) == 0 {
		return true
	}
	end := time.Until(expiryOf(of.VerifiedChains)) + expiredGrace
	noted := carrier{of.PeerCertificates, time.AfterFunc(end, func() { c.Close() })}
	c.trust, c.distrust = context.WithCancel(context.Background())
	h.carriersMu.Lock()
	h.carriers[c] = noted
	h.carriersMu.Unlock()
	select {
	case <-c.ended: // before it was noted
		h.uncarry(c)
		return false
	default:
	}
	// The authorities may have changed during the handshake, before the connection was noted.
	latest := h.source.now.Load()
	return latest == state || latest.verify(of.PeerCertificates) == nil
}

// uncarry notes that a connection is closed.
func (h *handshakes) uncarry(c *connection) {
	h.carriersMu.Lock()
	defer h.carriersMu.Unlock()
	if noted, ok := h.carriers[c]; ok {
		noted.expiry.Stop()
		delete(h.carriers, c)
	}
}

// expiryOf returns when the last of some chains ends to be valid, which is when the first of its
// certificates does.
func expiryOf(chains [][]*x509.Certificate) (last time.Time) {
	for _, chain := range chains {
		first := chain[0].NotAfter
		for _, c := range chain {
			if c.NotAfter.Before(first) {
				first = c.NotAfter
			}
		}
		if first.After(last) {
			last = first
		}
	}
	return last
}

// distrust ends what is under way on the connections whose clients are not trusted any more, and
// closes these when that had time to say so.
func (h *handshakes) distrust(state *tlsInForce) {
	var untrusted []*connection
	h.carriersMu.Lock()
	for c, noted := range h.carriers {
		if state.verify(noted.presented) != nil {
			untrusted = append(untrusted, c)
		}
	}
	h.carriersMu.Unlock()
	for _, c := range untrusted {
		c.distrust()
	}
	time.AfterFunc(h.untrustedGrace, func() {
		for _, c := range untrusted {
			c.Close()
		}
	})
}

// Trust returns what ends when the certificate of the client is not trusted any more; nil if it has
// none. See [handlers.ConnContext].
func (c *connection) Trust() context.Context { return c.trust }
