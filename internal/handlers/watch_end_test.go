package handlers_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// The last event of a stream reaches a client that has sent more after its request, which nobody
// will read. The kernel resets a connection that is closed over unread bytes, and a reset takes
// back what the client has not read yet.
func TestLastEventReachesAClientThatHasSentMore(t *testing.T) {
	t.Parallel()
	g := start(t, func(s *setup) {
		s.handlers.StreamLoops, s.handlers.StreamAge = -1, 200*time.Millisecond
	})
	g.shop(t)
	conn := g.dial(t)
	fmt.Fprintf(conn,
		"GET /buckets/shop/watch HTTP/1.1\r\nHost: %s\r\nAccept: text/event-stream\r\n\r\n",
		g.address)
	in := bufio.NewReader(conn)
	if _, err := in.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	begin(t, conn, strings.Repeat("GET /version HTTP/1.1\r\nHost: localhost\r\n\r\n", 1000))
	eventually(t, "the stream has ended", func() bool { return len(g.accessLog(t)) > 0 })
	rest, err := io.ReadAll(in)
	if !strings.Contains(string(rest), "event: goaway") || err != nil {
		t.Errorf("read %.500q, %v", rest, err)
	}
}

// A veiled listener accepts connections that hide that they are sockets.
type veiled struct{ net.Listener }

func (l veiled) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	return struct{ net.Conn }{conn}, err
}

// A request whose connection was taken over, but cannot be watched, is in the access log like any
// other.
func TestUnwatchableConnectionIsLogged(t *testing.T) {
	t.Parallel()
	g := start(t, func(s *setup) { s.handlers.StreamLoops = -1 })
	g.shop(t)
	server := httptest.NewUnstartedServer(g.handler)
	server.Listener = veiled{server.Listener}
	server.Start()
	defer server.Close()
	response, err := http.Get(server.URL + "/buckets/shop/watch")
	if err == nil {
		response.Body.Close()
	}
	eventually(t, "the request is logged", func() bool { return len(g.accessLog(t)) == 1 })
	if line := g.accessLog(t)[0]; line.Route != "/buckets/{bucket}/watch" || line.Bytes != 0 {
		t.Errorf("logged as %+v", line)
	}
	eventually(t, "the subscription is gone", func() bool {
		return g.metric(t, "kvgw_subscriptions", nil) == 0
	})
}
