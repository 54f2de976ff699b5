package e2e

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"kvgateway/internal/auth"
)

// floodSize returns how many connections the flood has: as many as KVGW_FLOOD says. The gate takes
// fewer, since it has other tests at the same time.
func floodSize(t *testing.T) int {
	t.Helper()
	text := os.Getenv("KVGW_FLOOD")
	if text == "" {
		return 1500
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal("KVGW_FLOOD: ", err)
	}
	return n
}

// A slowWay is a way in which a connection of the flood holds what it gets. It begins with what it
// sends at once, and sends a byte more each second.
type slowWay struct {
	name, begin string
	plain       bool
}

// slowly are the ways of a flood whose caller is not known.
var slowly = []slowWay{
	{"a handshake that does not begin", "", true},
	{"a handshake that does not end", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", true},
	{"a head that does not end",
		"GET /buckets/b/keys/k HTTP/1.1\r\nHost: localhost\r\nX-A: ", false},
	{"a body that does not end", "PUT /buckets/b/keys/slow HTTP/1.1\r\nHost: localhost\r\n" +
		"Content-Length: 500000\r\n\r\nx", false},
	{"a stream that is not read",
		"GET /buckets/b/watch HTTP/1.1\r\nHost: localhost\r\n\r\n", false},
}

// slowlyAs returns the ways of a flood whose caller is known by a token.
func slowlyAs(token string) (ways []slowWay) {
	for _, way := range slowly[3:] {
		way.begin = strings.Replace(way.begin, "Host: localhost\r\n",
			"Host: localhost\r\nAuthorization: Bearer "+token+"\r\n", 1)
		ways = append(ways, way)
	}
	return ways
}

// flood opens connections from an address in these ways, and feeds them until the test is over. It
// returns a channel that is closed when all were opened.
func (s *secured) flood(size int, from net.IP, ways []slowWay) (opened chan struct{}) {
	config := s.config()
	config.ServerName = "127.0.0.1"
	config.ClientSessionCache = tls.NewLRUClientSessionCache(16)
	next := make(chan int)
	var mu sync.Mutex
	var open []net.Conn
	var opening sync.WaitGroup
	for range 32 {
		opening.Go(func() {
			for i := range next {
				conn, err := s.openSlow(from, ways[i%len(ways)], config)
				if err != nil {
					continue // The gateway may refuse it.
				}
				mu.Lock()
				open = append(open, conn)
				mu.Unlock()
			}
		})
	}
	opened, done := make(chan struct{}), make(chan struct{})
	var flooding sync.WaitGroup
	flooding.Go(func() {
		defer close(opened)
		defer opening.Wait()
		defer close(next)
		for i := range size {
			select {
			case next <- i:
			case <-done:
				return
			}
		}
	})
	flooding.Go(func() {
		for tick := time.NewTicker(time.Second); ; {
			select {
			case <-done:
				return
			case <-tick.C:
			}
			mu.Lock()
			now := slices.Clone(open)
			mu.Unlock()
			for _, conn := range now {
				_ = conn.SetWriteDeadline(time.Now().Add(10 * time.Millisecond))
				_, _ = conn.Write([]byte("x"))
			}
		}
	})
	s.t.Cleanup(func() {
		close(done)
		flooding.Wait()
		for _, conn := range open {
			conn.Close()
		}
		if len(open) < size/2 {
			s.t.Errorf("only %d of %d connections were opened", len(open), size)
		}
	})
	return opened
}

// openSlow opens a connection of the flood.
func (s *secured) openSlow(from net.IP, way slowWay, config *tls.Config) (net.Conn, error) {
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: from}, Timeout: patience}
	conn, err := dialer.Dial("tcp", s.listen.Addr)
	if err != nil {
		return nil, err
	}
	carrier := conn
	if !way.plain {
		secure := tls.Client(conn, config)
		_ = conn.SetDeadline(time.Now().Add(patience))
		if err := secure.Handshake(); err != nil {
			conn.Close()
			return nil, err
		}
		_ = conn.SetDeadline(time.Time{})
		carrier = secure
	}
	if _, err := carrier.Write([]byte(way.begin)); err != nil {
		conn.Close()
		return nil, err
	}
	return carrier, nil
}

// One client's thousands of connections, which all hold what they get, are not felt by another.
// KVGW_FLOOD=10000 makes the flood as large as the limit of open files must allow.
func TestFloodOfOneClientIsNotFeltByAnother(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes many connections")
	}
	s := startSecured(t)
	s.standAFlood(net.IPv4(127, 0, 0, 2), slowly)
}

// The same holds for callers at one address, if they are known by their tokens.
func TestFloodOfOneTokenIsNotFeltByAnotherAtItsAddress(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes many connections")
	}
	flooding, kept := auth.NewToken(), auth.NewToken()
	file := filepath.Join(t.TempDir(), "auth.yaml")
	rules := fmt.Sprintf("roles: { all: [{ bucket: \"*\", can: [admin] }] }\ntokens:\n"+
		"  - { name: flooding, sha256: %s, roles: [all] }\n"+
		"  - { name: kept, sha256: %s, roles: [all] }\n",
		auth.HashToken(flooding), auth.HashToken(kept))
	if err := os.WriteFile(file, []byte(rules), 0o600); err != nil {
		t.Fatal(err)
	}
	s := startSecured(t, "--auth-file="+file)
	s.token = kept
	s.standAFlood(net.IPv4(127, 0, 0, 1), slowlyAs(flooding))
}

// standAFlood floods the gateway from an address, and compares what it takes to be served before
// and meanwhile.
func (s *secured) standAFlood(from net.IP, ways []slowWay) {
	s.t.Helper()
	kept := s.client(false)
	s.put(kept, "k")
	alone := s.latencies(kept, 50)
	opened := s.flood(floodSize(s.t), from, ways)
	var beside []time.Duration
	for whole := false; !whole; {
		select {
		case <-opened:
			whole = true
		default:
		}
		beside = append(beside, s.latencies(kept, 50)...)
	}
	slices.Sort(beside)
	s.t.Logf("alone: median %v, most %v; beside the flood: median %v, p95 %v, most %v",
		alone[len(alone)/2], alone[len(alone)-1], beside[len(beside)/2],
		beside[len(beside)*95/100], beside[len(beside)-1])
	if p95 := beside[len(beside)*95/100]; p95 > time.Second {
		s.t.Errorf("of 100 requests, 5 took more than %v", p95)
	}
	if most := beside[len(beside)-1]; most > 4*time.Second {
		s.t.Errorf("a request took %v", most)
	}
	stream := s.watchOver(s.client(true))
	if err := awaitLine(stream, "event: sync"); err != nil {
		s.t.Error("a stream beside the flood: ", err)
	}
}

// latencies sends requests, each second one on a new connection, and returns how long they took,
// sorted.
func (s *secured) latencies(kept *http.Client, count int) (took []time.Duration) {
	s.t.Helper()
	for i := range count {
		c := kept
		if i%2 == 1 {
			c = s.client(i%4 == 1)
		}
		begun := time.Now()
		method, path := "GET", "/buckets/b/keys/k"
		if i%8 == 0 {
			method = "PUT"
		}
		request, err := http.NewRequest(method, s.url+path, strings.NewReader(fmt.Sprint(i)))
		if err != nil {
			s.t.Fatal(err)
		}
		answer, err := c.Do(request)
		if err != nil {
			s.t.Fatalf("request %d: %v", i, err)
		}
		answer.Body.Close()
		if answer.StatusCode != 200 {
			s.t.Fatalf("request %d: %s", i, answer.Status)
		}
		took = append(took, time.Since(begun))
		if c != kept {
			c.CloseIdleConnections()
		}
	}
	slices.Sort(took)
	return took
}

// A bearer sends a token with each request.
type bearer struct {
	*http.Transport
	token string // "" for none
}

// RoundTrip sends a request as the bearer of the token.
func (b bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	if b.token != "" {
		r = r.Clone(r.Context())
		r.Header.Set("Authorization", "Bearer "+b.token)
	}
	return b.Transport.RoundTrip(r)
}
