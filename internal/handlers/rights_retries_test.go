package handlers_test

import (
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// retriers is an auth file whose callers may write but not get: pat, and those without a
// credential. Op may do everything.
const retriers = `
roles:
  write: [{ bucket: "*", can: [write] }]
  some: [{ bucket: "*", keys: [a], can: [write] }, { bucket: "*", keys: [b], can: [write, get] }]
  op: [{ bucket: "*", can: [admin] }]
anonymous: [write]
tokens:
  - { name: pat, sha256: %s, roles: [write] }
  - { name: sam, sha256: %s, roles: [some] }
  - { name: op, sha256: %s, roles: [op] }
`

// numbers are in an answer what differs from one request to the next.
var numbers = regexp.MustCompile(`[0-9]+|"instance":"[^"]*"|"epoch":"[^"]*"|"id":"[^"]*"`)

// startRetriers starts a gateway with the callers of retriers, and with the bucket shop.
func startRetriers(t testing.TB) *gateway {
	t.Helper()
	g := start(t, withAuth(t, retriers, "pat", "sam", "op"))
	g.retried(t, "shop")
	return g
}

// retried creates a bucket in which nothing stays that was overwritten.
func (g *gateway) retried(t testing.TB, bucket string) {
	t.Helper()
	g.bucket(t, jetstream.KeyValueConfig{
		Bucket: bucket, History: 1, LimitMarkerTTL: time.Hour,
	})
	g.changeStream(t, bucket, func(c *jetstream.StreamConfig) {
		c.AllowAtomicPublish = true
	})
}

// A caller who may not get a key does not learn from a retry what has become of the key since its
// first request: the answer is the same whatever is stored.
func TestRetryTellsNothingToThoseWhoMayNotGetTheKey(t *testing.T) {
	t.Parallel()
	const key, transactions = "/keys/a", "/transactions"
	const create = `{"op":"put","key":"a","value":1,"if_absent":true},` +
		`{"op":"put","key":"b","value":1}`
	steps := func(s string) string { return `{"operations":[` + s + `]}` }
	g := startRetriers(t)
	var buckets atomic.Int64
	for name, test := range map[string]struct {
		method, target string
		first, again   string
		header         []string
		want           int
	}{
		"put":            {"PUT", key, "one", "one", nil, 200},
		"another put":    {"PUT", key, "one", "two", nil, 200},
		"create":         {"PUT", key, "one", "one", []string{"If-None-Match: *"}, 412},
		"create, by tag": {"PUT", key, "one", "one", []string{`If-Match: "0"`}, 412},
		"create, listed": {"PUT", key, "one", "one", []string{`If-None-Match: "7"`}, 412},
		"delete":         {"DELETE", key, "", "", nil, 404},
		"purge":          {"DELETE", key + "?purge=true", "", "", nil, 404},
		"touch":          {"PATCH", key + "?ttl=1h", "", "", nil, 404},
		"transaction": {"POST", transactions, steps(`{"op":"put","key":"a","value":1}`),
			steps(`{"op":"put","key":"a","value":1}`), []string{jsonType}, 409},
		"another transaction": {"POST", transactions, steps(`{"op":"put","key":"a","value":1}`),
			steps(`{"op":"put","key":"a","value":2}`), []string{jsonType}, 409},
		"transaction that creates": {"POST", transactions,
			steps(create), steps(create), []string{jsonType}, 412},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, caller := range []string{"pat", "sam"} {
				answers := make(map[string][]string)
				for _, between := range []string{"nothing", "a put", "a delete", "both"} {
					// Each has a bucket of its own, whose revisions begin at 1.
					bucket := fmt.Sprintf("b%d", buckets.Add(1))
					g.retried(t, bucket)
					key, target := "/buckets/"+bucket+key, "/buckets/"+bucket+test.target
					if test.want == 404 {
						g.do(t, "PUT", key, "old", as("op")).is(t, 200)
					}
					header := append([]string{as(caller), `Idempotency-Key: "i"`}, test.header...)
					first := g.do(t, test.method, target, test.first, header...)
					if first.status >= 300 {
						t.Fatalf("the first is answered %d %s", first.status, first.body)
					}
					if between == "a put" || between == "both" {
						g.do(t, "PUT", key, "other", as("op")).is(t, 200)
					}
					if between == "a delete" || between == "both" {
						g.do(t, "DELETE", key, nil, as("op"))
					}
					a := g.do(t, test.method, target, test.again, header...).is(t, test.want)
					text := fmt.Sprint(a.status, a.tag() != "", a.header.Get("KV-Revision") != "",
						numbers.ReplaceAllString(string(a.body), ""))
					answers[text] = append(answers[text], between)
				}
				if len(answers) > 1 {
					t.Errorf("the answers to %s differ by what was done since:", caller)
				}
				for text, states := range answers {
					if len(answers) > 1 || strings.Contains(text, `"revision"`) && test.want > 200 {
						t.Errorf("%q: %s", states, text)
					}
				}
			}
		})
	}
}

// A retry of one who may put but not get is still stored once, and answered as the first was.
func TestRetryOfAPutWithoutTheRightToGetIsStoredOnce(t *testing.T) {
	t.Parallel()
	g := startRetriers(t)
	first := g.do(t, "PUT", "/buckets/shop/keys/a", "v", as("pat"), `Idempotency-Key: "i"`)
	again := g.do(t, "PUT", "/buckets/shop/keys/a", "v", as("pat"), `Idempotency-Key: "i"`)
	if first.is(t, 200).revision(t) != again.is(t, 200).revision(t) ||
		g.messages(t, "shop")[1] != 1 {
		t.Errorf("revision %d, and %d again", first.revision(t), again.revision(t))
	}
}

// Callers without a credential cannot find out by a retry what another of them has stored.
func TestAnonymousRetryDoesNotConfirmAGuess(t *testing.T) {
	t.Parallel()
	g := startRetriers(t)
	for _, body := range []string{"secret", "guess", "secret"} {
		g.do(t, "PUT", "/buckets/shop/keys/a", body, `Idempotency-Key: "i"`).
			problem(t, 403, "forbidden")
	}
	g.do(t, "PUT", "/buckets/shop/keys/a", "v").is(t, 200)
}

// What a refused write shows is decided when it is refused, and not before its body has come.
func TestRefusedWriteShowsWhatItsCallerMayGetByThen(t *testing.T) {
	t.Parallel()
	g := startGuarded(t, []string{"ann > put,get", "op > read,write"})
	kv := g.shop(t)
	put(t, kv, "a", "secret")
	conn := g.dial(t)
	begin(t, conn, "PUT /buckets/shop/keys/a HTTP/1.1\r\nHost: localhost\r\nIf-Match: \"99\"\r\n"+
		"Content-Length: 2\r\n"+bearer("ann")+"\r\n\r\nv")
	eventually(t, "the body is read", func() bool {
		return g.metric(t, "kvgw_underway", nil) == 1
	})
	g.change(t, "ann > put")
	if _, err := io.WriteString(conn, "w"); err != nil {
		t.Fatal(err)
	}
	a := g.sessionOn(conn).answer(t, http.MethodPut, "/buckets/shop/keys/a", nil)
	document := a.problem(t, 412, "revision-mismatch")
	if document["current_revision"] != nil || document["epoch"] != nil || a.tag() != "" {
		t.Errorf("a caller without the right to get is told %v, with the tag %s", document, a.tag())
	}
}
