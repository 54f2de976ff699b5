package handlers_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// A long poll ends with the right to get its key. Those of other callers go on.
func TestLongPollEndsWithTheRightsOfItsCaller(t *testing.T) {
	t.Parallel()
	soon := time.Now().Add(slowdown * time.Second).UTC().Format(time.RFC3339Nano)
	g := startGuarded(t, []string{"gone > get", "less > get", "stays > get",
		"short > get " + soon})
	kv := g.shop(t)
	put(t, kv, "a", "1")
	const target = "/buckets/shop/keys/a"
	tag := g.get(t, target, bearer("stays")).is(t, 200).header.Get("Etag")
	polls := make(map[string]chan *answer)
	for _, name := range []string{"gone", "less", "stays", "short"} {
		answered := make(chan *answer, 1)
		polls[name] = answered
		go func() {
			answered <- g.get(t, target, bearer(name), "If-None-Match: "+tag,
				"Prefer: wait=60")
		}()
	}
	eventually(t, "all wait", func() bool { return g.metric(t, "kvgw_subscriptions", nil) == 4 })
	(<-polls["short"]).problem(t, 401, "unauthenticated")
	began := time.Now()
	g.change(t, "less b get", "stays > get")
	(<-polls["gone"]).problem(t, 401, "unauthenticated")
	(<-polls["less"]).problem(t, 403, "forbidden")
	within(t, began)
	put(t, kv, "a", "2")
	(<-polls["stays"]).is(t, 200).hasBody(t, "2")
}

// startReading sends a GET on a connection, and reads the head of the answer and its first bytes.
func (g *guarded) startReading(t *testing.T, target, caller string) io.Reader {
	t.Helper()
	conn := g.dial(t)
	begin(t, conn, "GET "+target+" HTTP/1.1\r\nHost: localhost\r\n"+
		"Accept: application/x-ndjson\r\n"+bearer(caller)+"\r\n\r\n")
	response, err := http.ReadResponse(bufio.NewReaderSize(conn, 512), nil)
	if err != nil || response.StatusCode != 200 {
		t.Fatalf("%+v, %v", response, err)
	}
	if _, err := io.ReadFull(response.Body, make([]byte, 1000)); err != nil {
		t.Fatal(err)
	}
	return response.Body
}

// An export ends with the rights of its caller: with a line that says why, or, if its client does
// not read, by its connection. Those of other callers go on to their end.
func TestExportEndsWithTheRightsOfItsCaller(t *testing.T) {
	t.Parallel()
	g := startGuarded(t, []string{"ann > read", "bob > read"},
		func(s *setup) { s.socketBuffers = 8 << 10 })
	kv := g.bucket(t, jetstream.KeyValueConfig{Bucket: "shop", Storage: jetstream.MemoryStorage})
	const keys = 100
	for i := range keys {
		put(t, kv, fmt.Sprint("k", i), strings.Repeat("v", 100_000))
	}
	const export = "/buckets/shop/entries"
	reads, goesOn := g.startReading(t, export, "ann"), g.startReading(t, export, "bob")
	g.startReading(t, export, "ann") // nothing more is read of this
	page := g.startReading(t, export+"?limit=50", "ann")
	began := time.Now()
	g.change(t, "bob > read")
	for name, body := range map[string]io.Reader{"export": reads, "page": page} {
		rest, err := io.ReadAll(body)
		lines := strings.Split(strings.TrimSpace(string(rest)), "\n")
		if last := lines[len(lines)-1]; err != nil ||
			!strings.HasPrefix(last, `{"problem":{`) || !strings.Contains(last, "unauthenticated") {
			t.Errorf("%s: ended with %.200q, %v", name, last, err)
		}
		if len(lines) > 30 {
			t.Errorf("%s: %d more lines were sent", name, len(lines))
		}
	}
	eventually(t, "three answers have ended", func() bool { return len(g.accessLog(t)) == 3 })
	within(t, began)
	rest, err := io.ReadAll(goesOn)
	if n := strings.Count(string(rest), "\n"); err != nil || n != keys+1 ||
		!strings.Contains(string(rest), `{"end":true`) {
		t.Errorf("%d lines of another caller, %v", n, err)
	}
}

// An import under way is checked line by line with the rights that its caller has then. When it has
// none any more, the import ends, and says what was stored.
func TestImportIsCheckedWithTheRightsOfNow(t *testing.T) {
	t.Parallel()
	g := startGuarded(t, []string{"ann > write"})
	kv := g.shop(t)
	body, in := pipeBody(t)
	answered := make(chan *http.Response, 1)
	go func() {
		r, err := http.NewRequestWithContext(t.Context(), "POST",
			"http://"+g.address+"/buckets/shop/entries?results=all", body)
		if err != nil {
			panic(err)
		}
		r.Header.Set("Authorization", "Bearer "+tokenOf("ann"))
		r.Header.Set("Content-Type", "application/x-ndjson")
		response, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Error(err)
			close(answered)
			return
		}
		answered <- response
	}()
	line := func(key string) {
		t.Helper()
		if _, err := fmt.Fprintf(in, `{"key":%q,"value":1}`+"\n", key); err != nil {
			t.Fatal(err)
		}
	}
	line("a.1")
	response := <-answered
	if response == nil {
		t.Fatal("no answer")
	}
	defer response.Body.Close()
	report := bufio.NewScanner(response.Body)
	wantLine := func(parts ...string) {
		t.Helper()
		if !report.Scan() {
			t.Fatalf("no line, %v", report.Err())
		}
		for _, part := range parts {
			if !strings.Contains(report.Text(), part) {
				t.Errorf("line %s lacks %s", report.Text(), part)
			}
		}
	}
	wantLine(`"line":1`, `"revision"`)
	g.change(t, "ann b.> write")
	line("a.2")
	wantLine(`"line":2`, "/forbidden")
	line("b.1")
	wantLine(`"line":3`, `"revision"`)
	began := time.Now()
	g.change(t, "bob > write")
	wantLine(`"progress":3`)
	wantLine("/unauthenticated", "The import ended early", `"stored":2`, `"failed":1`)
	within(t, began)
	if report.Scan() {
		t.Errorf("%s comes after the end", report.Text())
	}
	if _, err := kv.Get(t.Context(), "a.2"); err == nil {
		t.Error("a line without the right was stored")
	}
}

// An import without any right that is left ends also while its client sends nothing, and while it
// does not read.
func TestIdleImportEndsWithTheRightsOfItsCaller(t *testing.T) {
	t.Parallel()
	g := startGuarded(t, []string{"ann > write", "bob > write"},
		func(s *setup) { s.socketBuffers = 8 << 10 })
	g.bucket(t, jetstream.KeyValueConfig{Bucket: "shop", Storage: jetstream.MemoryStorage})
	idle := func(caller, lines string) net.Conn {
		conn := g.dial(t)
		begin(t, conn, "POST /buckets/shop/entries?results=all HTTP/1.1\r\nHost: localhost\r\n"+
			"Content-Type: application/x-ndjson\r\nContent-Length: 100000000\r\n"+
			bearer(caller)+"\r\n\r\n")
		go func() { _, _ = io.WriteString(conn, lines) }() // It is held back when nobody reads.
		return conn
	}
	first := idle("ann", `{"key":`)
	second := idle("ann", `{"key":"a","value":1}`+"\n")
	idle("ann", strings.Repeat("no entry\n", 50_000))
	idle("bob", `{"key":"b","value":1}`+"\n")
	eventually(t, "the entries are stored", func() bool { return g.messages(t, "shop")[1] == 2 })
	began := time.Now()
	g.change(t, "ann > get", "bob > write")
	s := g.sessionOn(first)
	s.answer(t, "POST", "/buckets/shop/entries", nil).problem(t, 403, "forbidden")
	g.sessionOn(second).answer(t, "POST", "/buckets/shop/entries", nil).is(t, 200)
	eventually(t, "three imports have ended", func() bool { return len(g.accessLog(t)) == 3 })
	within(t, began)
}

// The rights of a caller whose body is still coming are those that it has when the body has come.
// Without any it does not keep the gateway waiting.
func TestBodyEndsWithTheRightsOfItsCaller(t *testing.T) {
	t.Parallel()
	const transaction = `{"operations":[{"op":"put","key":"a","value":1}]}`
	for _, test := range []struct{ method, target, contentType, body string }{
		{"PUT", "/buckets/shop/keys/a", "text/plain", strings.Repeat("v", 10_000)},
		{"POST", "/buckets/shop/transactions", "application/json", transaction},
	} {
		t.Run(test.method, func(t *testing.T) {
			t.Parallel()
			g := startGuarded(t, []string{"gone > write", "less > write", "other > write",
				"stays > write"})
			g.shop(t)
			g.changeStream(t, "shop", func(c *jetstream.StreamConfig) {
				c.AllowAtomicPublish = true
			})
			sessions := make(map[string]*session)
			half := len(test.body) / 2
			for _, name := range []string{"gone", "less", "other", "stays"} {
				conn := g.dial(t)
				begin(t, conn, fmt.Sprintf("%s %s HTTP/1.1\r\nHost: localhost\r\n"+
					"Content-Type: %s\r\nContent-Length: %d\r\n%s\r\n\r\n%s", test.method,
					test.target, test.contentType, len(test.body), bearer(name),
					test.body[:half]))
				sessions[name] = g.sessionOn(conn)
			}
			eventually(t, "all bodies are read", func() bool {
				return g.metric(t, "kvgw_underway", nil) == 4
			})
			began := time.Now()
			g.change(t, "less > get", "other b write", "stays > write")
			sessions["gone"].answer(t, test.method, test.target, nil).
				problem(t, 401, "unauthenticated")
			sessions["less"].answer(t, test.method, test.target, nil).problem(t, 403, "forbidden")
			within(t, began)
			if test.method == "POST" {
				begin(t, sessions["other"].conn, test.body[half:])
			}
			sessions["other"].answer(t, test.method, test.target, nil).problem(t, 403, "forbidden")
			if n := g.messages(t, "shop")[1]; n != 0 {
				t.Errorf("%d messages were stored", n)
			}
			begin(t, sessions["stays"].conn, test.body[half:])
			sessions["stays"].answer(t, test.method, test.target, nil).is(t, 200)
		})
	}
}

// A deletion by filter ends with the right to delete what it selects, and says how far it has come.
func TestDeletionEndsWithTheRightsOfItsCaller(t *testing.T) {
	t.Parallel()
	for name, rules := range map[string][]string{
		"unauthenticated": {"bob > write"}, "forbidden": {"ann a write,list"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := startGuarded(t, []string{"ann > write,list", "bob > write"})
			const keys = 20_000
			g.bucket(t, jetstream.KeyValueConfig{Bucket: "shop", Storage: jetstream.MemoryStorage})
			body := manyLines(keys)
			g.do(t, "POST", "/buckets/shop/entries", body, bearer("bob"),
				"Content-Type: application/x-ndjson").is(t, 200)
			other := rulesOf(t, rules...)
			var once sync.Once
			g.wire.onSending(func(data []byte) {
				if bytes.Contains(data, []byte("KV-Operation: DEL")) {
					once.Do(func() { g.gate.SetPolicy(other) })
				}
			})
			a := g.do(t, "DELETE", "/buckets/shop/keys?filter=>", nil, bearer("ann"))
			document := a.problem(t, map[string]int{"unauthenticated": 401, "forbidden": 403}[name],
				name)
			if n := asUint(t, document["deleted"]); n == 0 || n == keys {
				t.Errorf("%d keys were deleted", n)
			}
		})
	}
}
