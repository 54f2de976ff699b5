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

// What a client has sent after its request, and nobody will read, does not take the stream's last word from it: a connection that is
// closed over unread bytes is reset, and a reset takes back what has not been read yet.
func TestLastEventReachesAClientThatHasSentMore(t *testing.T) {
	t.Parallel()
	g := start(t, func(s *setup) { s.handlers.StreamLoops, s.handlers.StreamAge = -1, 200*time.Millisecond })
	g.shop(t)
	conn := g.dial(t)
	fmt.Fprintf(conn, "GET /buckets/shop/watch HTTP/1.1\r\nHost: %s\r\nAccept: text/event-stream\r\n\r\n", g.address)
	in := bufio.NewReader(conn)
	if _, err := in.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write([]byte(strings.Repeat("GET /version HTTP/1.1\r\nHost: localhost\r\n\r\n", 1000))); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the stream has ended", func() bool { return len(g.accessLog(t)) > 0 })
	rest, err := io.ReadAll(in)
	if !strings.Contains(string(rest), "event: goaway") || err != nil {
		t.Errorf("read %.500q, %v", rest, err)
	}
}

// A listener whose connections hide that they are sockets.
type veiled struct{ net.Listener }

func (l veiled) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	return struct{ net.Conn }{conn}, err
}

// A request whose connection was taken over, and cannot be watched, is in the access log as all others are.
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
	eventually(t, "the subscription is gone", func() bool { return g.metric(t, "kvgw_subscriptions", nil) == 0 })
}
