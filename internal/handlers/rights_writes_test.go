package handlers_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
)

// These are the tests of what callers with rights to a part of a bucket change of it.

// writers is an auth file whose callers may write: pat to put below a., del to delete and list
// there, ann to do everything there, and op to do everything.
const writers = `
roles:
  put: [{ bucket: shop, keys: ["a.>"], can: [put] }]
  del: [{ bucket: shop, keys: ["a.>"], can: [delete, list] }]
  all: [{ bucket: shop, keys: ["a.>"], can: [read, write] }]
  mirror: [{ bucket: mirror, can: [read, write] }]
  op: [{ bucket: "*", can: [admin] }]
tokens:
  - { name: pat, sha256: %s, roles: [put] }
  - { name: del, sha256: %s, roles: [del] }
  - { name: ann, sha256: %s, roles: [all] }
  - { name: mia, sha256: %s, roles: [mirror] }
  - { name: moe, sha256: %s, roles: [mirror, all] }
  - { name: op, sha256: %s, roles: [op] }
`

// startWriters starts a gateway with the callers of writers, and the bucket shop.
func startWriters(t testing.TB) (*gateway, jetstream.KeyValue) {
	t.Helper()
	g := start(t, withAuth(t, writers, "pat", "del", "ann", "mia", "moe", "op"))
	kv := g.shop(t)
	g.changeStream(t, "shop", func(c *jetstream.StreamConfig) { c.AllowAtomicPublish = true })
	return g, kv
}

func TestWriteTellsNoMoreThanItsOutcome(t *testing.T) {
	t.Parallel()
	g, kv := startWriters(t)
	put(t, kv, "a.1", "v")
	put(t, kv, "a.2", "v")
	deleteKey(t, kv, "a.2")
	const target = "/buckets/shop/keys/a."
	refused := g.do(t, "PUT", target+"1", "w", as("pat"), "If-None-Match: *")
	document := refused.problem(t, 412, "revision-mismatch")
	if document["current_revision"] != nil || refused.tag() != "" {
		t.Errorf("a refused condition tells %v, with the tag %s", document, refused.tag())
	}
	// Those who may get the key are told what is there.
	refused = g.do(t, "PUT", target+"1", "w", as("ann"), "If-None-Match: *")
	if document := refused.problem(t, 412, "key-exists"); refused.tag() == "" ||
		fmt.Sprint(document["current_revision"]) != "1" {
		t.Errorf("the tag is %q, and the problem %v", refused.tag(), document)
	}
	for _, key := range []string{"2", "3"} {
		gone := g.do(t, "DELETE", target+key, nil, as("del"))
		gone.problem(t, 404, "key-not-found")
		gone.has(t, "ETag", "").has(t, "KV-Revision", "").has(t, "KV-Operation", "")
		g.do(t, "DELETE", target+key, nil, as("del"), `If-Match: "7"`).
			problem(t, 412, "revision-mismatch")
	}
	created := g.do(t, "PUT", target+"4", "v", as("pat"), `If-None-Match: "77"`).is(t, 200)
	created.has(t, "Location", "")
	g.do(t, "PUT", target+"5", "v", as("pat"), "If-None-Match: *").is(t, 201)
	g.do(t, "PATCH", target+"1", `{}`, as("pat"), mergeType).problem(t, 403, "forbidden")
}

func TestIdempotencyKeyBelongsToItsCaller(t *testing.T) {
	t.Parallel()
	g, _ := startWriters(t)
	once := `Idempotency-Key: "once"`
	first := g.do(t, "PUT", "/buckets/shop/keys/a.1", "v", as("pat"), once).is(t, 200)
	again := g.do(t, "PUT", "/buckets/shop/keys/a.1", "v", as("pat"), once).is(t, 200)
	other := g.do(t, "PUT", "/buckets/shop/keys/a.1", "v", as("ann"), once).is(t, 200)
	if first.revision(t) != again.revision(t) || other.revision(t) == first.revision(t) {
		t.Errorf("revisions are %d, %d again, and %d of another caller",
			first.revision(t), again.revision(t), other.revision(t))
	}
}

func TestEachOperationOfATransactionNeedsItsRight(t *testing.T) {
	t.Parallel()
	g, kv := startWriters(t)
	put(t, kv, "a.1", "v")
	put(t, kv, "b.1", "v")
	before := g.messages(t, "shop")
	for _, c := range []struct {
		caller, operations string
		index              string
	}{
		{"pat", `{"op":"put","key":"a.2","text":"v"},{"op":"put","key":"b.2","text":"v"}`, "1"},
		{"pat", `{"op":"put","key":"a.2","text":"v"},{"op":"delete","key":"a.1"}`, "1"},
		{"pat", `{"op":"put","key":"a.2","text":"v"},` +
			`{"op":"check","key":"a.1","if_revision":1}`, "1"},
		{"ann", `{"op":"check","key":"b.1","if_revision":2},` +
			`{"op":"put","key":"a.2","text":"v"}`, "0"},
		{"ann", `{"op":"put","key":"a.2","text":"v"},{"op":"purge","key":"b.1"}`, "1"},
	} {
		sent := g.wire.requests(func() {
			document := g.do(t, "POST", "/buckets/shop/transactions",
				`{"operations":[`+c.operations+`]}`, jsonType, as(c.caller)).
				problem(t, 403, "forbidden")
			if fmt.Sprint(document["index"]) != c.index {
				t.Errorf("%s: the refused operation is %v, want %s", c.operations,
					document["index"], c.index)
			}
		})
		if sent != 0 {
			t.Errorf("%s: %d messages were sent", c.operations, sent)
		}
	}
	g.wantUnchanged(t, "shop", before)
	// A condition of a put that does not hold names no key that the caller may not get.
	failed := g.do(t, "POST", "/buckets/shop/transactions", `{"operations":[`+
		`{"op":"put","key":"a.1","text":"v","if_absent":true},`+
		`{"op":"put","key":"a.2","text":"v"}]}`, jsonType, as("pat")).
		problem(t, 412, "transaction-failed")
	if list, ok := failed["failed"].([]any); !ok || len(list) != 0 || failed["retry"] != nil {
		t.Errorf("the failed operations are %v, retry %v", failed["failed"], failed["retry"])
	}
}

func TestEachLineOfAnImportNeedsItsRight(t *testing.T) {
	t.Parallel()
	g, kv := startWriters(t)
	put(t, kv, "a.1", "v")
	body := `{"key":"a.2","text":"w"}` + "\n" + `{"key":"b.1","text":"w"}` + "\n" +
		`{"key":"A.1","text":"w"}` + "\n" + `{"key":"a.1","text":"w"}` + "\n"
	a := g.do(t, "POST", "/buckets/shop/entries?mode=create", body, lineType, as("pat")).is(t, 200)
	imported := readImport(t, linesOf(t, a))
	imported.wantDone(t, 1, 3)
	imported.wantFailed(t, map[int]string{2: "forbidden", 3: "forbidden", 4: "revision-mismatch"})
	if strings.Contains(string(a.body), "current_revision") {
		t.Errorf("the report tells what the key has: %s", a.body)
	}
	wantNative(t, kv, "a.2", "w")
	g.get(t, "/buckets/shop/keys/b.1", as("op")).problem(t, 404, "key-not-found")
	g.do(t, "POST", "/buckets/shop/entries", body, lineType, as("del")).problem(t, 403, "forbidden")
	g.do(t, "POST", "/buckets/none/entries", body, lineType, as("pat")).problem(t, 403, "forbidden")
}

func TestDeletionByFilterStaysInTheReach(t *testing.T) {
	t.Parallel()
	g, kv := startWriters(t)
	for _, key := range []string{"a.1", "a.2", "ab.1", "a"} {
		put(t, kv, key, "v")
	}
	before := g.messages(t, "shop")
	for _, c := range [][2]string{
		{"del", "filter=>"}, {"del", "filter=*.1"}, {"del", "filter=a.>&filter=ab.>"},
		{"del", "filter=a.1&filter=b&dry_run=true"}, {"del", "filter=a"}, {"pat", "filter=a.>"},
		{"mia", "filter=a.>"},
	} {
		sent := g.wire.requests(func() {
			g.do(t, "DELETE", "/buckets/shop/keys?"+c[1], nil, as(c[0])).
				problem(t, 403, "forbidden")
		})
		if sent != 0 {
			t.Errorf("%s: %d messages were sent", c, sent)
		}
	}
	g.wantUnchanged(t, "shop", before)
	done := g.do(t, "DELETE", "/buckets/shop/keys?filter=a.>", nil, as("del")).is(t, 200).object(t)
	if fmt.Sprint(done["deleted"]) != "2" {
		t.Errorf("deleted %v", done)
	}
	wantNative(t, kv, "ab.1", "v")
}

func TestSkippedKeysAreNamedToThoseWhoMayGetThem(t *testing.T) {
	t.Parallel()
	for caller, want := range map[string][]string{"ann": {"a.1"}, "del": {}} {
		g, kv := startWriters(t)
		put(t, kv, "a.1", "v")
		put(t, kv, "a.2", "v")
		// Another writer is faster: it changes a key between the listing and its marker.
		var once bool
		g.wire.onSending(func(data []byte) {
			if !once && strings.Contains(string(data), "HPUB $KV.shop.a.1 ") {
				once = true
				put(t, kv, "a.1", "w")
			}
		})
		done := g.do(t, "DELETE", "/buckets/shop/keys?filter=a.>", nil, as(caller)).object(t)
		g.wire.onSending(nil)
		if got := stringsOf(done["skipped"]); !once || !slices.Equal(got, want) ||
			fmt.Sprint(done["deleted"]) != "1" {
			t.Errorf("%s is told %v, want the skipped %q", caller, done, want)
		}
	}
}

func TestWritesOfAMirrorNeedTheRightInItsOrigin(t *testing.T) {
	t.Parallel()
	g, kv := startWriters(t)
	put(t, kv, "a.1", "v")
	put(t, kv, "b.1", "v")
	g.do(t, "PUT", "/buckets/mirror", `{"mirror":{"name":"shop"}}`, jsonType, as("op")).is(t, 201)
	eventually(t, "the mirror has the entries", func() bool {
		return g.get(t, "/buckets/mirror/keys/b.1", as("mia")).status == http.StatusOK
	})
	before := g.messages(t, "shop")
	for _, c := range []struct{ caller, key string }{
		{"mia", "a.1"}, {"mia", "b.1"}, {"moe", "b.1"},
	} {
		target := "/buckets/mirror/keys/" + c.key
		g.do(t, "PUT", target, "w", as(c.caller)).problem(t, 403, "forbidden")
		g.do(t, "PATCH", target, "{}", mergeType, as(c.caller)).problem(t, 403, "forbidden")
		g.do(t, "DELETE", target, nil, as(c.caller)).problem(t, 403, "forbidden")
		g.do(t, "DELETE", "/buckets/mirror/keys?filter="+c.key, nil, as(c.caller)).
			problem(t, 403, "forbidden")
		g.do(t, "POST", "/buckets/mirror/transactions",
			`{"operations":[{"op":"put","key":"`+c.key+`","text":"w"}]}`, jsonType, as(c.caller)).
			problem(t, 403, "forbidden")
		report := readImport(t, linesOf(t, g.do(t, "POST", "/buckets/mirror/entries",
			`{"key":"`+c.key+`","text":"w"}`, lineType, as(c.caller)).is(t, 200)))
		report.wantFailed(t, map[int]string{1: "forbidden"})
	}
	g.wantUnchanged(t, "shop", before)
	g.do(t, "PUT", "/buckets/mirror/keys/a.1", "w", as("moe")).is(t, 200)
	eventually(t, "the origin has it", func() bool { // The mirror may answer the native client.
		e, err := kv.Get(t.Context(), "a.1")
		return err == nil && string(e.Value()) == "w"
	})
}
