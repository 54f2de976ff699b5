package handlers_test

import (
	"bytes"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"kvgateway/internal/natsd"
)

// A wire connects the gateway to its nats-server. Tests use it to make the faults that networks
// have: answers that do not come, a server that goes away and comes back, or another writer that is
// always a moment faster.
//
// Every connection of the gateway passes through it. What the server sends is held while there is a
// gate. What the gateway sends is first shown to sending, and then passed on without the messages
// to swallowed subjects.
type wire struct {
	// options are those with which the server is started, each time on the same data.
	options natsd.Options

	// mu guards the fields below.
	mu sync.Mutex
	// server is the server that runs now; nil while it is stopped.
	server *natsd.Server
	// gate holds what the server sends until it is closed; nil if nothing is held.
	gate chan struct{}
	// sending is called with what the gateway is about to send; nil for no call.
	sending func(data []byte)
	// conns is the number of connections that were ever made.
	conns int
	// swallowed is a part of the subjects to which messages are dropped; "" for none.
	swallowed string
}

// InProcessConn makes the connections of kvclient.
func (w *wire) InProcessConn() (net.Conn, error) {
	w.mu.Lock()
	server := w.server
	w.mu.Unlock()
	if server == nil {
		return nil, net.ErrClosed
	}
	conn, err := server.InProcessConn()
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.conns++
	return &wiredConn{Conn: conn, wire: w}, nil
}

// connections returns how many connections were ever made.
func (w *wire) connections() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.conns
}

// direct returns the server itself, to which connections have no faults.
func (w *wire) direct() *natsd.Server {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.server
}

// restart starts the server with the data that it had.
func (w *wire) restart(t testing.TB) {
	t.Helper()
	server, err := natsd.Start(t.Context(), w.options)
	if err != nil {
		t.Fatalf("start nats-server: %v", err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.server = server
}

// stop shuts the server down.
func (w *wire) stop() {
	w.mu.Lock()
	server := w.server
	w.server = nil
	w.mu.Unlock()
	if server != nil {
		server.Shutdown()
	}
}

// hold keeps what the server sends from arriving until release is called: requests are carried out,
// and their answers do not come.
func (w *wire) hold() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.gate == nil {
		w.gate = make(chan struct{})
	}
}

// release lets everything through again. It may be called at any time.
func (w *wire) release() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.gate != nil {
		close(w.gate)
		w.gate = nil
	}
}

// onSending sets a function that is called with everything before the gateway sends it; nil removes
// it.
func (w *wire) onSending(call func(data []byte)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sending = call
}

// requests returns the number of messages that the gateway sends to NATS while the function runs,
// which are its round trips.
func (w *wire) requests(during func()) int {
	var count atomic.Int64
	w.onSending(func(data []byte) {
		for line := range bytes.SplitSeq(data, []byte("\r\n")) {
			if bytes.HasPrefix(line, []byte("PUB ")) || bytes.HasPrefix(line, []byte("HPUB ")) {
				count.Add(1)
			}
		}
	})
	defer w.onSending(nil)
	during()
	return int(count.Load())
}

// swallow drops every message from the gateway to a subject that contains the text; "" ends that.
func (w *wire) swallow(subject string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.swallowed = subject
}

// without returns what a client sends (PUB subject reply size, CRLF, payload, CRLF) except for
// messages to subjects that contain the text.
func without(data []byte, subject string) []byte {
	var kept []byte
	for len(data) > 0 {
		line, rest, _ := bytes.Cut(data, []byte("\r\n"))
		length := len(data) - len(rest)
		fields := bytes.Fields(line)
		message := bytes.HasPrefix(line, []byte("PUB ")) || bytes.HasPrefix(line, []byte("HPUB "))
		if message {
			size, _ := strconv.Atoi(string(fields[len(fields)-1]))
			length = min(len(data), length+size+2)
		}
		if !message || !bytes.Contains(fields[1], []byte(subject)) {
			kept = append(kept, data[:length]...)
		}
		data = data[length:]
	}
	return kept
}

// A wiredConn is a connection of the gateway that has the faults of its wire.
type wiredConn struct {
	net.Conn
	wire *wire
}

func (c *wiredConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.wire.mu.Lock()
	gate := c.wire.gate
	c.wire.mu.Unlock()
	if gate != nil {
		<-gate
	}
	return n, err
}

func (c *wiredConn) Write(p []byte) (int, error) {
	c.wire.mu.Lock()
	sending, swallowed := c.wire.sending, c.wire.swallowed
	c.wire.mu.Unlock()
	if sending != nil {
		sending(p)
	}
	if swallowed == "" {
		return c.Conn.Write(p)
	}
	if _, err := c.Conn.Write(without(p, swallowed)); err != nil {
		return 0, err
	}
	return len(p), nil
}
