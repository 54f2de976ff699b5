package handlers_test

import (
	"bytes"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// shortTimeout lets requests to NATS fail early.
func shortTimeout(s *setup) { s.client.RequestTimeout = 200 * time.Millisecond }

// warm starts a gateway that knows the bucket "shop", so that the next request is the one that
// meets the fault.
func warm(t testing.TB, configure ...func(*setup)) (*gateway, jetstream.KeyValue) {
	t.Helper()
	g := start(t, configure...)
	kv := g.shop(t)
	put(t, kv, "a", "v")
	g.get(t, "/buckets/shop/keys/a").is(t, 200)
	return g, kv
}

// problemsByFault produce those problems for which a fault is needed, by their codes.
var problemsByFault = map[string]func(t *testing.T) *answer{
	"nats-unavailable": func(t *testing.T) *answer {
		g, _ := warm(t)
		g.stopNATS(t)
		return g.do(t, "PUT", "/buckets/shop/keys/a", "v")
	},
	"timeout": func(t *testing.T) *answer {
		g, _ := warm(t, shortTimeout)
		g.wire.hold()
		return g.get(t, "/buckets/shop/keys/a")
	},
	"outcome-unknown": func(t *testing.T) *answer {
		g, _ := warm(t, shortTimeout)
		g.wire.hold()
		return g.do(t, "PUT", "/buckets/shop/keys/a", "v")
	},
	"write-contention": func(t *testing.T) *answer {
		g, kv := warm(t)
		g.outrun(t, "a", 100, func() { put(t, kv, "a", "faster") })
		return g.do(t, "PUT", "/buckets/shop/keys/a", "v", "If-Match: *")
	},
	"overloaded": func(t *testing.T) *answer {
		g, _ := warm(t, shortTimeout)
		a := g.crowd(t, 60)
		eventually(t, "there is room again", func() bool {
			return g.get(t, "/buckets/shop/keys").status == 200
		})
		return a
	},
}

// outrun calls write just before the gateway sends its next write of the key, up to times times, so
// that another writer is always faster. The result counts the writes that the gateway sent.
func (g *gateway) outrun(t testing.TB, key string, times int, write func()) *atomic.Int64 {
	t.Helper()
	var tries atomic.Int64
	g.wire.onSending(func(data []byte) {
		if bytes.Contains(data, []byte("HPUB $KV.shop."+key+" ")) && tries.Add(1) <= int64(times) {
			write()
		}
	})
	t.Cleanup(func() { g.wire.onSending(nil) })
	return &tries
}

// crowd starts many more listings than may run at once. None of them gets anything to read. It
// returns an answer that was refused for the crowd, if there is one.
func (g *gateway) crowd(t testing.TB, listings int) *answer {
	t.Helper()
	g.wire.swallow("CONSUMER.MSG.NEXT.KV_shop")
	defer g.wire.swallow("")
	answers := make(chan *answer, listings)
	for range listings {
		go func() { answers <- g.get(t, "/buckets/shop/keys") }()
	}
	var last *answer
	for range listings {
		if a := <-answers; last == nil || a.status == 429 {
			last = a
		}
	}
	return last
}

// While NATS is away, no request waits and none is kept for later.
func TestNATSAwayIsReportedAtOnce(t *testing.T) {
	t.Parallel()
	g, _ := warm(t)
	doc := contract(t)
	g.stopNATS(t)
	for template, item := range doc.Paths.Map() {
		for method := range item.Operations() {
			if !strings.HasPrefix(template, "/buckets") {
				continue
			}
			target := strings.NewReplacer("{bucket}", "shop", "{key}", "a").Replace(template)
			var header []string
			var body any
			if method == "PATCH" {
				body, header = `{"history":5}`, []string{mergeType}
			} else if method == "POST" && strings.HasSuffix(template, "/entries") {
				body, header = `{"key":"a","text":"applied later"}`, []string{lineType}
			} else if method == "POST" {
				body, header = `{"operations":[{"op":"put","key":"a","text":"applied later"}]}`,
					[]string{jsonType}
			} else if method == "PUT" && template != "/buckets/{bucket}" {
				body = "applied later behind the caller's back"
			} else if method == "DELETE" && template == "/buckets/{bucket}/keys" {
				target += "?filter=>"
			}
			a := g.do(t, method, target, body, header...).is(t, 503).has(t, "Retry-After", "1")
			if method != "HEAD" {
				a.problem(t, 503, "nats-unavailable")
			}
		}
	}
	g.get(t, "/buckets/never-seen/keys/a").problem(t, 503, "nats-unavailable")
	g.do(t, "PUT", "/buckets/shop/keys/a", "applied later", "If-None-Match: *").
		problem(t, 503, "nats-unavailable")
	g.do(t, "PUT", "/buckets/shop/keys/a", "applied later", "If-Match: *").
		problem(t, 503, "nats-unavailable")
	g.get(t, "/readyz").problem(t, 503, "nats-unavailable")
	g.get(t, "/healthz").is(t, 200)
	g.get(t, "/version").is(t, 200)
	g.get(t, "/openapi.json").is(t, 200)

	g.restartNATS(t)
	eventually(t, "listings work again", func() bool {
		return g.get(t, "/buckets/shop/keys").status == 200
	})
	g.get(t, "/buckets/shop/keys/a").is(t, 200).hasBody(t, "v").has(t, "KV-Revision", "1")
	js := native(t, g.wire)
	kv, err := js.KeyValue(t.Context(), "shop")
	if err != nil {
		t.Fatal(err)
	}
	if status, err := kv.Status(t.Context()); err != nil || status.Values() != 1 {
		t.Errorf("%d values, want the one from before (%v)", status.Values(), err)
	}
}

// A missing bucket and a server that is away get different answers at once: within 100 ms, in the
// best of several tries, since the machine may be busy.
func TestMissingBucketIsDistinguishedAtOnce(t *testing.T) {
	t.Parallel()
	g, _ := warm(t)
	fastest := func(what string, request func()) {
		t.Helper()
		best := time.Hour
		for range 10 {
			began := time.Now()
			request()
			best = min(best, time.Since(began))
		}
		if best > 100*time.Millisecond {
			t.Errorf("%s takes %s at best", what, best)
		}
	}
	fastest("a missing bucket", func() {
		g.get(t, "/buckets/nowhere/keys/a").problem(t, 404, "bucket-not-found")
		g.do(t, "PUT", "/buckets/nowhere/keys/a", "v").problem(t, 404, "bucket-not-found")
	})
	fastest("a bucket deleted natively", func() {
		g.bucket(t, jetstream.KeyValueConfig{Bucket: "brief"})
		g.do(t, "PUT", "/buckets/brief/keys/a", "v").is(t, 200)
		g.deleteBucket(t, "brief")
		g.do(t, "PUT", "/buckets/brief/keys/a", "v").problem(t, 404, "bucket-not-found")
		g.get(t, "/buckets/brief/keys/a").problem(t, 404, "bucket-not-found")
	})
	g.stopNATS(t)
	fastest("a server that is away", func() {
		g.get(t, "/buckets/shop/keys/a").problem(t, 503, "nats-unavailable")
		g.do(t, "PUT", "/buckets/shop/keys/a", "v").problem(t, 503, "nats-unavailable")
	})
}

// The acknowledgement does not come, and yet the write is stored.
func TestLostAcknowledgementIsOutcomeUnknown(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		method, target, body string
		header               []string
	}{
		{"PUT", "/buckets/shop/keys/a", "new", nil},
		{"PUT", "/buckets/shop/keys/b", "new", []string{"If-None-Match: *"}},
		{"PUT", "/buckets/shop/keys/a", "new", []string{`If-Match: "1"`}},
		{"PUT", "/buckets/made", "", nil},
		{"PUT", "/buckets/shop/keys/a", "new", []string{"Idempotency-Key: k", `If-Match: "1"`}},
		{"PATCH", "/buckets/shop/keys/json", `{"n":2}`, []string{mergeType}},
		{"PATCH", "/buckets/shop", `{"description":"new"}`, []string{jsonType}},
		{"DELETE", "/buckets/shop", "", nil},
	} {
		t.Run(fmt.Sprint(tc.method, tc.target, tc.header), func(t *testing.T) {
			t.Parallel()
			g, kv := warm(t, shortTimeout)
			put(t, kv, "json", `{"n":1}`)
			// Answers are held back from the write on, but not for what is read before it.
			g.wire.onSending(func(data []byte) {
				for _, write := range []string{
					"HPUB $KV.", "PUB $KV.", "STREAM.CREATE", "STREAM.UPDATE", "STREAM.DELETE",
				} {
					if bytes.Contains(data, []byte(write)) {
						g.wire.hold()
					}
				}
			})
			g.do(t, tc.method, tc.target, tc.body, tc.header...).problem(t, 504, "outcome-unknown")
		})
	}
}

// If the bucket could not even be looked up, the write was certainly not sent.
func TestWriteBeforeTheBucketIsKnownIsUnavailable(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ method, target string }{
		{"PUT", "/buckets/shop/keys/a"},
		{"PATCH", "/buckets/shop/keys/a?ttl=1s"},
		{"DELETE", "/buckets/shop/keys/a"},
		{"DELETE", "/buckets/shop/markers"},
		{"PUT", "/buckets/shop"},
		{"DELETE", "/buckets/shop"},
	} {
		t.Run(tc.method+tc.target, func(t *testing.T) {
			t.Parallel()
			g := start(t, shortTimeout)
			g.shop(t)
			g.wire.hold()
			g.do(t, tc.method, tc.target, "").has(t, "Retry-After", "1").
				problem(t, 503, "nats-unavailable")
		})
	}
}
