package main

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"kvgateway/internal/bound"
	"kvgateway/internal/natstest"
)

// A connection over TLS whose client takes nothing is closed at once when a write has failed. The
// alert of tls.Conn.Close would wait for the client for 5 s.
func TestStuckTLSConnectionIsClosedAtOnce(t *testing.T) {
	t.Parallel()
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := limitConnections(inner, bound.NewSet(), optionsFor(1).limit, nil)
	t.Cleanup(func() { l.Close() })
	authority := natstest.NewAuthority(t, "servers")
	pair := authority.Issue(t, "localhost", nil)
	config := &tls.Config{Certificates: []tls.Certificate{pair.TLS}, MinVersion: tls.VersionTLS12}
	address := l.Addr().String()
	go func() { // It does its handshake, and takes nothing more.
		conn, err := tls.Dial("tcp", address, &tls.Config{
			RootCAs: authority.Pool, MinVersion: tls.VersionTLS12,
		})
		if err == nil {
			<-t.Context().Done()
			conn.Close()
		}
	}()
	accepted, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	c := accepted.(*connection)
	c.speaksTLS = true
	conn := tls.Server(c, config)
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	if err := conn.Handshake(); err != nil {
		t.Fatal(err)
	}
	_ = conn.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
	part := make([]byte, 1<<20)
	for err == nil {
		_, err = conn.Write(part)
	}
	began := time.Now()
	_ = conn.Close() // The alert fails.
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("it was closed after %v", took)
	}
	if used := l.places.Used(); used != 0 {
		t.Errorf("it has %d places", used)
	}
}

// A shutdown does not wait for clients that do not take the end of an idle connection over TLS.
func TestShutdownWaitsForNoStuckTLSConnection(t *testing.T) {
	t.Parallel()
	authority := natstest.NewAuthority(t, "servers")
	cert, key := authority.Issue(t, "localhost", nil).Write(t, t.TempDir())
	source, err := (&config{transportConfig: transportConfig{TLSCert: cert, TLSKey: key}}).
		newTLSSource(zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	const clients = 3
	options := optionsFor(2 * clients)
	options.tls = source
	l, err := listen(t.Context(), options, http.NotFoundHandler(), zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	idle := make(chan *connection, clients)
	l.http.ConnState = func(conn net.Conn, state http.ConnState) {
		l.below.noteState(conn, state)
		if c, ok := connectionBelow(conn); ok && state == http.StateIdle {
			idle <- c
		}
	}
	go l.serve(make(chan error, 1))
	for range clients {
		conn, err := tls.Dial("tcp", l.address(), &tls.Config{
			RootCAs: authority.Pool, MinVersion: tls.VersionTLS12,
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.NetConn().Close() })
		if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		fill(t, <-idle)
	}
	began := time.Now()
	if err := l.shutdown(20 * time.Second); err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took > time.Second {
		t.Errorf("the shutdown took %v", took)
	}
}

// fill writes to the socket of a connection until nothing more fits, since its client reads
// nothing.
func fill(t *testing.T, c *connection) {
	t.Helper()
	part := make([]byte, 1<<20)
	for {
		_ = c.socket.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
		if _, err := c.socket.Write(part); err != nil {
			if !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Fatal(err)
			}
			break
		}
	}
	_ = c.socket.SetWriteDeadline(time.Time{})
}
