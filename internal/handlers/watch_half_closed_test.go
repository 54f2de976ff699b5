package handlers_test

import (
	"bufio"
	"net"
	"strings"
	"testing"
)

// A client may end its half of the connection once it has asked, as `nc -N` does. It gets its
// stream, in both forms. The stream of a client that has gone altogether is given up.
func TestHalfClosedWatchGetsItsStream(t *testing.T) {
	t.Parallel()
	inBothForms(t, func(t *testing.T, form func(*setup)) {
		g := start(t, form)
		kv := g.shop(t)
		put(t, kv, "a", "v")
		for _, accept := range []string{"text/event-stream", "application/x-ndjson"} {
			s := g.session(t)
			begin(t, s.conn,
				"GET /buckets/shop/watch HTTP/1.1\r\nHost: localhost\r\nAccept: "+accept+"\r\n\r\n")
			if err := s.conn.(*net.TCPConn).CloseWrite(); err != nil {
				t.Fatal(err)
			}
			status, err := s.in.ReadString('\n')
			if err != nil || !strings.Contains(status, " 200 ") {
				t.Fatalf("%s: %q, %v", accept, status, err)
			}
			expectLine(t, s.in, "sync")
			put(t, kv, "later", "v")
			expectLine(t, s.in, "later")
			s.conn.Close()
		}
		put(t, kv, "a", "to nobody")
		put(t, kv, "a", "to nobody")
		eventually(t, "the streams are given up", func() bool {
			put(t, kv, "a", "to nobody")
			return g.metric(t, "kvgw_streams", nil) == 0
		})
	})
}

// A watch that is opened and closed at once leaves nothing behind, although its request is served.
func TestWatchClosedAtOnceIsGivenUp(t *testing.T) {
	t.Parallel()
	inBothForms(t, func(t *testing.T, form func(*setup)) {
		g := start(t, form)
		g.shop(t)
		for range 20 {
			s := g.session(t)
			begin(t, s.conn, "GET /buckets/shop/watch HTTP/1.1\r\nHost: localhost\r\n\r\n")
			s.conn.Close()
		}
		eventually(t, "the requests are answered", func() bool {
			return strings.Count(g.log.String(), `"route":"/buckets/{bucket}/watch"`) == 20
		})
		if open := g.metric(t, "kvgw_streams", nil); open != 0 {
			t.Errorf("%v streams are open", open)
		}
	})
}

// expectLine reads up to a line that contains the text.
func expectLine(t *testing.T, in *bufio.Reader, text string) {
	t.Helper()
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			t.Fatalf("before %q: %v", text, err)
		}
		if strings.Contains(line, text) {
			return
		}
	}
}
