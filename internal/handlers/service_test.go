package handlers_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/google/go-cmp/cmp"

	"kvgateway/api"
	"kvgateway/internal/bound"
	"kvgateway/internal/natsd"
)

func TestReadinessEndsWithDraining(t *testing.T) {
	t.Parallel()
	var draining atomic.Bool
	g := start(t, func(s *setup) { s.handlers.Draining = draining.Load })
	for _, path := range []string{"/livez", "/healthz"} {
		g.do(t, "HEAD", path, nil).is(t, 200)
		g.get(t, path).is(t, 200).hasBody(t, `{"status":"ok"}`+"\n").
			has(t, "Cache-Control", "no-store")
	}
	g.get(t, "/readyz").is(t, 200).hasBody(t, `{"status":"ready"}`+"\n").
		has(t, "Cache-Control", "no-store")
	draining.Store(true)
	g.get(t, "/readyz").is(t, 503)
	g.get(t, "/livez").is(t, 200)
	g.shop(t)
	// Clients that come in spite of that are still served.
	g.get(t, "/buckets/shop").is(t, 200)
	draining.Store(false)
	g.get(t, "/readyz").is(t, 200)
}

// A server that is there but does not answer is not ready, which is found in bounded time.
func TestSilentServerIsNotReady(t *testing.T) {
	t.Parallel()
	g := start(t, shortTimeout)
	g.get(t, "/readyz").is(t, 200)
	g.wire.hold()
	g.get(t, "/readyz").problem(t, 503, "nats-unavailable")
	g.get(t, "/livez").is(t, 200)
	g.wire.release()
	eventually(t, "it is ready again", func() bool { return g.get(t, "/readyz").status == 200 })
}

// A probe waits in the gateway's own line, not behind what others at its address have asked for.
func TestProbeWaitsInTheGatewaysOwnLine(t *testing.T) {
	t.Parallel()
	g, bounds := startBounded(t)
	var all bound.Hold
	reads := bounds.Find("nats-reads")
	if err := reads.TakeFor(t.Context(), &all, reads.Limit()); err != nil {
		t.Fatal(err)
	}
	statuses := make(chan int, 1)
	go func() { statuses <- g.get(t, "/readyz").status }()
	eventually(t, "the probe waits for room", func() bool { return reads.Waiting() > 0 })
	if own := reads.WaitingOf(""); own != 1 {
		t.Errorf("%d wait in the gateway's own line", own)
	}
	all.Release()
	if status := <-statuses; status != 200 {
		t.Errorf("answered %d", status)
	}
}

// An embedded NATS that cannot store is not ready, although it answers.
func TestFailingStoreIsNotReady(t *testing.T) {
	t.Parallel()
	var failure atomic.Pointer[error]
	g := start(t, func(s *setup) {
		s.handlers.Failing = func() error {
			if err := failure.Load(); err != nil {
				return *err
			}
			return nil
		}
	})
	g.get(t, "/readyz").is(t, 200)
	g.shop(t)
	full := errors.New("its disk is full")
	failure.Store(&full)
	why := g.get(t, "/readyz").problem(t, 503, "nats-unavailable")
	if !strings.Contains(fmt.Sprint(why["detail"]), full.Error()) {
		t.Errorf("the detail does not say why: %v", why["detail"])
	}
	if !strings.Contains(g.log.String(), full.Error()) {
		t.Error("the cause is not in the log")
	}
	g.get(t, "/livez").is(t, 200)
	failure.Store(nil)
	g.get(t, "/readyz").is(t, 200)
}

// When it is known that there is no room, writes that need room are refused at once. NATS would not
// answer them.
func TestWritesToAFullStoreAreRefusedAtOnce(t *testing.T) {
	t.Parallel()
	full := errors.New("its disk is full")
	g := start(t, func(s *setup) { s.handlers.Failing = func() error { return full } })
	g.shop(t)
	jsonBody, lines := jsonType, lineType
	for _, request := range [][]string{
		{"PUT", "/buckets/shop/keys/a", "v"},
		{"DELETE", "/buckets/shop/keys/a", ""},
		{"PATCH", "/buckets/shop/keys/a", "{}", mergeType},
		{"DELETE", "/buckets/shop/keys?filter=a", ""},
		{"POST", "/buckets/shop/entries", `{"key":"a","text":"v"}`, lines},
		{"POST", "/buckets/shop/transactions",
			`{"operations":[{"op":"put","key":"a","text":"v"}]}`, jsonBody},
		{"PUT", "/buckets/new", "{}", jsonBody},
		{"PATCH", "/buckets/shop", "{}", mergeType},
	} {
		a := g.do(t, request[0], request[1], request[2], request[3:]...)
		p := a.problem(t, 507, "storage-exhausted")
		if !strings.Contains(fmt.Sprint(p["detail"]), full.Error()) {
			t.Errorf("%s %s: the detail does not say why: %v", request[0], request[1], p["detail"])
		}
	}
	g.get(t, "/buckets/shop/keys").is(t, 200)
	// This makes room.
	g.do(t, "DELETE", "/buckets/shop", "").is(t, 204)
}

// A bucket for which there is no file descriptor is refused with what makes room, which NATS does
// not know.
func TestTooManyBucketsAreRefusedWithAdvice(t *testing.T) {
	t.Parallel()
	for _, tooMany := range []bool{true, false} {
		g := start(t, func(s *setup) {
			s.handlers.TooManyBuckets = func() bool { return tooMany }
		})
		// A refusal for want of storage stands for one for want of streams.
		a := g.do(t, "PUT", "/buckets/new", `{"max_bytes":4611686018427387904}`, jsonType)
		p := a.problem(t, 507, "storage-exhausted")
		if got := strings.Contains(fmt.Sprint(p["detail"]), "ulimit -n"); got != tooMany {
			t.Errorf("too many buckets: %v, and the detail is %v", tooMany, p["detail"])
		}
	}
}

func TestVersionIsReported(t *testing.T) {
	t.Parallel()
	g := start(t)
	want := map[string]any{
		"version": "1.2.3", "commit": "abcdef0", "built": "2026-11-22T17:00:00Z",
		"go": runtime.Version(), "nats_server": natsd.Version,
	}
	if diff := cmp.Diff(want, g.get(t, "/version").is(t, 200).object(t)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestContractIsServed(t *testing.T) {
	t.Parallel()
	g := start(t)
	g.get(t, "/openapi.yaml").is(t, 200).has(t, "Content-Type", "application/yaml").
		hasBody(t, string(api.YAML("")))
	a := g.get(t, "/openapi.json").is(t, 200).has(t, "Content-Type", "application/json")
	want, err := api.JSON("")
	if err != nil {
		t.Fatal(err)
	}
	a.hasBody(t, string(want))
	var document struct{ OpenAPI string }
	if err := json.Unmarshal(a.body, &document); err != nil || document.OpenAPI != "3.0.3" {
		t.Errorf("openapi %q, %v", document.OpenAPI, err)
	}
}

// Tools send their requests to the address that the contract names.
func TestContractNamesTheBasePath(t *testing.T) {
	t.Parallel()
	g := start(t, func(s *setup) { s.handlers.BasePath = "/kv/v1" })
	for _, path := range []string{"/openapi.yaml", "/openapi.json"} {
		doc, err := openapi3.NewLoader().LoadFromData(g.get(t, path).is(t, 200).body)
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		if got := doc.Servers[0].URL; got != "/kv/v1" {
			t.Errorf("%s: requests go to %q, want /kv/v1", path, got)
		}
	}
}

// One connection serves one request after the other, whatever came before.
func TestConnectionsAreReused(t *testing.T) {
	t.Parallel()
	g := start(t)
	put(t, g.shop(t), "a", "v")
	s := g.session(t)
	for range 3 {
		s.do(t, "GET", "/buckets/shop/keys/a", nil).is(t, 200)
		s.do(t, "HEAD", "/buckets/shop/keys/a", nil).is(t, 200)
		s.do(t, "PUT", "/buckets/shop/keys/a", "v").is(t, 200)
		s.do(t, "PUT", "/buckets/shop/keys/a", chunked("v")).is(t, 200)
		s.do(t, "GET", "/buckets/shop/keys/never", nil).is(t, 404)
		s.do(t, "HEAD", "/buckets/shop/keys/never", nil).is(t, 404)
		s.do(t, "GET", "/buckets/shop/keys/a", nil, `If-None-Match: *`).is(t, 304)
		s.do(t, "DELETE", "/buckets/shop/keys/never", nil).is(t, 404)
		s.do(t, "PUT", "/buckets/shop/keys/a", "v", "Prefer: return=minimal").is(t, 204)
		s.do(t, "GET", "/nothing", nil).is(t, 404)
		s.do(t, "GET", "/buckets/shop/keys", nil, "Accept: text/plain").is(t, 200).hasBody(t, "a\n")
	}
}
