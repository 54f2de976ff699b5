package handlers_test

import (
	"bufio"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// fuzzedTime is how long a fuzzed request may take. One that waits for more of its body, or that
// streams, is given up.
const fuzzedTime = 500 * time.Millisecond

// fuzzedHeads are headers that many routes look at.
var fuzzedHeads = []string{
	"", "Accept: text/event-stream", asLines, jsonType, mergeType, lineType,
	"If-None-Match: *", "If-Match: \"1\"", "Prefer: wait=1", "Last-Event-ID: 1-k3f9x",
	"Cookie: a=b", "X-HTTP-Method-Override: DELETE", "Transfer-Encoding: chunked",
	"Authorization: Basic Og==",
	"Cookie: __Host-kvgw-ticket=kvgt_x.y", "Origin: null", "Connection: Upgrade",
}

// fuzzedTargets are targets that are easily taken for another.
var fuzzedTargets = []string{
	"/buckets/shop/keys/..", "/buckets/shop/keys/%2e%2e", "/buckets/shop/", "//buckets/shop",
	"/buckets/shop/keys/part/../secret", "/buckets/%73hop/keys/secret", "/buckets/shop%2Fkeys",
	"/buckets/shop/keys/~?key=secret", "/buckets/shop/keys?filter=>&filter=part.>",
	"/BUCKETS/shop/keys/secret", "/watch?watch=shop&watch=shop:secret", "/watch?watch=shop:*",
	"/buckets/shop/watch?ticket=kvgt_e30.x", "/access/", "/buckets?names=true", "*",
	"/buckets/shop/entries?key=secret&prefix=part", "http://127.0.0.1/buckets/shop", "/tickets",
	"/buckets/shop/keys/secret?key=part.1", "/buckets/Shop/keys/part.1", "/buckets/shop/keys/part",
}

// FuzzRouter sends any request as callers with no right at all, and as one with rights to other
// keys. Nothing that is refused asks NATS anything, nothing fails with a 5xx, and the key to which
// nobody has a right stays as it is.
func FuzzRouter(f *testing.F) {
	for _, probes := range probesOf {
		for _, q := range probes {
			body, _ := q.body.(string)
			named := strings.NewReplacer("/B", "/shop", "=B", "=shop", "secret.k", "secret")
			f.Add(q.method, named.Replace(q.target), strings.Join(q.header, "\r\n"),
				named.Replace(body))
		}
	}
	for i, target := range fuzzedTargets {
		methods := []string{"GET", "PUT", "DELETE", "POST", "PATCH", "HEAD", "OPTIONS"}
		for j, method := range methods {
			f.Add(method, target, fuzzedHeads[(i+j)%len(fuzzedHeads)], "{}")
		}
	}
	const file = `
roles:
  none: [{ bucket: elsewhere, can: [admin] }]
  part: [{ bucket: shop, keys: ["part.>"], can: [read, write] }]
tokens:
  - { name: none, sha256: %s, roles: [none] }
  - { name: part, sha256: %s, roles: [part] }
`
	// What is asked as part leaves feeds and refreshed bindings behind, which send messages of
	// their own. So those who are always refused have a gateway for themselves.
	refusing := start(f, withAuth(f, file, "none", "part"))
	partial := start(f, withAuth(f, file, "none", "part"))
	for _, g := range []*gateway{refusing, partial} {
		put(f, g.shop(f), "secret", "v")
	}
	f.Fuzz(func(t *testing.T, method, target, head, body string) {
		for _, credential := range []string{"", as("none") + "\r\n"} {
			status := 0
			sent := refusing.wire.requests(func() {
				status = refusing.fuzz(t, method, target, credential+head, body)
			})
			refused := status == http.StatusUnauthorized || status == http.StatusForbidden
			if refused && sent != 0 {
				t.Fatalf("%s %q is refused with %d, and %d messages were sent to NATS", method,
					target, status, sent)
			}
		}
		partial.fuzz(t, method, target, as("part")+"\r\n"+head, body)
		if last := partial.lastRevision(t, "shop", "secret"); last != 1 {
			t.Fatalf("%s %q has written a key without the right", method, target)
		}
	})
}

// fuzz sends bytes that may be a request, and returns the status of the answer; 0 if none comes in
// time. It fails the test if that is a failure of the gateway.
func (g *gateway) fuzz(t *testing.T, method, target, head, body string) (status int) {
	t.Helper()
	s := g.session(t)
	defer s.conn.Close()
	if err := s.conn.SetDeadline(time.Now().Add(fuzzedTime)); err != nil {
		t.Fatal(err)
	}
	var lines []string
	for line := range strings.SplitSeq(head, "\r\n") {
		if line != "" {
			lines = append(lines, line)
		}
	}
	request := encode(g.address, method, target, body, lines)
	// net/http may answer and close before all is sent.
	_, _ = s.conn.Write(request)
	response, err := http.ReadResponse(bufio.NewReader(s.conn), &http.Request{Method: method})
	if err != nil {
		return 0 // It streams, waits for more of the body, or net/http has closed the connection.
	}
	allowed := []int{ // 501 is net/http's answer to another Transfer-Encoding, 505 to a version.
		http.StatusNotImplemented, http.StatusHTTPVersionNotSupported, http.StatusGatewayTimeout,
	}
	if response.StatusCode >= 500 && !slices.Contains(allowed, response.StatusCode) {
		t.Fatalf("%s %q, %q: status %d", method, target, head, response.StatusCode)
	}
	return response.StatusCode
}
