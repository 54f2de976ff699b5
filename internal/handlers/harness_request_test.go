package handlers_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// Header lines that many tests send.
const (
	jsonType      = "Content-Type: application/json"
	mergeType     = "Content-Type: application/merge-patch+json"
	jsonPatchType = "Content-Type: application/json-patch+json"
	lineType      = "Content-Type: application/x-ndjson"
	asLines       = "Accept: application/x-ndjson"
)

// chunked is a body that is sent without a declared length.
type chunked string

// An answer is a response with all of its body. It was checked against the contract.
type answer struct {
	request string // the request, for messages
	status  int
	header  http.Header
	body    []byte
}

// do sends one request and checks the answer against the contract. The target is sent byte for
// byte. The body is nil, a string, or chunked. Headers are lines such as "If-Match: *", which are
// sent in this order.
func (g *gateway) do(t testing.TB, method, target string, body any, header ...string) *answer {
	t.Helper()
	s := g.session(t)
	defer s.conn.Close()
	return s.do(t, method, g.basePath+target, body, header...)
}

// get sends a GET, as do does.
func (g *gateway) get(t testing.TB, target string, header ...string) *answer {
	t.Helper()
	return g.do(t, "GET", target, nil, header...)
}

// A session is a connection on which requests follow one another.
type session struct {
	gateway *gateway
	conn    net.Conn
	in      *bufio.Reader
}

// session opens a connection for several requests.
func (g *gateway) session(t testing.TB) *session {
	t.Helper()
	return g.sessionOn(g.dial(t))
}

// sessionOn begins a session on a connection.
func (g *gateway) sessionOn(conn net.Conn) *session {
	return &session{gateway: g, conn: conn, in: bufio.NewReader(conn)}
}

// dial connects to the gateway. Reads and writes on the connection fail once patience is over, and
// the connection is closed when the test ends.
func (g *gateway) dial(t testing.TB) net.Conn {
	t.Helper()
	conn, err := g.dialFrom(t, "127.0.0.1")
	if err != nil {
		t.Fatalf("dial the gateway: %v", err)
	}
	return conn
}

// dialerFrom returns a dialer from an address of the loopback network. 127.0.0.1, which is that of
// most connections, is left to the kernel: a socket that is bound needs a port of its own, and of
// those there are too few while many wait for their time after they were closed.
func dialerFrom(address string) *net.Dialer {
	if address == "127.0.0.1" {
		return &net.Dialer{}
	}
	return &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}}
}

// dialFrom is dial from an address of the loopback network. It fails on machines that do not have
// the address.
func (g *gateway) dialFrom(t testing.TB, address string) (net.Conn, error) {
	t.Helper()
	dialer := dialerFrom(address)
	conn, err := dialer.Dial("tcp", g.address)
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { conn.Close() })
	return conn, conn.SetDeadline(time.Now().Add(patience))
}

// otherAddress is an address of this machine that the ordinary clients of the tests do not use.
const otherAddress = "127.0.0.2"

// sessionFrom opens a session of a client with another address, or with the usual one for "". It
// skips the test on machines that do not have the address.
func (g *gateway) sessionFrom(t testing.TB, address string) *session {
	t.Helper()
	if address == "" {
		return g.session(t)
	}
	conn, err := g.dialFrom(t, address)
	if err != nil {
		t.Skipf("this machine has no %s: %v", address, err)
	}
	return g.sessionOn(conn)
}

// do is the do of a gateway on the session's connection. The base path is not added to the target.
func (s *session) do(t testing.TB, method, target string, body any, header ...string) *answer {
	t.Helper()
	request := encode(s.gateway.address, method, target, body, header)
	sent := make(chan error, 1)
	// The answer may come before all is sent.
	go func() {
		_, err := s.conn.Write(request)
		sent <- err
	}()
	a := s.answer(t, method, target, header)
	if err := <-sent; err != nil && a.status < 400 {
		t.Fatalf("%s: send: %v", a.request, err)
	}
	return a
}

// answer reads the next answer, whose request was sent already.
func (s *session) answer(t testing.TB, method, target string, header []string) *answer {
	t.Helper()
	name := fmt.Sprintf("%s %.200s %.200q", method, target, header)
	response, err := http.ReadResponse(s.in, &http.Request{Method: method})
	if err != nil {
		t.Fatalf("%s: no answer: %v", name, err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatalf("%s: answer cut short: %v", name, err)
	}
	a := &answer{request: name, status: response.StatusCode, header: response.Header, body: body}
	s.gateway.checkContract(t, method, target, a)
	return a
}

// encode returns a request as it is sent.
func encode(host, method, target string, body any, header []string) []byte {
	var out bytes.Buffer
	fmt.Fprintf(&out, "%s %s HTTP/1.1\r\n", method, target)
	if !slices.ContainsFunc(header, func(line string) bool {
		return strings.HasPrefix(line, "Host:")
	}) {
		fmt.Fprintf(&out, "Host: %s\r\n", host)
	}
	for _, line := range header {
		out.WriteString(line + "\r\n")
	}
	switch body := body.(type) {
	case nil:
		out.WriteString("\r\n")
	case string:
		fmt.Fprintf(&out, "Content-Length: %d\r\n\r\n%s", len(body), body)
	case chunked:
		fmt.Fprintf(&out, "Transfer-Encoding: chunked\r\n\r\n")
		if len(body) > 0 {
			fmt.Fprintf(&out, "%x\r\n%s\r\n", len(body), body)
		}
		out.WriteString("0\r\n\r\n")
	default:
		panic(fmt.Sprintf("body of type %T", body))
	}
	return out.Bytes()
}

// is checks the status, and ends the test if it is another.
func (a *answer) is(t testing.TB, status int) *answer {
	t.Helper()
	if a.status != status {
		t.Fatalf("%s: status %d, want %d\n%v\n%.500s",
			a.request, a.status, status, a.header, a.body)
	}
	return a
}

// problem checks that the answer is this problem, and returns its document. If it is not, the test
// fails but continues.
func (a *answer) problem(t testing.TB, status int, code string) map[string]any {
	t.Helper()
	decoder := json.NewDecoder(bytes.NewReader(a.body))
	decoder.UseNumber()
	var document map[string]any
	if err := decoder.Decode(&document); err != nil {
		t.Errorf("%s: body is no JSON object: %v", a.request, err)
	}
	if got := codeOf(document); a.status != status || got != code {
		t.Errorf("%s: %d %s, want %d %s\n%.400s", a.request, a.status, got, status, code, a.body)
	}
	return document
}

// codeOf returns the code of a problem document.
func codeOf(document map[string]any) string {
	problemType, _ := document["type"].(string)
	return problemType[strings.LastIndexByte(problemType, '/')+1:]
}

// has checks a header, which must be absent if want is "".
//
// If the wanted ETag has no check, the answer's may have any, as in a condition.
func (a *answer) has(t testing.TB, name, want string) *answer {
	t.Helper()
	got := strings.Join(a.header.Values(name), "|")
	if name == "ETag" && unchecked(want) == want {
		got = unchecked(got)
	}
	if got != want {
		t.Errorf("%s: %s is %q, want %q", a.request, name, got, want)
	}
	return a
}

// unchecked returns an entity tag without its check.
func unchecked(tag string) string {
	if position, _, checked := strings.Cut(tag, "."); checked {
		return position + `"`
	}
	return tag
}

// hasBody checks the body byte for byte.
func (a *answer) hasBody(t testing.TB, want string) *answer {
	t.Helper()
	if got := string(a.body); got != want {
		t.Errorf("%s: body is %.200q (%d bytes), want %.200q (%d bytes)",
			a.request, got, len(got), want, len(want))
	}
	return a
}

// object returns the body as a JSON object. Numbers are kept as they are written.
func (a *answer) object(t testing.TB) map[string]any {
	t.Helper()
	var object map[string]any
	a.decode(t, &object)
	return object
}

// decode reads the body as JSON.
func (a *answer) decode(t testing.TB, into any) {
	t.Helper()
	decoder := json.NewDecoder(bytes.NewReader(a.body))
	decoder.UseNumber()
	if err := decoder.Decode(into); err != nil {
		t.Fatalf("%s: body is not the JSON that was expected: %v\n%.500s", a.request, err, a.body)
	}
}

// stringsOf returns a list of strings from a JSON object.
func stringsOf(list any) []string {
	values, _ := list.([]any)
	found := make([]string, 0, len(values))
	for _, value := range values {
		s, ok := value.(string)
		if !ok {
			s = fmt.Sprint(value)
		}
		found = append(found, s)
	}
	return found
}

// revision returns the number in KV-Revision.
func (a *answer) revision(t testing.TB) uint64 {
	t.Helper()
	revision, err := strconv.ParseUint(a.header.Get("KV-Revision"), 10, 64)
	if err != nil {
		t.Fatalf("%s: KV-Revision: %v", a.request, err)
	}
	return revision
}

// tag returns the entity tag, in its quotes.
func (a *answer) tag() string { return a.header.Get("ETag") }

// A logBuffer collects what is logged.
type logBuffer struct {
	mu     sync.Mutex
	buffer bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buffer.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buffer.String()
}
