package handlers_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rs/zerolog"

	"kvgateway/internal/audit"
	"kvgateway/internal/bound"
)

// An auditTrail is what a gateway's audit log is written to.
type auditTrail struct {
	// places are those of the log's lines.
	places *bound.Bound

	mu    sync.Mutex
	text  strings.Builder
	isOff bool
}

func (a *auditTrail) Write(p []byte) (int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.isOff {
		return 0, errors.New("no space left on device")
	}
	return a.text.Write(p)
}

// turn makes writes fail, or succeed again.
func (a *auditTrail) turn(off bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.isOff = off
}

// String returns what was written.
func (a *auditTrail) String() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.text.String()
}

// entries waits for so many lines and returns them, and begins anew.
func (a *auditTrail) entries(t testing.TB, n int) (entries []audit.Entry) {
	t.Helper()
	eventually(t, "the lines are written", func() bool {
		return strings.Count(a.String(), "\n") >= n
	})
	for line := range strings.Lines(a.String()) {
		var e audit.Entry
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Errorf("%q: %v", line, err)
		}
		entries = append(entries, e)
	}
	if len(entries) != n {
		t.Errorf("%d lines, not %d:\n%s", len(entries), n, a)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.text.Reset()
	return entries
}

// withAudit gives a gateway an audit log.
func withAudit(t testing.TB) (*auditTrail, func(*setup)) {
	t.Helper()
	bounds := bound.NewSet()
	trail := new(auditTrail)
	log := audit.To(trail, audit.Options{Bounds: bounds, Logger: zerolog.Nop()})
	trail.places = bounds.Find("audit-lines")
	t.Cleanup(func() {
		trail.turn(false)
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := log.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return trail, func(s *setup) { s.handlers.Audit = log }
}

func TestAuditLogSaysWhatBecameOfEachChange(t *testing.T) {
	t.Parallel()
	trail, audited := withAudit(t)
	g := start(t, audited, withAuth(t, `
roles:
  clerk:
    - { bucket: "sh*", can: [admin] }
  reader:
    - { bucket: shop, can: [read] }
tokens:
  - { name: ann, sha256: %s, roles: [clerk] }
  - { name: bob, sha256: %s, roles: [reader] }
`, "ann", "bob"))
	ann, bob := bearer("ann"), bearer("bob")
	keys := "/buckets/shop/keys"
	g.do(t, "PUT", "/buckets/shop", `{"history":5,"allow_atomic":true}`, jsonType, ann).is(t, 201)
	g.do(t, "PUT", keys+"/a", "v", ann, "X-Request-Id: r-1").is(t, 200)
	g.do(t, "PUT", keys+"/a", "w", ann, "If-None-Match: *").is(t, 412)
	g.get(t, keys+"/a", ann).is(t, 200)
	g.do(t, "POST", "/tickets", `{"watch":["other"]}`, jsonType, bob).is(t, 403)
	g.do(t, "PUT", keys+"/a", "v").is(t, 401)
	g.do(t, "PUT", keys+"/a", "v", ann, "Origin: https://evil.example").is(t, 403)
	g.do(t, "PUT", keys+"/a*", "v", ann).is(t, 400)
	g.do(t, "POST", "/buckets/shop/transactions",
		`{"operations":[{"op":"put","key":"b","text":"1"},{"op":"put","key":"c","text":"1"}]}`,
		jsonType, ann).is(t, 200)
	g.do(t, "POST", "/buckets/shop/entries", "{\"key\":\"d\",\"text\":\"1\"}\n{\"key\":\"*\"}\n",
		lineType, ann).is(t, 200)
	g.do(t, "DELETE", keys+"/d?purge=true", nil, ann).is(t, 200)
	g.do(t, "DELETE", keys+"?filter=a&filter=b&dry_run=true", nil, ann).is(t, 200)
	g.do(t, "DELETE", keys+"?filter=a&filter=b", nil, ann).is(t, 200)
	g.do(t, "DELETE", "/buckets/shop/markers?older_than=0s", nil, ann).is(t, 200)
	g.do(t, "PATCH", "/buckets/shop", `{"history":6}`, jsonType, ann).is(t, 200)
	g.do(t, "POST", "/tickets", `{"watch":["shop"]}`, jsonType, bob).is(t, 200)
	g.do(t, "POST", "/nothing/here", "x", ann).is(t, 404)
	g.do(t, "DELETE", "/buckets/shop", nil, ann).is(t, 204)

	type line struct {
		Caller, Method, Action, Key string
		Status                      int
		Outcome                     audit.Outcome
		Problem, Revision           string
		Counts                      map[string]int
	}
	var got []line
	entries := trail.entries(t, 16)
	for _, e := range entries {
		if e.Client != "127.0.0.1" || e.ID == "" || time.Since(e.Time) > patience ||
			e.Bucket != "shop" && e.Action != "make-ticket" ||
			(e.Caller == "") != (e.Kind == "") {
			t.Errorf("the line is %+v", e)
		}
		got = append(got, line{e.Caller, e.Method, e.Action, e.Key, e.Status, e.Outcome,
			e.Problem, e.Revision, e.Counts})
	}
	want := []line{
		{"ann", "PUT", "create-bucket", "", 201, audit.Done, "", "", nil},
		{"ann", "PUT", "put", "a", 200, audit.Done, "", "1", nil},
		{"ann", "PUT", "put", "a", 412, audit.Refused, "key-exists", "", nil},
		{"bob", "POST", "make-ticket", "", 403, audit.Denied, "forbidden", "", nil},
		{"", "PUT", "put", "a", 401, audit.Denied, "unauthenticated", "", nil},
		{"", "PUT", "", "a", 403, audit.Denied, "cross-site", "", nil},
		{"ann", "PUT", "put", "", 400, audit.Refused, "invalid-key", "", nil},
		{"ann", "POST", "transaction", "", 200, audit.Done, "", "3",
			map[string]int{"operations": 2}},
		{"ann", "POST", "import", "", 200, audit.Done, "", "",
			map[string]int{"stored": 1, "failed": 1, "expired": 0}},
		{"ann", "DELETE", "purge", "d", 200, audit.Done, "", "5", nil},
		{"ann", "DELETE", "delete-keys", "", 200, audit.Done, "", "",
			map[string]int{"deleted": 2, "skipped": 0}},
		{"ann", "DELETE", "delete-keys", "", 200, audit.Done, "", "",
			map[string]int{"deleted": 2, "skipped": 0}},
		{"ann", "DELETE", "purge-markers", "", 200, audit.Done, "", "",
			map[string]int{"removed": 3, "kept": 0}},
		{"ann", "PATCH", "configure-bucket", "", 200, audit.Done, "", "", nil},
		{"bob", "POST", "make-ticket", "", 200, audit.Done, "", "", nil},
		{"ann", "DELETE", "delete-bucket", "", 204, audit.Done, "", "", nil},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("want (-) and got (+):\n%s", diff)
	}
	if len(entries) == len(want) && (entries[1].ID != "r-1" || !entries[10].DryRun ||
		entries[11].DryRun || strings.Join(entries[11].Filters, " ") != "a b") {
		t.Errorf("the lines are %+v, %+v and %+v", entries[1], entries[10], entries[11])
	}
}

// Every operation of the contract that may change something is in the audit log, by a name, also if
// it is refused.
func TestEveryOperationThatChangesIsAudited(t *testing.T) {
	t.Parallel()
	trail, audited := withAudit(t)
	g := start(t, audited, withAuth(t, clerkFile, "ann", "bob"))
	n := 0
	for _, operation := range operations(t) {
		method, path, _ := strings.Cut(operation, " ")
		target := strings.NewReplacer("{bucket}", "shop", "{key}", "a", "{code}", "x",
			"{page}", "tour", "{file}", "console.js").Replace(path)
		g.do(t, method, target, nil)
		if method == "GET" || method == "HEAD" {
			continue
		}
		n++
		if e := trail.entries(t, 1); len(e) != 1 || e[0].Action == "" || e[0].Method != method {
			t.Errorf("%s: the lines are %+v", operation, e)
		}
	}
	if n < 10 {
		t.Errorf("only %d operations change something", n)
	}
}

// While the log cannot be written, changes are refused before anything is done, and reading goes
// on. No change that was made lacks its line.
func TestChangesAreRefusedWhileTheAuditLogIsStuck(t *testing.T) {
	t.Parallel()
	trail, audited := withAudit(t)
	g := start(t, audited)
	kv := g.shop(t)
	trail.turn(true)
	stored := 0
	s := g.session(t)
	defer s.conn.Close()
	for {
		if err := s.conn.SetDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
		a := s.do(t, "PUT", "/buckets/shop/keys/a", "v")
		if a.status != 200 {
			a.problem(t, 429, "overloaded")
			break
		}
		if stored++; stored > audit.MaxLines {
			t.Fatal("the lines that wait have no bound")
		}
	}
	g.get(t, "/buckets/shop/keys/a").is(t, 200)
	g.do(t, "DELETE", "/buckets/shop/keys/a", nil).is(t, 429)
	wantNative(t, kv, "a", "v")
	trail.turn(false)
	eventually(t, "changes are made again", func() bool {
		return g.do(t, "PUT", "/buckets/shop/keys/a", "w").status == 200
	})
	eventually(t, "all lines are there", func() bool {
		return strings.Count(trail.String(), `"outcome":"done"`) == stored+1
	})
}

// What clients send cannot add lines to the logs, nor members to a line, nor headers to an answer.
func TestLogsAndHeadersCannotBeForged(t *testing.T) {
	t.Parallel()
	trail, audited := withAudit(t)
	g := start(t, audited, func(s *setup) { s.handlers.LogKeys = true }, withAuth(t, clerkFile,
		"ann", "bob"))
	g.shop(t)
	const evil = `x","message":"forged`
	for _, target := range []string{
		"/buckets/shop/keys/a%0A%7B%22message%22:%22forged%22%7D", "/buckets/shop/keys/a%1B%5B2J",
		"/buckets/shop%0D%0AX-Forged:%201/keys/a", "/buckets/shop/keys/~?key=a%0D%0AX-Forged:1",
		"/buckets/shop/keys/a%E2%80%A8b",
	} {
		a := g.do(t, "PUT", target, "v", "User-Agent: "+evil, "X-Request-Id: "+evil,
			"Authorization: Bearer kvgw_"+evil, "Referer: "+evil,
			"X-Forwarded-For: "+evil, "Forwarded: for="+evil)
		if a.status < 400 || a.header.Get("X-Forged") != "" {
			t.Errorf("%s: status %d, headers %v", target, a.status, a.header)
		}
	}
	entries := trail.entries(t, 5)
	eventually(t, "all is logged", func() bool {
		return strings.Count(g.log.String(), `"message":"request"`) >= 5
	})
	for _, text := range []string{g.log.String(), mustJSON(t, entries)} {
		if strings.Contains(text, "forged") || strings.ContainsAny(text, "\r\x1b") {
			t.Errorf("the log has what the client sent: %q", text)
		}
	}
}

// mustJSON returns a value as JSON.
func mustJSON(t testing.TB, value any) string {
	t.Helper()
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// With an auth file, the access log names the caller.
func TestAccessLogNamesTheCaller(t *testing.T) {
	t.Parallel()
	g := start(t, withAuth(t, clerkFile, "ann", "bob"))
	put(t, g.shop(t), "orders.1", "v")
	g.get(t, "/buckets/shop/keys/orders.1", bearer("ann")).is(t, 200)
	g.get(t, "/buckets/shop/keys/orders.1", bearer("nobody")).is(t, 401)
	g.watch(t, "/buckets/shop/watch?filter=orders.1", bearer("ann")).close()
	eventually(t, "all is logged", func() bool {
		return strings.Count(g.log.String(), `"kind":"token","caller":"ann"`) == 2 &&
			strings.Count(g.log.String(), `"message":"request"`) == 3
	})
	open := start(t)
	open.get(t, "/livez").is(t, 200)
	eventually(t, "it is logged", func() bool { return open.log.String() != "" })
	if strings.Contains(open.log.String(), `"caller"`) {
		t.Errorf("without an auth file the log has %s", open.log)
	}
}
