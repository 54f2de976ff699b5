package handlers_test

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"kvgateway/internal/bound"
)

// These are the tests of rights that are lost while a request waits, of which it must not profit.

// changeOnQuestion puts other rules in force when the gateway is about to ask NATS something, so
// that everything that is answered was read after the change.
func (g *guarded) changeOnQuestion(t testing.TB, rules ...string) {
	t.Helper()
	var once sync.Once
	other := rulesOf(t, rules...)
	g.wire.onSending(func(data []byte) {
		if bytes.Contains(data, []byte("$JS.API.")) {
			once.Do(func() { g.gate.SetPolicy(other) })
		}
	})
}

// What was read after the right to see it was gone is not shown, whatever the answer would be.
func TestNothingIsShownThatWasReadAfterTheRightWasLost(t *testing.T) {
	t.Parallel()
	const secret = "secret-value"
	targets := []string{
		"GET /buckets/shop/keys/a", "HEAD /buckets/shop/keys/a",
		"GET /buckets/shop/keys/a?revision=1", "GET /buckets/shop/keys/a?min_revision=1",
		"GET /buckets/shop/keys/large", "GET /buckets/shop/keys/deleted",
		"GET /buckets/shop/keys/never", "GET /buckets/shop/entries/a",
		"GET /buckets/shop/entries", "GET /buckets/shop/entries?limit=1",
		"GET /buckets/shop/entries?key=a", "GET /buckets/shop/keys",
		"GET /buckets/shop/history/a", "GET /buckets/shop/markers", "GET /buckets/shop",
		"GET /buckets",
	}
	for _, accept := range []string{"*/*", "application/x-ndjson"} {
		for _, request := range targets {
			if accept != "*/*" && !strings.Contains(request, "/entries?") &&
				!strings.HasSuffix(request, "/entries") && !strings.HasSuffix(request, "/keys") {
				continue
			}
			t.Run(request+" "+accept, func(t *testing.T) {
				t.Parallel()
				for rules, want := range map[string]int{"op > read": 401, "ann b put": 403} {
					g := startGuarded(t, []string{"ann > admin", "op > read"})
					kv := g.shop(t)
					put(t, kv, "a", secret)
					put(t, kv, "large", strings.Repeat("v", 200_000))
					put(t, kv, "deleted", "v")
					deleteKey(t, kv, "deleted")
					method, target, _ := strings.Cut(request, " ")
					g.do(t, method, target, nil, bearer("ann"), "Accept: "+accept)
					g.changeOnQuestion(t, rules)
					a := g.do(t, method, target, nil, bearer("ann"), "Accept: "+accept)
					if strings.HasSuffix(target, "/buckets/shop") || target == "/buckets" {
						// With some right in the bucket both show something.
						if want == 403 {
							continue
						}
					}
					a.is(t, want)
					if a.header.Get("ETag")+a.header.Get("KV-Revision") != "" ||
						bytes.Contains(a.body, []byte(secret)) {
						t.Errorf("answered %v\n%s", a.header, a.body)
					}
				}
			})
		}
	}
}

// A read that waits for a minimal revision ends with the right to get the key, within a second.
// Those of other callers go on.
func TestReadAtAMinimalRevisionEndsWithTheRightsOfItsCaller(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"keys/a", "entries/a", "entries?key=a", "entries"} {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			g := startGuarded(t, []string{"gone > read", "less > read", "stays > read"})
			kv := g.shop(t)
			put(t, kv, "a", "1")
			target := "/buckets/shop/" + path + "?min_revision=2"
			if strings.Contains(path, "?") {
				target = "/buckets/shop/" + path + "&min_revision=2"
			}
			reads := make(map[string]chan *answer)
			for _, name := range []string{"gone", "less", "stays"} {
				answered := make(chan *answer, 1)
				reads[name] = answered
				go func() { answered <- g.get(t, target, bearer(name), "Prefer: wait=60") }()
			}
			eventually(t, "all wait", func() bool { return g.metric(t, "kvgw_underway", nil) == 3 })
			began := time.Now()
			g.change(t, "less b read", "stays > read")
			(<-reads["gone"]).problem(t, 401, "unauthenticated")
			(<-reads["less"]).problem(t, 403, "forbidden")
			within(t, began)
			put(t, kv, "a", "2")
			(<-reads["stays"]).is(t, 200)
		})
	}
}

// A write that has looked at the key and lost the right before it is sent is not sent.
func TestWriteIsNotSentAfterTheRightWasLost(t *testing.T) {
	t.Parallel()
	for i, test := range []struct {
		method, path, body string
		header             []string
	}{
		{"PUT", "keys/a", "other", []string{"If-Match: *"}},
		{"PUT", "keys/a", "other", []string{`If-None-Match: "7"`}},
		{"PATCH", "keys/a", `{"b":1}`, []string{mergeType}},
		{"DELETE", "keys/a", "", nil},
		{"DELETE", "keys/a?purge=true", "", nil},
		{"POST", "transactions", `{"operations":[` +
			`{"op":"put","key":"b","value":1,"if_absent":true}]}`, []string{jsonType}},
	} {
		t.Run(fmt.Sprint(test.method, i), func(t *testing.T) {
			t.Parallel()
			for rules, want := range map[string]int{"op > read": 401, "ann c write,get": 403} {
				g := startGuarded(t, []string{"ann > write,get", "op > read"})
				kv := g.shop(t)
				g.changeStream(t, "shop", func(c *jetstream.StreamConfig) {
					c.AllowAtomicPublish = true
				})
				put(t, kv, "a", `{"a":1}`)
				g.get(t, "/buckets/shop/keys/a", bearer("op")).is(t, 200)
				g.changeOnQuestion(t, rules)
				header := append([]string{bearer("ann")}, test.header...)
				a := g.do(t, test.method, "/buckets/shop/"+test.path, test.body, header...)
				a.is(t, want)
				if n := g.messages(t, "shop")[1]; n != 1 {
					t.Errorf("the stream has %d messages", n)
				}
			}
		})
	}
}

// holdOf takes some of a bound, until the returned function is called.
func holdOf(
	t testing.TB, bounds *bound.Set, name, owner string, size int64,
) (release func()) {
	t.Helper()
	hold := new(bound.Hold)
	if err := bounds.Find(name).Take(t.Context(), hold, owner, size, nil); err != nil {
		t.Fatal(err)
	}
	return hold.Release
}

// A request that waits for a place among those about buckets does nothing if the right is lost
// meanwhile.
func TestPlaceThatComesAfterTheRightWasLostIsOfNoUse(t *testing.T) {
	t.Parallel()
	bounds := bound.NewSet()
	g := startGuarded(t, []string{"ann > admin"}, func(s *setup) {
		s.client.Bounds, s.handlers.Bounds = bounds, bounds
	})
	var releases []func()
	for range 4 {
		owner := fmt.Sprint("other ", len(releases)%2)
		releases = append(releases, holdOf(t, bounds, "bucket-requests", owner, 1))
	}
	answered := make(chan *answer, 1)
	go func() { answered <- g.get(t, "/buckets", bearer("ann")) }()
	eventually(t, "the list waits", func() bool {
		return g.metric(t, "kvgw_bound_waiting", map[string]string{"bound": "bucket-requests"}) == 1
	})
	g.change(t, "bob > admin")
	sent := g.wire.requests(func() {
		for _, release := range releases {
			release()
		}
		(<-answered).problem(t, 401, "unauthenticated")
	})
	if sent != 0 {
		t.Errorf("%d messages were sent to NATS", sent)
	}
}

// A line of an import that waits for NATS to store the lines before it is not stored if the right
// is lost meanwhile.
func TestLineThatWaitsIsNotStoredAfterTheRightWasLost(t *testing.T) {
	t.Parallel()
	for rules, reason := range map[string]string{
		"op > read": "unauthenticated", "ann b put": "forbidden",
	} {
		bounds := bound.NewSet()
		g := startGuarded(t, []string{"ann > put"}, func(s *setup) {
			s.client.Bounds, s.handlers.Bounds = bounds, bounds
			s.client.RequestTimeout = patience // No line is given up while the answers are held.
		})
		g.bucket(t, jetstream.KeyValueConfig{Bucket: "shop", Storage: jetstream.MemoryStorage})
		answered := make(chan *answer, 1)
		const lines, unacknowledged = 2000, 512 // as many as an import may have on their way
		g.wire.onSending(func(data []byte) {
			if bytes.Contains(data, []byte("k.0")) { // The first line is on its way.
				g.wire.hold()
			}
		})
		go func() {
			answered <- g.do(t, "POST", "/buckets/shop/entries", manyLines(lines), bearer("ann"),
				lineType)
		}()
		eventually(t, "a line waits", func() bool {
			of := map[string]string{"bound": "import-bytes"}
			return g.metric(t, "kvgw_bound_waiting", of) == 1
		})
		eventually(t, "all lines before it are stored", func() bool {
			return g.messages(t, "shop")[1] == unacknowledged
		})
		g.change(t, rules)
		g.wire.release()
		a := (<-answered).is(t, 200)
		if n := g.messages(t, "shop")[1]; n != unacknowledged ||
			!bytes.Contains(a.body, []byte("/problems/"+reason)) {
			t.Errorf("%d entries are stored, and %d were sent before: %.300s", n, unacknowledged,
				a.body)
		}
	}
}
