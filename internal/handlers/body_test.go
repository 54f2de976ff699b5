package handlers_test

import (
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"kvgateway/internal/handlers"
)

// A declared length that is too large is refused before any of the body is read or even sent.
func TestDeclaredLengthIsRefusedAtOnce(t *testing.T) {
	t.Parallel()
	g := start(t)
	g.bucket(t, jetstream.KeyValueConfig{Bucket: "small", MaxValueSize: 100})
	for _, request := range []struct{ target, header, code string }{
		{"/buckets/small/keys/a", "Content-Length: 101", "value-too-large"},
		{"/buckets/small/keys/a", "Content-Length: 10000000000000", "value-too-large"},
		{"/buckets/small/keys/a", "Content-Length: 101\r\nExpect: 100-continue", "value-too-large"},
		{"/buckets/new", "Content-Length: 10000000000\r\nContent-Type: application/json",
			"body-too-large"},
	} {
		t.Run(request.header, func(t *testing.T) {
			g.sendHeader(t, "PUT", request.target, request.header).problem(t, 413, request.code)
		})
	}
	g.get(t, "/buckets/new").is(t, 404)
}

// sendHeader sends a request without the body that it declares, and reads the answer, which must
// not wait for the body.
func (g *gateway) sendHeader(t *testing.T, method, target, header string) *answer {
	t.Helper()
	s := g.session(t)
	defer s.conn.Close()
	if err := s.conn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	begin(t, s.conn, method+" "+target+" HTTP/1.1\r\nHost: localhost\r\n"+header+"\r\n\r\n")
	return s.answer(t, method, target, []string{header})
}

// A request that is refused for its header is answered at once. The connection does not wait for a
// body that nobody wants.
func TestRefusalsDoNotWaitForTheBody(t *testing.T) {
	t.Parallel()
	g := start(t, func(s *setup) { s.handlers.Bodies.Grace = 500 * time.Millisecond })
	put(t, g.shop(t), "a", "v")
	type request struct {
		method, target, header string
		status                 int
		session                *session
	}
	var waiting []request
	for _, r := range []request{
		{"PUT", "/buckets/nowhere/keys/a", "", 404, nil},
		{"PUT", "/buckets/shop/keys/.", "", 400, nil}, {"PUT", "/nothing", "", 404, nil},
		{"POST", "/buckets/shop/keys/a", "", 405, nil},
		{"PUT", "/buckets/shop/keys/a", "If-Match: x\r\n", 400, nil},
		{"PUT", "/buckets/shop/keys/a", "Origin: https://example.com\r\n", 403, nil},
		{"PUT", "/buckets/shop/keys/a?x=1", "", 400, nil},
		{"DELETE", "/buckets/shop/keys/never", "", 404, nil},
		{"GET", "/buckets/shop/keys/never", "", 404, nil},
		{"GET", "/buckets/shop/keys/a", "", 200, nil},
	} {
		for _, length := range []string{
			"Content-Length: 10", "Content-Length: 100000", "Transfer-Encoding: chunked",
		} {
			r := request{r.method, r.target, r.header + length, r.status, g.session(t)}
			begin(t, r.session.conn,
				r.method+" "+r.target+" HTTP/1.1\r\nHost: localhost\r\n"+r.header+"\r\n\r\n")
			waiting = append(waiting, r)
		}
	}
	deadline := time.Now().Add(5 * time.Second)
	for _, r := range waiting {
		if err := r.session.conn.SetDeadline(deadline); err != nil {
			t.Fatal(err)
		}
		if _, err := r.session.in.Peek(1); err != nil {
			t.Errorf("%s %s %q: no answer: %v", r.method, r.target, r.header, err)
			continue
		}
		a := r.session.answer(t, r.method, r.target, []string{r.header})
		if a.status != r.status {
			t.Errorf("%s: status %d, want %d", a.request, a.status, r.status)
		}
	}
}

// A client that sends Expect: 100-continue is told to send its body.
func TestExpectContinueIsAnswered(t *testing.T) {
	t.Parallel()
	g := start(t)
	kv := g.shop(t)
	s := g.session(t)
	begin(t, s.conn, "PUT /buckets/shop/keys/a HTTP/1.1\r\nHost: localhost\r\n"+
		"Content-Length: 3\r\nExpect: 100-continue\r\n\r\n")
	if line, err := s.in.ReadString('\n'); err != nil || line != "HTTP/1.1 100 Continue\r\n" {
		t.Fatalf("%q, %v", line, err)
	}
	if _, err := s.in.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	begin(t, s.conn, "new")
	s.answer(t, "PUT", "/buckets/shop/keys/a", nil).is(t, 200)
	wantNative(t, kv, "a", "new")
	s.do(t, "GET", "/buckets/shop/keys/a", nil).is(t, 200).hasBody(t, "new")
}

func TestSlowBodiesTimeOut(t *testing.T) {
	t.Parallel()
	g := start(t, func(s *setup) { s.handlers.Bodies.Grace = 150 * time.Millisecond })
	kv := g.shop(t)
	for _, tc := range []struct{ target, header, part string }{
		{"/buckets/shop/keys/a", "Content-Length: 10", "abc"},
		{"/buckets/shop/keys/a", "Content-Length: 10", ""},
		{"/buckets/shop/keys/a", "Transfer-Encoding: chunked", "3\r\nabc\r\n"},
		{"/buckets/shop/keys/a", "Transfer-Encoding: chunked", "3\r\nab"},
		{"/buckets/new", "Content-Length: 10\r\nContent-Type: application/json", `{"his`},
	} {
		s := g.session(t)
		begin(t, s.conn,
			"PUT "+tc.target+" HTTP/1.1\r\nHost: localhost\r\n"+tc.header+"\r\n\r\n"+tc.part)
		s.answer(t, "PUT", tc.target, []string{tc.header, tc.part}).
			problem(t, 408, "request-timeout")
		s.conn.Close()
	}
	if _, err := kv.Get(t.Context(), "a"); err == nil {
		t.Error("a part of a value was stored")
	}
	g.get(t, "/buckets/new").problem(t, 404, "bucket-not-found")
}

// A body that ends early stores nothing, and its sender, who may still be reading, is not told that
// it was stored.
func TestBodiesCutShortStoreNothing(t *testing.T) {
	t.Parallel()
	g := start(t)
	kv := g.shop(t)
	for _, tc := range []struct{ target, header, part string }{
		{"/buckets/shop/keys/a", "Content-Length: 10", "abc"},
		{"/buckets/shop/keys/a", "Transfer-Encoding: chunked", "3\r\nabc\r\n"},
		{"/buckets/shop/keys/a", "Transfer-Encoding: chunked", "a\r\nabc"},
		{"/buckets/shop/keys/a", "Transfer-Encoding: chunked", "zz\r\nabc\r\n0\r\n\r\n"},
		{"/buckets/shop/keys/a", "Transfer-Encoding: chunked", "ffffffffffffffffff\r\nabc"},
		{"/buckets/new", "Content-Length: 20\r\nContent-Type: application/json", `{"history":5}`},
	} {
		s := g.session(t)
		begin(t, s.conn,
			"PUT "+tc.target+" HTTP/1.1\r\nHost: localhost\r\n"+tc.header+"\r\n\r\n"+tc.part)
		if err := s.conn.(*net.TCPConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		// Closing the connection without an answer is correct as well.
		if _, err := s.in.Peek(1); err == nil {
			if a := s.answer(t, "PUT", tc.target, []string{tc.header, tc.part}); a.status < 400 {
				t.Errorf("%s: status %d", a.request, a.status)
			}
		}
		s.conn.Close()
	}
	if _, err := kv.Get(t.Context(), "a"); err == nil {
		t.Error("a part of a value was stored")
	}
	g.get(t, "/buckets/new").problem(t, 404, "bucket-not-found")
}

// A client may end its half of the connection after the request, as `nc -N` does, and go on
// reading. Whatever answer it gets must be true.
func TestHalfClosedClients(t *testing.T) {
	t.Parallel()
	g := start(t)
	kv := g.shop(t)
	put(t, kv, "a", "v")
	for _, tc := range []struct {
		request string
		status  int
	}{
		{"GET /buckets/shop/keys/a", 200}, {"GET /buckets/shop/keys/never", 404},
		{"GET /buckets/nowhere/keys/a", 404},
		{"PUT /buckets/shop/keys/a?x=1", 400}, {"DELETE /buckets/shop/keys/never", 404},
		{"GET /nothing", 404}, {"GET /buckets/shop/keys", 200},
		{"GET /buckets/shop/keys/a?min_revision=99", 504},
	} {
		for range 5 {
			s := g.session(t)
			begin(t, s.conn, tc.request+" HTTP/1.1\r\nHost: localhost\r\n\r\n")
			if err := s.conn.(*net.TCPConn).CloseWrite(); err != nil {
				t.Fatal(err)
			}
			// Closing the connection without an answer is correct as well.
			if _, err := s.in.Peek(1); err == nil {
				method, target, _ := strings.Cut(tc.request, " ")
				if a := s.answer(t, method, target, nil); a.status != tc.status {
					t.Errorf("%s: status %d, want %d", a.request, a.status, tc.status)
				}
			}
			s.conn.Close()
		}
	}
}

// Clients that ask for the connection to be closed, such as proxies that speak HTTP/1.0, get the
// answer of a refusal. A reset could overtake the answer.
func TestRefusalArrivesBeforeTheConnectionCloses(t *testing.T) {
	t.Parallel()
	g := start(t)
	for _, version := range []string{"HTTP/1.1\r\nConnection: close", "HTTP/1.0"} {
		s := g.session(t)
		request := "PUT /buckets/nowhere/keys/a " + version +
			"\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n" + strings.Repeat("v", 100000)
		if _, err := s.conn.Write([]byte(request)); err != nil {
			t.Fatal(err)
		}
		s.answer(t, "PUT", "/buckets/nowhere/keys/a", nil).problem(t, 404, "bucket-not-found")
		if _, err := s.in.ReadByte(); err != io.EOF {
			t.Errorf("%q: %v, want the end of the connection", version, err)
		}
	}
}

// A body that is declared and does not come takes no memory.
func TestDeclaredLengthTakesNoMemory(t *testing.T) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if _, err := handlers.ReadAll(strings.NewReader("v"), 1<<30); err != io.ErrUnexpectedEOF {
		t.Errorf("error %v", err)
	}
	runtime.ReadMemStats(&after)
	if took := after.TotalAlloc - before.TotalAlloc; took > 1<<29 {
		t.Errorf("one byte of a declared gigabyte took %d bytes", took)
	}
	for _, size := range []int{0, 1, 64 << 10, 64<<10 + 1, 300 << 10} {
		want := strings.Repeat("v", size)
		got, err := handlers.ReadAll(strings.NewReader(want), int64(size))
		if err != nil || string(got) != want {
			t.Errorf("%d bytes: read %d, %v", size, len(got), err)
		}
	}
}

// An operation that reads the content of its body refuses one with a content coding. A value may
// have any.
func TestStructuredBodiesWithAContentEncodingAreRefused(t *testing.T) {
	t.Parallel()
	g := start(t)
	kv := g.ledger(t)
	put(t, kv, "a", `{}`)
	before := g.messages(t, "ledger")
	for _, tc := range []struct{ method, target, media, body string }{
		{"POST", "/buckets/ledger/entries", "application/x-ndjson", "\x1f\x8b\x08\x00"},
		{"POST", "/buckets/ledger/entries", "application/x-ndjson", `{"key":"b","text":"v"}`},
		{"POST", "/buckets/ledger/transactions", "application/json",
			`{"operations":[{"op":"put","key":"b","value":1}]}`},
		{"PUT", "/buckets/new", "application/json", `{}`},
		{"PATCH", "/buckets/ledger", "application/merge-patch+json", `{}`},
		{"PATCH", "/buckets/ledger/keys/a", "application/merge-patch+json", `{"b":1}`},
		{"PATCH", "/buckets/ledger/keys/a", "application/json-patch+json", `[]`},
	} {
		for _, coding := range []string{"gzip", "br", "identity, gzip", "Zstd"} {
			g.do(t, tc.method, tc.target, tc.body, "Content-Type: "+tc.media,
				"Content-Encoding: "+coding).
				has(t, "Accept-Encoding", "identity").problem(t, 415, "unsupported-media-type")
		}
	}
	if g.messages(t, "ledger") != before {
		t.Error("something was stored")
	}
	g.get(t, "/buckets/new").problem(t, 404, "bucket-not-found")
	g.load(t, "/buckets/ledger/entries", `{"key":"b","text":"v"}`).wantDone(t, 1, 0)
	g.do(t, "POST", "/buckets/ledger/entries", `{"key":"b","text":"v"}`, lineType,
		"Content-Encoding: identity").is(t, 200)
	g.do(t, "PUT", "/buckets/ledger/keys/b", "\x1f\x8b", "Content-Encoding: gzip").is(t, 200)
	g.get(t, "/buckets/ledger/keys/b").is(t, 200).has(t, "Content-Encoding", "gzip")
}
