package main

import (
	"crypto/tls"
	"net"
	"testing"
	"time"

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
