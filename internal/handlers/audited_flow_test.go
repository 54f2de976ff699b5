package handlers_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"kvgateway/internal/audit"
	"kvgateway/internal/bound"
)

// A change is a request that changes something, with a body of a media type.
type change struct{ request, kind, body string }

// changesWithBodies has each operation that changes something and has a body.
var changesWithBodies = []change{
	{"PUT /buckets/shop/keys/a", "text/plain", "v"},
	{"PATCH /buckets/shop/keys/b", "application/merge-patch+json", `{"a":1}`},
	{"PUT /buckets/other", "application/json", `{"history":2}`},
	{"PATCH /buckets/shop", "application/json", `{"description":"x"}`},
	{"POST /buckets/shop/entries", "application/x-ndjson", `{"key":"c","text":"1"}` + "\n"},
	{"POST /buckets/shop/transactions", "application/json",
		`{"operations":[{"op":"put","key":"d","text":"1"}]}`},
	{"POST /tickets", "application/json", `{"watch":["shop"]}`},
}

// send sends the head of the request, with a further header.
func (c change) send(t *testing.T, s *session, header string) {
	t.Helper()
	begin(t, s.conn, fmt.Sprintf("%s HTTP/1.1\r\nHost: x\r\nContent-Type: %s\r\n"+
		"Content-Length: %d\r\n%s\r\n", c.request, c.kind, len(c.body), header))
}

// answer reads the answer.
func (c change) answer(t *testing.T, s *session) *answer {
	t.Helper()
	method, target, _ := strings.Cut(c.request, " ")
	return s.answer(t, method, target, nil)
}

// A client that is slow to send the body of a change has no place in the audit log until the body
// has come.
func TestSlowBodiesHoldNoPlaceInTheAuditLog(t *testing.T) {
	t.Parallel()
	trail, audited := withAudit(t)
	g := start(t, audited)
	g.shop(t)
	g.do(t, "PUT", "/buckets/shop/keys/b", "{}", jsonType).is(t, 200)
	g.do(t, "PATCH", "/buckets/shop", `{"allow_atomic":true}`, jsonType).is(t, 200)
	trail.entries(t, 2)
	sessions := make([]*session, len(changesWithBodies))
	for i, c := range changesWithBodies {
		s := g.session(t)
		c.send(t, s, "Expect: 100-continue\r\n")
		// The gateway sends this when it begins to wait for the body.
		for _, want := range []string{"HTTP/1.1 100 Continue\r\n", "\r\n"} {
			if line, err := s.in.ReadString('\n'); err != nil || line != want {
				t.Fatalf("%s: %q, %v", c.request, line, err)
			}
		}
		sessions[i] = s
	}
	if n := trail.places.Used(); n != 0 {
		t.Errorf("%d places are held while %d bodies come", n, len(sessions))
	}
	for i, c := range changesWithBodies {
		begin(t, sessions[i].conn, c.body)
		if a := c.answer(t, sessions[i]); a.status >= 300 {
			t.Errorf("%s: status %d: %s", c.request, a.status, a.body)
		}
	}
	for _, e := range trail.entries(t, len(sessions)) {
		if e.Outcome != audit.Done {
			t.Errorf("the line is %+v", e)
		}
	}
}

// A client that does not take its answer has no place in the audit log: the line is written before
// the answer is sent, also if the request is refused.
func TestUnreadAnswersHoldNoPlaceInTheAuditLog(t *testing.T) {
	t.Parallel()
	trail, audited := withAudit(t)
	g := start(t, audited, withAuth(t, clerkFile, "ann", "bob"))
	g.shop(t)
	base, _ := g.h2c(t, 0)
	const times = 20
	for outcome, credential := range map[audit.Outcome]string{
		audit.Denied:  "Bearer x",
		audit.Refused: "Bearer " + tokenOf("ann"), // There is no such key.
	} {
		unreadHTTP2With(t, "DELETE", "127.0.0.1", base, "/buckets/shop/keys/orders.1", times,
			"authorization", credential)
		for _, e := range trail.entries(t, times) {
			if e.Outcome != outcome {
				t.Errorf("the line is %+v, want %v", e, outcome)
			}
		}
	}
	eventually(t, "no place is held", func() bool { return trail.places.Used() == 0 })
	if n := strings.Count(g.log.String(), `"message":"request"`); n != 0 {
		t.Errorf("%d answers were taken", n)
	}
}

// A client without a credential does not fill the audit log with refusals. Those of a caller have a
// line each.
func TestRefusalsDoNotFillTheAuditLog(t *testing.T) {
	t.Parallel()
	trail, audited := withAudit(t)
	g := start(t, audited, withAuth(t, clerkFile, "ann", "bob"))
	g.shop(t)
	s := g.session(t)
	defer s.conn.Close()
	const times, strangerLines = 60, 30
	for range times {
		s.do(t, "DELETE", "/buckets/shop/keys/a", nil).problem(t, 401, "unauthenticated")
		s.do(t, "DELETE", "/buckets/shop/keys/a", nil, bearer("bob")).problem(t, 403, "forbidden")
	}
	g.do(t, "PUT", "/buckets/shop/keys/orders.1", "v", bearer("ann")).is(t, 200)
	lines := make(map[int]int)
	for _, e := range trail.entries(t, strangerLines+times+1) {
		lines[e.Status]++
	}
	if lines[401] != strangerLines || lines[403] != times || lines[200] != 1 {
		t.Errorf("the lines are of %v", lines)
	}
}

// A rate bounds the lines of everybody: a request that it refuses has none.
func TestRequestsBeyondTheRateHaveNoAuditLine(t *testing.T) {
	t.Parallel()
	trail, audited := withAudit(t)
	g := start(t, audited, withAuth(t, clerkFile, "ann", "bob"),
		func(s *setup) { s.handlers.Rate = 1 })
	g.shop(t)
	refused := 0
	for _, header := range [][]string{nil, {bearer("bob")}} {
		eventually(t, "the rate refuses a request", func() bool {
			a := g.do(t, "DELETE", "/buckets/shop/keys/a", nil, header...)
			if a.status != 429 {
				refused++ // for want of a credential, or of the right
			}
			return a.status == 429
		})
	}
	g.do(t, "PUT", "/buckets/shop/keys/orders.1", "v", bearer("ann")).is(t, 200)
	lines := make(map[int]int)
	for _, e := range trail.entries(t, refused+1) {
		lines[e.Status]++
	}
	if lines[401]+lines[403] != refused || lines[200] != 1 {
		t.Errorf("%d were refused otherwise, and the lines are of %v", refused, lines)
	}
}

// Every operation that changes something needs a place in the audit log, and changes nothing
// without.
func TestNothingIsChangedWithoutAPlaceInTheAuditLog(t *testing.T) {
	t.Parallel()
	trail, audited := withAudit(t)
	g := start(t, audited)
	kv := g.shop(t)
	put(t, kv, "b", "{}")
	g.do(t, "PATCH", "/buckets/shop", `{"allow_atomic":true}`, jsonType).is(t, 200)
	trail.entries(t, 1)
	place := new(bound.Hold)
	if err := trail.places.Take(t.Context(), place, "", audit.MaxLines, nil); err != nil {
		t.Fatal(err)
	}
	before := g.messages(t, "shop")
	changes := append([]change{
		{"DELETE /buckets/shop/keys/b", "", ""},
		{"DELETE /buckets/shop/keys?filter=b", "", ""},
		{"DELETE /buckets/shop/markers", "", ""},
		{"DELETE /buckets/shop", "", ""},
	}, changesWithBodies...)
	operations := slices.DeleteFunc(operations(t), func(operation string) bool {
		return strings.HasPrefix(operation, "GET") || strings.HasPrefix(operation, "HEAD")
	})
	if len(operations) != len(changes) {
		t.Errorf("the contract has other changes: %q", operations)
	}
	sessions := make([]*session, len(changes))
	for i, c := range changes {
		sessions[i] = g.session(t)
		c.send(t, sessions[i], "")
		begin(t, sessions[i].conn, c.body)
	}
	for i, c := range changes {
		if a := c.answer(t, sessions[i]); a.status != 503 {
			t.Errorf("%s: status %d: %s", c.request, a.status, a.body)
		}
	}
	g.wantUnchanged(t, "shop", before)
	g.get(t, "/buckets/other").is(t, 404)
	place.Release()
	g.do(t, "PUT", "/buckets/shop/keys/a", "v").is(t, 200)
}
