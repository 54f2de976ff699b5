package load

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
)

const goodAnswer = "HTTP/1.1 200 OK\r\nDate: x\r\nEtag: \"42-k3f9x\"\r\n" +
	"CONTENT-LENGTH: 5\r\n\r\nhello"

func TestParseResponse(t *testing.T) {
	for _, test := range []struct {
		name, arrived string
		status        int
		etag, body    string
	}{
		{"value", goodAnswer, 200, `"42-k3f9x"`, "hello"},
		{"no content", "HTTP/1.1 204 No Content\r\nETag:\"1\"\r\n\r\n", 204, `"1"`, ""},
		{"not modified", "HTTP/1.1 304 Not Modified\r\n\r\n", 304, "", ""},
		{"empty body", "HTTP/1.1 412 Failed\r\nContent-Length: 0\r\n\r\n", 412, "", ""},
		{"blank line in the body", "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n\r\n\r\nab",
			200, "", "\r\n\r\nab"},
	} {
		t.Run(test.name, func(t *testing.T) {
			res, whole, err := parseResponse([]byte(test.arrived))
			if err != nil || !whole {
				t.Fatalf("whole %v, error %v", whole, err)
			}
			if res.status != test.status || string(res.etag) != test.etag ||
				string(res.body) != test.body {
				t.Errorf("got %d %q %q", res.status, res.etag, res.body)
			}
		})
	}
}

func TestParseResponseWaitsForTheRest(t *testing.T) {
	for n := range len(goodAnswer) {
		if _, whole, err := parseResponse([]byte(goodAnswer[:n])); whole || err != nil {
			t.Fatalf("%q: whole %v, error %v", goodAnswer[:n], whole, err)
		}
	}
}

func TestParseResponseRefuses(t *testing.T) {
	for _, arrived := range []string{
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
		"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
		"HTTP/1.1 2OO OK\r\nContent-Length: 0\r\n\r\n",
		"nonsense\r\n\r\n",
		goodAnswer + "HTTP/1.1 ",
	} {
		if _, _, err := parseResponse([]byte(arrived)); err == nil {
			t.Errorf("%q is taken for an answer", arrived)
		}
	}
}

func TestParseResponseDoesNotAllocate(t *testing.T) {
	arrived := []byte(goodAnswer)
	if n := testing.AllocsPerRun(100, func() { parseResponse(arrived) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// The requests are read by net/http, as the servers under test do it.
func TestRequestsAreWellFormed(t *testing.T) {
	keys := make(map[string]bool)
	for _, op := range AllOperations {
		requests := requestsOf("127.0.0.1:8080", 7, cellOf(op))
		for i := range requests {
			requests[i].etag = []byte(`"42-k3f9x"`)
			for range 2 { // The second is put together in the buffer of the first.
				got := checkRequest(t, op, i, requests[i].bytes())
				key := got.Header.Get("Idempotency-Key")
				if keys[key] || (key != "") != (op == OpPutKey) {
					t.Errorf("%s: Idempotency-Key %q", op, key)
				} else if key != "" {
					keys[key] = true
				}
			}
		}
	}
}

func checkRequest(t *testing.T, op string, i int, text []byte) (got *http.Request) {
	t.Helper()
	handler := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		got = r
		body, err := io.ReadAll(r.Body)
		if err != nil || (!cellOf(op).IsRead() && !bytes.Equal(body, Payload(128))) {
			t.Errorf("%s: body %q, error %v", op, body, err)
		}
	})
	head, body, _ := bytes.Cut(text, endOfHeader)
	lines := strings.Split(string(head), "\r\n")
	method, path, _ := strings.Cut(strings.TrimSuffix(lines[0], " HTTP/1.1"), " ")
	request := httptest.NewRequest(method, path, bytes.NewReader(body))
	for _, line := range lines[1:] {
		name, value, _ := strings.Cut(line, ": ")
		request.Header.Set(name, value)
	}
	handler.ServeHTTP(nil, request)
	want := "/buckets/" + cellOf(op).Bucket() + "/keys/" + keyFor(7, i)
	if got.URL.Path != want || got.Header.Get("Host") != "127.0.0.1:8080" {
		t.Errorf("%s: asks for %s of %s", op, got.URL.Path, got.Header.Get("Host"))
	}
	if tag := got.Header.Get("If-Match"); (tag == `"42-k3f9x"`) != (op == OpCAS) {
		t.Errorf("%s: If-Match %q", op, tag)
	}
	if tag := got.Header.Get("If-None-Match"); (tag == `"42-k3f9x"`) != (op == OpGetSame) {
		t.Errorf("%s: If-None-Match %q", op, tag)
	}
	mayBeOld := op == OpGetCached || op == OpGetSame
	if got.URL.Query().Has("consistency") != mayBeOld {
		t.Errorf("%s: query %q", op, got.URL.RawQuery)
	}
	length := got.Header.Get("Content-Length")
	if !cellOf(op).IsRead() && length != strconv.Itoa(len(body)) {
		t.Errorf("%s: Content-Length %s, body %d", op, length, len(body))
	}
	if ttl := got.URL.Query().Get("ttl"); (ttl == "1h") != (op == OpPutTTL) {
		t.Errorf("%s: ttl %q", op, ttl)
	}
	return got
}

// cellOf returns a cell of an operation.
func cellOf(operation string) Cell {
	return Cell{Operation: operation, Connections: 1, ValueBytes: 128}
}
