package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"kvgateway/internal/bound"
	"kvgateway/internal/handlers"
)

// optionsFor returns the options of a listener on a free port that may have so many connections.
func optionsFor(places int64) listenOptions {
	return listenOptions{
		address:      "127.0.0.1:0",
		bounds:       bound.NewSet(),
		refusal:      handlers.ConnectionRefusal("/kv"),
		http2Streams: 2000,
		limit: connectionLimit{
			name: "connections", of: "a test's", places: places, refusals: 4,
		},
	}
}

// startListener starts a listener whose handler answers "ok". At /taken it takes the connection
// over, and at /slow it waits for the end of the test.
func startListener(t *testing.T, places int64) (*listener, *connections) {
	t.Helper()
	slow := make(chan struct{})
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/taken":
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
			go func() { // until the client leaves
				_, _ = io.Copy(io.Discard, conn)
				conn.Close()
			}()
		case "/slow":
			w.WriteHeader(http.StatusOK)
			_ = http.NewResponseController(w).Flush()
			<-slow
		default:
			_, _ = io.WriteString(w, "ok")
		}
	})
	l, err := listen(t.Context(), optionsFor(places), handler, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	go l.serve(make(chan error, 1))
	t.Cleanup(func() { close(slow); l.http.Close() })
	return l, l.net.(*connections)
}

// A client is one connection and what is read of it.
type client struct {
	t *testing.T
	net.Conn
	r *bufio.Reader
}

func dial(t *testing.T, l *listener) *client { return dialFrom(t, l, "127.0.0.1") }

// dialFrom connects from another address. Linux has many on loopback.
func dialFrom(t *testing.T, l *listener, address string) *client {
	t.Helper()
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}}
	conn, err := dialer.Dial("tcp", l.net.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	return &client{t, conn, bufio.NewReader(conn)}
}

// get returns an answer and its body. Of /slow it reads the head only.
func (c *client) get(path string) (*http.Response, string) {
	c.t.Helper()
	_, _ = io.WriteString(c, "GET "+path+" HTTP/1.1\r\nHost: test\r\n\r\n")
	resp, err := http.ReadResponse(c.r, nil)
	if err != nil {
		c.t.Fatalf("GET %s: %v", path, err)
	}
	if path == "/slow" {
		return resp, ""
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatalf("GET %s: %v", path, err)
	}
	return resp, string(body)
}

// want checks the status of an answer.
func (c *client) want(status int, path string) {
	c.t.Helper()
	if resp, body := c.get(path); resp.StatusCode != status {
		c.t.Fatalf("GET %s: %d %s, want %d", path, resp.StatusCode, body, status)
	}
}

// waitForPlaces waits until so many places are taken.
func waitForPlaces(t *testing.T, l *connections, used int64) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for ; l.places.Used() != used; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d places are taken, want %d", l.places.Used(), used)
		}
	}
}

func TestConnectionBeyondTheLimitIsAnswered(t *testing.T) {
	t.Parallel()
	l, places := startListener(t, 4) // an address may have three of them
	var open []*client
	for range 3 {
		c := dial(t, l)
		c.want(200, "/")
		open = append(open, c)
	}
	for range 10 {
		resp, body := dial(t, l).get("/")
		var problem struct{ Type, Bound string }
		if resp.StatusCode != 503 || resp.Header.Get("Retry-After") != "1" || !resp.Close ||
			resp.Header.Get("X-Request-Id") == "" || !strings.HasSuffix(body, "}\n") ||
			json.Unmarshal([]byte(body), &problem) != nil || problem.Type != "/kv/problems/busy" {
			t.Fatalf("%d %v %s", resp.StatusCode, resp.Header, body)
		}
	}
	for _, c := range open {
		c.want(200, "/") // connections with a place go on
	}
	open[0].Close()
	waitForPlaces(t, places, 2)
	dial(t, l).want(200, "/")
}

// waitForIdle waits until so many connections are idle.
func waitForIdle(t *testing.T, l *connections, count int) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		l.mu.Lock()
		idle := l.idle.length
		l.mu.Unlock()
		if idle == count {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d connections are idle, want %d", idle, count)
		}
	}
}

func TestTakenConnectionKeepsItsPlaceUntilItIsClosed(t *testing.T) {
	t.Parallel()
	l, places := startListener(t, 4)
	c := dial(t, l)
	c.want(200, "/taken")
	waitForPlaces(t, places, 1)
	c.Close()
	waitForPlaces(t, places, 0)
}

// Connections that are opened and send nothing, however many, let others begin, even those of the
// same client.
func TestSilentConnectionsLetOthersBegin(t *testing.T) {
	t.Parallel()
	l, _ := startListener(t, 1000)
	for range 100 {
		dial(t, l)
	}
	for range 5 {
		if answer, body := dial(t, l).get("/"); answer.StatusCode != http.StatusOK || body != "ok" {
			t.Fatalf("answered %d %q", answer.StatusCode, body)
		}
	}
}

// The memory of heads that never arrive whole is bounded, for each client and for all. Heads that
// have arrived whole do not count.
func TestHeadsThatNeverEndAreBounded(t *testing.T) {
	t.Parallel()
	l, all := startListener(t, 2000)
	cookie := strings.Repeat("c", 50_000)
	const many = 2 * (headBytes / 2) / 50_000 // twice one client's share
	var attackers []*client
	for range many {
		c := dialFrom(t, l, "127.0.0.2")
		attackers = append(attackers, c)
		_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: test\r\nCookie: "+cookie)
	}
	closed := 0
	for _, c := range attackers {
		_ = c.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
		line, err := c.r.ReadString('\n')
		switch {
		case strings.HasPrefix(line, "HTTP/1.1 503 "):
			closed++
		case !errors.Is(err, os.ErrDeadlineExceeded):
			t.Fatalf("answered %q, %v", line, err)
		}
	}
	if n := all.heads.Used(); n > headBytes/2 || closed < many/3 {
		t.Errorf("%d bytes of heads are held, and %d of %d connections closed", n, closed, many)
	}
	other := dial(t, l)
	for range 3 {
		_, _ = io.WriteString(other, "GET / HTTP/1.1\r\nHost: test\r\nCookie: "+cookie+"\r\n\r\n")
		answer, err := http.ReadResponse(other.r, nil)
		if err != nil || answer.StatusCode != http.StatusOK {
			t.Fatalf("another client with a large head: %v, %v", answer, err)
		}
		if _, err := io.ReadAll(answer.Body); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range attackers {
		c.Close()
	}
	end := time.Now().Add(20 * time.Second)
	for ; all.heads.Used() > 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d bytes of heads are held after all clients have left", all.heads.Used())
		}
	}
}

// A head that begins as the preface of HTTP/2 does, and goes on as one of HTTP/1.1, is counted.
func TestHeadsThatBeginLikeHTTP2AreCounted(t *testing.T) {
	t.Parallel()
	l, all := startListener(t, 100)
	for i, begin := range []string{
		"PRI * HTTP/2.0\r\nA: ",
		"PRI * HTTP/2.0\r\n\r\nSM\r\nA: ",
		"PRI * HTTP/2.0\r\n\r\nSM\r\n\r",
	} {
		before := all.heads.Used()
		c := dial(t, l)
		_, _ = io.WriteString(c, begin+strings.Repeat("x", 200_000))
		end := time.Now().Add(5 * time.Second)
		for ; all.heads.Used() == before; time.Sleep(time.Millisecond) {
			_ = c.SetReadDeadline(time.Now().Add(time.Millisecond))
			if _, err := c.r.ReadByte(); !errors.Is(err, os.ErrDeadlineExceeded) {
				break // net/http has refused it
			}
			if time.Now().After(end) {
				t.Errorf("head %d is not counted", i)
				break
			}
		}
	}
}

// A connection whose preface comes in pieces is one of HTTP/2, and its frames are not counted as a
// head.
func TestPrefaceThatComesInPieces(t *testing.T) {
	t.Parallel()
	l, all := startListener(t, 100)
	c := dial(t, l)
	for _, piece := range []string{"P", "RI * HTTP/2.0\r\n", "\r\nSM\r\n\r", "\n"} {
		_, _ = io.WriteString(c, piece)
		time.Sleep(10 * time.Millisecond)
	}
	request := frame(nil, 0x4, 0, 0)
	for range 3000 { // pings, of 17 bytes each
		request = frame(request, 0x6, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8)
	}
	// HEADERS with END_HEADERS and END_STREAM: "GET http://a/", by the static table of HPACK.
	request = frame(request, 0x1, 0x5, 1, 0x82, 0x86, 0x84, 0x01, 1, 'a')
	go func() { _, _ = c.Write(request) }()
	_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
	for head := make([]byte, 9); ; {
		if _, err := io.ReadFull(c.r, head); err != nil {
			t.Fatal(err)
		}
		if _, err := c.r.Discard(int(head[0])<<16 | int(head[1])<<8 | int(head[2])); err != nil {
			t.Fatal(err)
		}
		if n := all.heads.Used(); n > 0 {
			t.Fatalf("%d bytes of frames are counted as a head", n)
		}
		if head[3] == 0x1 {
			return // the answer
		}
	}
}

// A refusal does not come before the request has begun: it would belong to none. If the client
// sends nothing, it comes all the same.
func TestRefusalWaitsForTheRequest(t *testing.T) {
	l, _ := startListener(t, 1)
	dial(t, l).want(200, "/")
	silent := dial(t, l)
	dialled := time.Now()
	if _, err := silent.r.Peek(1); err != nil {
		t.Fatal(err)
	}
	if time.Since(dialled) < refusalWait/2 {
		t.Error("the refusal came before the request")
	}
	if resp, _ := dial(t, l).get("/"); resp.StatusCode != 503 {
		t.Errorf("%d", resp.StatusCode)
	}
}
