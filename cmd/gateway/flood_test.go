package main

import (
	"io"
	"net"
	"testing"
	"time"

	"kvgateway/internal/bound"
)

// Nothing more is read from a flooded connection, and it does not end at once either, since its
// client would come back with as many requests.
func TestFloodedConnectionIsNotRead(t *testing.T) {
	t.Parallel()
	socket, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	limit := connectionLimit{name: "connections", of: "a test's", places: 4, refusals: 4}
	l := limitConnections(socket, bound.NewSet(), limit, nil)
	client, err := net.Dial("tcp", socket.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	accepted, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	c := accepted.(*connection)
	read := make(chan error, 1)
	begin := func() { go func() { _, err := c.Read(make([]byte, 1)); read <- err }() }
	begin()
	_, _ = io.WriteString(client, "ab")
	if err := <-read; err != nil {
		t.Fatal(err)
	}
	c.Flooded()
	begin()
	select {
	case err := <-read:
		t.Errorf("a flooded connection was read: %v", err)
	case <-time.After(100 * time.Millisecond):
	}
	c.Close()
	if err := <-read; err != io.EOF {
		t.Errorf("a flooded connection that was closed: %v", err)
	}
}
