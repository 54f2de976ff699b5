package handlers_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
)

// A mistake in a body is reported with its place, and nothing is sent to NATS.
func TestTransactionBodyErrorsNameTheirPlace(t *testing.T) {
	t.Parallel()
	g := start(t)
	kv := g.ledger(t)
	put(t, kv, "a", "v")
	before := g.messages(t, "ledger")
	ok := `{"op":"put","key":"ok","value":1},`
	many := strings.Repeat(`{"op":"put","key":"k","value":1},`, 1000)
	for _, tc := range []struct{ operations, code, pointer, index string }{
		{``, "invalid-body", "/operations", "<nil>"},
		{`1`, "invalid-body", "/operations/0", "0"},
		{ok + `[]`, "invalid-body", "/operations/1", "1"},
		{ok + `{"key":"a"}`, "invalid-body", "/operations/1", "1"},
		{ok + `{"op":"get","key":"a"}`, "invalid-body", "/operations/1/op", "1"},
		{ok + `{"op":"PUT","key":"a","value":1}`, "invalid-body", "/operations/1/op", "1"},
		{ok + `{"op":null,"key":"a","value":1}`, "invalid-body", "/operations/1/op", "1"},
		{ok + `{"op":"put","value":1}`, "invalid-body", "/operations/1", "1"},
		{ok + `{"op":"put","key":7,"value":1}`, "invalid-body", "/operations/1/key", "1"},
		{ok + `{"op":"put","key":"a*","value":1}`, "invalid-key", "<nil>", "1"},
		{ok + `{"op":"put","key":"a..b","value":1}`, "invalid-key", "<nil>", "1"},
		{ok + `{"op":"put","key":"` + strings.Repeat("k", 1025) + `","value":1}`, "invalid-key",
			"<nil>", "1"},
		{ok + `{"op":"put","key":"a"}`, "invalid-body", "/operations/1", "1"},
		{ok + `{"op":"put","key":"a","value":1,"text":"1"}`, "invalid-body", "/operations/1", "1"},
		{ok + `{"op":"put","key":"a","value":null,"base64":""}`, "invalid-body", "/operations/1",
			"1"},
		{ok + `{"op":"put","key":"a","text":1}`, "invalid-body", "/operations/1/text", "1"},
		{ok + `{"op":"put","key":"a","text":null}`, "invalid-body", "/operations/1/text", "1"},
		{ok + `{"op":"put","key":"a","text":"\ud800"}`, "invalid-body", "/operations/1/text", "1"},
		{ok + `{"op":"put","key":"a","text":"\ufffd\ud800"}`, "invalid-body", "/operations/1/text",
			"1"},
		{ok + `{"op":"put","key":"a","text":"\\ufffd\udc00\ud800"}`, "invalid-body",
			"/operations/1/text", "1"},
		{ok + `{"op":"put","key":"a","base64":"AP8"}`, "invalid-body", "/operations/1/base64", "1"},
		{ok + `{"op":"put","key":"a","base64":"AP9="}`, "invalid-body", "/operations/1/base64",
			"1"},
		{ok + `{"op":"put","key":"a","value":1,"content_type":"json"}`, "invalid-body",
			"/operations/1/content_type", "1"},
		{ok + `{"op":"put","key":"a","value":1,"content_type":"image/*"}`, "invalid-body",
			"/operations/1/content_type", "1"},
		{ok + `{"op":"put","key":"a","value":1,"content_type":"*/*"}`, "invalid-body",
			"/operations/1/content_type", "1"},
		{ok + `{"op":"put","key":"a","value":1,"content_type":"application/*+json"}`,
			"invalid-body", "/operations/1/content_type", "1"},
		{ok + `{"op":"put","key":"a","value":1,"content_type":"a/b\r\nNats-Rollup: all"}`,
			"invalid-body", "/operations/1/content_type", "1"},
		{ok + `{"op":"put","key":"a","value":1,"content_type":"a/` + strings.Repeat("b", 1024) +
			`"}`, "invalid-body", "/operations/1/content_type", "1"},
		{ok + `{"op":"put","key":"a","value":1,"if_revision":"1"}`, "invalid-body",
			"/operations/1/if_revision", "1"},
		{ok + `{"op":"put","key":"a","value":1,"if_revision":-1}`, "invalid-body",
			"/operations/1/if_revision", "1"},
		{ok + `{"op":"put","key":"a","value":1,"if_revision":1.5}`, "invalid-body",
			"/operations/1/if_revision", "1"},
		{ok + `{"op":"put","key":"a","value":1,"if_revision":null}`, "invalid-body",
			"/operations/1/if_revision", "1"},
		{ok + `{"op":"put","key":"a","value":1,"if_revision":9007199254740992}`, "invalid-body",
			"/operations/1/if_revision", "1"},
		{ok + `{"op":"put","key":"a","value":1,"if_absent":1}`, "invalid-body",
			"/operations/1/if_absent", "1"},
		{ok + `{"op":"put","key":"a","value":1,"if_absent":true,"if_revision":1}`, "invalid-body",
			"/operations/1/if_absent", "1"},
		{ok + `{"op":"delete","key":"a","if_absent":true}`, "invalid-body",
			"/operations/1/if_absent", "1"},
		{ok + `{"op":"delete","key":"a","value":1}`, "invalid-body", "/operations/1", "1"},
		{ok + `{"op":"purge","key":"a","content_type":"a/b"}`, "invalid-body", "/operations/1",
			"1"},
		{ok + `{"op":"delete","key":"a","ttl":"1m"}`, "invalid-body", "/operations/1/ttl", "1"},
		{ok + `{"op":"put","key":"a","value":1,"ttl":"999ms"}`, "invalid-body", "/operations/1/ttl",
			"1"},
		{ok + `{"op":"put","key":"a","value":1,"ttl":60}`, "invalid-body", "/operations/1/ttl",
			"1"},
		{ok + `{"op":"put","key":"a","value":1,"ttl":"never"}`, "invalid-body", "/operations/1/ttl",
			"1"},
		{ok + `{"op":"check","key":"a"}`, "invalid-body", "/operations/1", "1"},
		{ok + `{"op":"check","key":"a","if_absent":false}`, "invalid-body", "/operations/1", "1"},
		{ok + `{"op":"put","key":"a","value":1,"unknown":1}`, "invalid-body",
			"/operations/1/unknown", "1"},
		{ok + `{"op":"put","key":"a","value":1,"Value":1}`, "invalid-body", "/operations/1/Value",
			"1"},
		{ok + `{"op":"put","key":"a","value":1,"a~/b":1}`, "invalid-body", "/operations/1/a~0~1b",
			"1"},
		{ok + `{"op":"put","key":"a","value":1,"key":"b"}`, "invalid-body", "/operations/1/key",
			"1"},
		{ok + `{"op":"put","key":"a","value":1,"value":1}`, "invalid-body", "/operations/1/value",
			"1"},
		{ok + `{"op":"put","key":"a","value":` + strings.Repeat("[", 10_001) +
			strings.Repeat("]", 10_001) + `}`, "invalid-body", "/operations/1/value", "1"},
		{ok + `{"op":"put","key":"a","value":01}`, "invalid-body", "/operations/1", "1"},
		{many + `{"op":"put","key":"k","value":1}`, "invalid-body", "/operations/1000", "1000"},
		// These mistakes show only in the whole of the operations.
		{ok + `{"op":"put","key":"ok","value":1}`, "invalid-body", "/operations/1", "1"},
		{ok + `{"op":"check","key":"ok","if_revision":1}`, "invalid-body", "/operations/1", "1"},
		{`{"op":"check","key":"a","if_revision":1}`, "invalid-body", "/operations/0", "0"},
		{`{"op":"put","key":"b","value":1,"if_absent":true},` +
			`{"op":"check","key":"a","if_revision":1}`, "invalid-body", "/operations/1", "1"},
		{ok + `{"op":"check","key":"a","if_revision":1},{"op":"check","key":"b","if_revision":0}`,
			"invalid-body", "/operations/2", "2"},
	} {
		p := g.transact(t, tc.operations).problem(t, 400, tc.code)
		if fmt.Sprint(p["index"]) != tc.index || fmt.Sprint(p["pointer"]) != tc.pointer {
			t.Errorf("%.200s: index %v, pointer %v, want %s, %s",
				tc.operations, p["index"], p["pointer"], tc.index, tc.pointer)
		}
		if detail := fmt.Sprint(p["detail"]); tc.index != "<nil>" &&
			!strings.HasPrefix(detail, "Operation "+tc.index+": ") || len(detail) > 400 {
			t.Errorf("%.200s: detail %s", tc.operations, detail)
		}
	}
	g.wantUnchanged(t, "ledger", before)
}

// These requests are wrong around the operations.
func TestTransactionEnvelopeIsChecked(t *testing.T) {
	t.Parallel()
	g := start(t)
	g.ledger(t)
	before := g.messages(t, "ledger")
	one := `{"op":"put","key":"a","value":1}`
	target := "/buckets/ledger/transactions"
	for _, body := range []any{nil, "", "{", "[]", "null", "{}", `{"operations":null}`,
		`{"operations":{}}`, `{"operations":[` + one + `]`, `{"operations":[` + one,
		`{"operations":[` + one + `],"operations":[` + one + `]}`,
		`{"operations":[` + one + `],"dry_run":true}`, `{"operations":[` + one + `]}{}`,
		`{"operations":[` + one + `]} x`,
		"{\"operations\":[{\"op\":\"put\",\"key\":\"a\",\"text\":\"\xff\"}]}",
		`{"operations":[` + one + `,]}`,
		`{"` + strings.Repeat("x", 100_000) + `":1}`, strings.Repeat(`{"operations":`, 10_000),
		strings.Repeat(`[`, 10_000)} {
		g.do(t, "POST", target, body, jsonType).problem(t, 400, "invalid-body")
	}
	whole := `{"operations":[` + one + `]}`
	for _, header := range []string{
		"X: y", "Content-Type: text/plain", "Content-Type: application/x-www-form-urlencoded",
		mergeType, "Content-Type: application/jsonx",
	} {
		g.do(t, "POST", target, whole, header).problem(t, 415, "unsupported-media-type")
	}
	g.do(t, "POST", target, whole, jsonType, "Origin: https://example.com").
		problem(t, 403, "cross-site")
	g.do(t, "POST", target, whole, jsonType, "Sec-Fetch-Site: cross-site").
		problem(t, 403, "cross-site")
	g.do(t, "POST", target, whole, jsonType, `If-Match: "1"`).problem(t, 400, "invalid-header")
	g.do(t, "POST", target+"?dry_run=true", whole, jsonType).problem(t, 400, "unknown-parameter")
	g.do(t, "POST", "/buckets/nowhere/transactions", whole, jsonType).
		problem(t, 404, "bucket-not-found")
	g.do(t, "POST", "/buckets/a.b/transactions", whole, jsonType).
		problem(t, 400, "invalid-bucket-name")
	for _, key := range []string{"", `""`, `"a`, `a"b"`, "a\\b", strings.Repeat("k", 256), "\xe9"} {
		g.do(t, "POST", target, whole, jsonType, "Idempotency-Key: "+key).
			problem(t, 400, "invalid-header")
	}
	g.do(t, "POST", target, whole, jsonType, "Idempotency-Key: a", "Idempotency-Key: b").
		problem(t, 400, "invalid-header")
	g.wantUnchanged(t, "ledger", before)
	g.do(t, "POST", target, whole, "Content-Type: application/json; charset=utf-8").is(t, 200)
	g.do(t, "POST", target, chunked(" \n"+whole+"\n "), jsonType).is(t, 200)
}

// A limit is reported before anything is sent to NATS, and is exact: a value that just fits is
// stored.
func TestTransactionLimitsAreExact(t *testing.T) {
	t.Parallel()
	g := start(t)
	g.ledger(t, func(c *jetstream.KeyValueConfig) { c.MaxValueSize = 1000 })
	target := "/buckets/ledger/transactions"
	before := g.messages(t, "ledger")
	long := func(n int) string {
		return fmt.Sprintf(
			`{"op":"put","key":"ok","value":1},{"op":"put","key":"a","text":"%s","if_revision":0}`,
			strings.Repeat("v", n))
	}
	p := g.transact(t, long(1000)).problem(t, 413, "value-too-large")
	var room int
	fmt.Sscan(fmt.Sprint(p["max_value_bytes"]), &room)
	if fmt.Sprint(p["index"]) != "1" || room < 700 || room > 900 {
		t.Errorf("%v", p)
	}
	g.transact(t, long(room+1)).problem(t, 413, "value-too-large")
	big := `{"operations":[{"op":"put","key":"a","text":"` + strings.Repeat("v", 16<<20) + `"}]}`
	g.do(t, "POST", target, big, jsonType).problem(t, 413, "body-too-large")
	g.do(t, "POST", target, chunked(big), jsonType).problem(t, 413, "body-too-large")
	g.do(t, "POST", target, strings.Repeat(" ", 64<<20), jsonType).problem(t, 413, "body-too-large")
	g.wantUnchanged(t, "ledger", before)
	g.transact(t, long(room)).is(t, 200)

	var operations []string
	for i := range 1000 {
		operations = append(operations, fmt.Sprintf(`{"op":"put","key":"k%d","value":%d}`, i, i))
	}
	done := g.transact(t, strings.Join(operations, ",")).transacted(t)
	if len(done.Results) != 1000 || done.Results[999].Revision != done.Revision ||
		done.Results[0].Revision != done.Revision-999 {
		t.Errorf("%d results, revision %d", len(done.Results), done.Revision)
	}
}

// A body of nearly 16 MiB with values of nearly the server's limit is stored.
func TestLargestTransactionIsStored(t *testing.T) {
	t.Parallel()
	g := start(t)
	kv := g.ledger(t)
	var operations []string
	value := strings.Repeat("v", 1<<20-500)
	for i := range 15 {
		operations = append(operations,
			fmt.Sprintf(`{"op":"put","key":"k%d","text":"%s"}`, i, value))
	}
	g.transact(t, strings.Join(operations, ",")).is(t, 200)
	wantNative(t, kv, "k14", value)
}

// Bodies that are begun but not sent take no memory, however large they are declared.
func TestBegunTransactionsHoldNothing(t *testing.T) {
	t.Parallel()
	g := start(t)
	g.ledger(t)
	post := "POST /buckets/ledger/transactions HTTP/1.1\r\nHost: localhost\r\n" +
		"Content-Type: application/json\r\n"
	for _, length := range []string{"Content-Length: 16777216", "Transfer-Encoding: chunked"} {
		s := g.session(t)
		begin(t, s.conn, post+length+"\r\nExpect: 100-continue\r\n\r\n")
		if line, err := s.in.ReadString('\n'); err != nil || line != "HTTP/1.1 100 Continue\r\n" {
			t.Fatal(line, err)
		}
	}
	g.transact(t, `{"op":"put","key":"a","value":1}`).is(t, 200)
	g.transact(t, `{"op":"put","key":"a","text":"`+strings.Repeat("v", 64<<10)+`"}`).is(t, 200)
	g.do(t, "PUT", "/buckets/ledger/keys/a", "v").is(t, 200)
	for _, bound := range []string{"transaction-bodies", "body-memory"} {
		if used := g.metric(t, "kvgw_bound_used", map[string]string{"bound": bound}); used != 0 {
			t.Errorf("%s: %v in use", bound, used)
		}
	}
}
