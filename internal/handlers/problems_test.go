package handlers_test

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"kvgateway/internal/bound"
	"kvgateway/internal/handlers"
)

func TestProblemCodesAreTheContracts(t *testing.T) {
	t.Parallel()
	if diff := cmp.Diff(contractCodes(t), handlers.ProblemStatuses()); diff != "" {
		t.Errorf("contract (-) and the table (+):\n%s", diff)
	}
}

// The type of a problem is a link to its explanation.
func TestProblemTypeLeadsToItsPage(t *testing.T) {
	t.Parallel()
	g := start(t)
	titles := make(map[string]string)
	for code, status := range contractCodes(t) {
		path := "/problems/" + code
		page := g.get(t, path).is(t, 200).has(t, "Content-Type", "application/json").object(t)
		if page["code"] != code || fmt.Sprint(page["status"]) != fmt.Sprint(status) ||
			page["title"] == "" || page["meaning"] == "" || page["fix"] == "" {
			t.Errorf("%s: %v", path, page)
		}
		title := page["title"].(string)
		if other := titles[title]; other != "" {
			t.Errorf("%s and %s have the same title", code, other)
		}
		titles[title] = code
		html := g.get(t, path, "Accept: text/html,application/xhtml+xml,*/*;q=0.8").is(t, 200).
			// If it could be cached it would be the answer to a request for JSON, too.
			has(t, "Content-Type", "text/html; charset=utf-8").has(t, "Cache-Control", "no-store")
		for _, part := range []string{code, fmt.Sprint(status), "<title>", "<h1>" + title} {
			if !strings.Contains(string(html.body), part) {
				t.Errorf("%s: the page lacks %q", path, part)
			}
		}
		wantStyleAllowed(t, html)
		if html.header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: the page may do too much: %v", path, html.header)
		}
		g.get(t, path, "Accept: image/png").problem(t, 406, "not-acceptable")
	}
	for _, path := range []string{
		"/problems/nothing", "/problems/%3Cscript%3E", "/problems/key-not-found%2F",
		"/problems/Key-Not-Found",
	} {
		g.get(t, path).problem(t, 404, "not-found")
	}
}

// The explanations of problems name paths that there are, also below a base path.
func TestProblemPagesNamePathsBelowTheBasePath(t *testing.T) {
	t.Parallel()
	g := startBelow(t)
	links := 0
	for code := range contractCodes(t) {
		page := g.get(t, "/problems/"+code).is(t, 200).object(t)
		html := g.get(t, "/problems/"+code, "Accept: text/html").is(t, 200)
		for _, text := range []string{
			page["meaning"].(string), page["fix"].(string), string(html.body),
		} {
			checkPaths(text, g.basePath, func(format string, args ...any) {
				t.Errorf(code+": "+format, args...)
			})
			links += strings.Count(text, g.basePath+"/")
		}
	}
	if links < 10 {
		t.Errorf("the explanations name %d paths", links)
	}
}

// The examples of problems in the contract are what the gateway answers.
func TestProblemExamplesAreTheProblems(t *testing.T) {
	t.Parallel()
	g := start(t)
	doc := contract(t)
	for code, status := range contractCodes(t) {
		example := doc.Components.Examples[code]
		if example == nil {
			// No operation of the contract answers with it.
			if code != "method-not-allowed" {
				t.Errorf("%s has no example", code)
			}
			continue
		}
		document, ok := example.Value.Value.(map[string]any)
		if !ok {
			t.Errorf("%s: the example is a %T", code, example.Value.Value)
			continue
		}
		page := g.get(t, "/problems/"+code).is(t, 200).object(t)
		if document["title"] != page["title"] || document["type"] != "/problems/"+code ||
			fmt.Sprint(document["status"]) != fmt.Sprint(status) {
			t.Errorf("the example is %v, the problem %v", document, page)
		}
	}
}

// An error that is in no table is the gateway's own failure, and its text is not for clients.
func TestUnknownErrorsAreInternal(t *testing.T) {
	t.Parallel()
	code, detail := handlers.ProblemFor(errors.New("dial tcp 10.0.0.7: password is hunter2"))
	if code != "internal" || strings.Contains(detail, "hunter2") || detail == "" {
		t.Errorf("%s: %s", code, detail)
	}
}

// Every code of the contract is produced by a real request. For those that need a fault, a real
// fault is made.
func TestEveryProblemCanHappen(t *testing.T) {
	t.Parallel()
	cases := maps.Clone(problemsByRequest)
	maps.Copy(cases, problemsByFault)
	for code, status := range contractCodes(t) {
		// That would be a fault of the gateway, and none is known.
		if code == "internal" {
			continue
		}
		produce := cases[code]
		if produce == nil {
			t.Errorf("no request produces %s", code)
			continue
		}
		t.Run(code, func(t *testing.T) {
			t.Parallel()
			produce(t).problem(t, status, code)
		})
	}
	for code := range cases {
		if contractCodes(t)[code] == 0 {
			t.Errorf("%s is no code of the contract", code)
		}
	}
}

// startBelow runs a gateway below a base path, which the paths in the texts of problems must have
// before them; see checkPaths.
func startBelow(t testing.TB, configure ...func(*setup)) *gateway {
	t.Helper()
	below := func(s *setup) { s.handlers.BasePath = "/kv" }
	return start(t, append(configure, below)...)
}

// simple returns a function that sends one request to a new gateway. Its bucket "shop" has the
// value "a" and the deleted key "gone".
func simple(method, target string, body any, header ...string) func(*testing.T) *answer {
	return func(t *testing.T) *answer {
		g := startBelow(t, func(s *setup) { s.handlers.CheckHost = true })
		kv := g.shop(t)
		put(t, kv, "a", "v")
		put(t, kv, "gone", "v")
		deleteKey(t, kv, "gone")
		return g.do(t, method, target, body, header...)
	}
}

// patching returns a function that sends a JSON Patch of the value {"n":1}.
func patching(patch string) func(*testing.T) *answer {
	return func(t *testing.T) *answer {
		g := startBelow(t)
		put(t, g.shop(t), "a", `{"n":1}`)
		return g.do(t, "PATCH", "/buckets/shop/keys/a", patch, jsonPatchType)
	}
}

// transaction returns a function that sends these operations to the ledger of a new gateway.
func transaction(operations string) func(*testing.T) *answer {
	return func(t *testing.T) *answer {
		g := startBelow(t)
		g.ledger(t)
		return g.transact(t, operations)
	}
}

// problemsByRequest produce those problems for which a request is enough, by their codes.
var problemsByRequest = map[string]func(t *testing.T) *answer{
	"invalid-bucket-name": simple("GET", "/buckets/a.b", nil),
	"invalid-key":         simple("GET", "/buckets/shop/keys/*", nil),
	"invalid-filter":      simple("GET", "/buckets/shop/keys?filter=a*", nil),
	"invalid-parameter":   simple("GET", "/buckets/shop/keys?limit=0", nil),
	"unknown-parameter":   simple("GET", "/buckets/shop/keys?limitt=1", nil),
	"invalid-header":      simple("PUT", "/buckets/shop/keys/a", "v", "If-Match: x"),
	"invalid-body":        simple("PUT", "/buckets/new", "{", jsonType),
	"invalid-config":      simple("PUT", "/buckets/new", `{"metadata":{"_nats.a":"b"}}`, jsonType),
	"invalid-cursor":      simple("GET", "/buckets/shop/keys?cursor=x", nil),
	"unauthenticated": func(t *testing.T) *answer {
		g := startBelow(t, withAuth(t, oneRole+"certificates: [{ san: x, roles: [r] }]"))
		return g.get(t, "/buckets/shop")
	},
	"forbidden": func(t *testing.T) *answer {
		return startBelow(t, withAuth(t, oneRole+"anonymous: [r]")).get(t, "/buckets/shop/keys/a")
	},
	"cross-site": simple("PUT", "/buckets/shop/keys/a", "v",
		"Origin: https://example.com"),
	"forbidden-destination": simple("GET", "/buckets/shop/keys/a", nil,
		"Sec-Fetch-Dest: script"),
	"not-found":          simple("GET", "/nothing", nil),
	"bucket-not-found":   simple("GET", "/buckets/nowhere", nil),
	"key-not-found":      simple("GET", "/buckets/shop/keys/never", nil),
	"key-deleted":        simple("GET", "/buckets/shop/keys/gone", nil),
	"revision-not-found": simple("GET", "/buckets/shop/keys/a?revision=99", nil),
	"method-not-allowed": simple("POST", "/buckets/shop", nil),
	"not-acceptable":     simple("GET", "/buckets/shop/keys", nil, "Accept: image/png"),
	"bucket-exists":      simple("PUT", "/buckets/shop", `{"history":3}`, jsonType),
	"epoch-changed":      simple("GET", "/buckets/shop/keys/a?min_revision=1-zzz9", nil),
	"revision-mismatch":  simple("PUT", "/buckets/shop/keys/a", "v", `If-Match: "99"`),
	"key-exists":         simple("PUT", "/buckets/shop/keys/a", "v", "If-None-Match: *"),
	"bucket-present":     simple("PUT", "/buckets/shop", nil, "If-None-Match: *"),
	"value-too-large":    simple("PUT", "/buckets/shop/keys/a", strings.Repeat("v", 1<<20+1)),
	"body-too-large": simple("PUT", "/buckets/new",
		`{"description":"`+strings.Repeat("v", 1<<20)+`"}`, jsonType),
	"key-too-long":           simple("GET", "/buckets/shop/keys/"+strings.Repeat("k", 1025), nil),
	"unsupported-media-type": simple("PUT", "/buckets/new", "{}", "Content-Type: text/plain"),
	"range-not-satisfiable":  simple("GET", "/buckets/shop/keys/a", nil, "Range: bytes=5-"),
	"unknown-host":           simple("GET", "/buckets/shop", nil, "Host: example.com"),
	"header-too-large": simple("PUT", "/buckets/shop/keys/a", "v",
		"Content-Type: text/plain; a="+strings.Repeat("x", 9000)),
	"storage-exhausted": simple("PUT", "/buckets/new", `{"max_bytes":4611686018427387904}`,
		jsonType),
	"transactions-not-enabled": simple("POST", "/buckets/shop/transactions",
		`{"operations":[{"op":"put","key":"a","text":"v"}]}`, jsonType),
	"transaction-failed":   transaction(`{"op":"put","key":"a","text":"v","if_revision":7}`),
	"not-json":             simple("PATCH", "/buckets/shop/keys/a", "{}", mergeType),
	"patch-test-failed":    patching(`[{"op":"test","path":"/n","value":2}]`),
	"patch-not-applicable": patching(`[{"op":"remove","path":"/m"}]`),
	"ttl-not-enabled":      simple("PUT", "/buckets/shop/keys/a?ttl=1m", "v"),
	"ttl-too-short": func(t *testing.T) *answer {
		g := startBelow(t)
		g.expiring(t, 2, time.Minute)
		return g.do(t, "PUT", "/buckets/shop/keys/a?ttl=59s", "v")
	},
	"idempotency-key-reused": func(t *testing.T) *answer {
		g := startBelow(t)
		g.shop(t)
		g.do(t, "PUT", "/buckets/shop/keys/a", "v", "Idempotency-Key: k").is(t, 200)
		return g.do(t, "PUT", "/buckets/shop/keys/a", "other", "Idempotency-Key: k")
	},
	"already-applied": func(t *testing.T) *answer {
		g := startBelow(t)
		g.ledger(t)
		g.transact(t, `{"op":"put","key":"a","text":"v"}`, "Idempotency-Key: once").is(t, 200)
		return g.transact(t, `{"op":"put","key":"a","text":"v"}`, "Idempotency-Key: once")
	},
	"bad-bucket": func(t *testing.T) *answer {
		g := startBelow(t)
		if _, err := g.js.CreateStream(t.Context(), jetstream.StreamConfig{
			Name: "KV_odd", Subjects: []string{"odd"},
		}); err != nil {
			t.Fatal(err)
		}
		return g.get(t, "/buckets/odd")
	},
	"outside-mirror": func(t *testing.T) *answer {
		g := startBelow(t)
		g.shop(t)
		g.do(t, "PUT", "/buckets/part", `{"mirror":{"name":"shop","filter_subject":"$KV.shop.a"}}`,
			jsonType).is(t, 201)
		return g.do(t, "PUT", "/buckets/part/keys/b", "v")
	},
	"precondition-required": func(t *testing.T) *answer {
		g := startBelow(t, func(s *setup) { s.handlers.RequirePreconditions = true })
		g.shop(t)
		return g.do(t, "PUT", "/buckets/shop/keys/a", "v")
	},
	"bucket-full": func(t *testing.T) *answer {
		g := startBelow(t)
		g.bucket(t, jetstream.KeyValueConfig{Bucket: "small", MaxBytes: 1000})
		return g.do(t, "PUT", "/buckets/small/keys/a", strings.Repeat("v", 2000))
	},
	"revision-not-reached": func(t *testing.T) *answer {
		g := startBelow(t, func(s *setup) { s.client.RequestTimeout = time.Second })
		put(t, g.shop(t), "a", "v")
		return g.get(t, "/buckets/shop/keys/a?min_revision=99")
	},
	"not-in-memory": func(t *testing.T) *answer {
		g := startBelow(t)
		g.shop(t)
		return g.get(t, "/buckets/shop/keys/a?consistency=cached", "Cache-Control: only-if-cached")
	},
	"issuer-unavailable": func(t *testing.T) *answer {
		// Nothing listens at the address of the keys.
		g := startBelow(t, withAuth(t, oneRole+"jwt: [{ issuer: i, audience: a, algorithms: "+
			"[ES256], keys: 'https://127.0.0.1:1/', roles_claim: r }]"))
		return g.get(t, "/buckets/shop", "Authorization: Bearer "+jwtOf(t, "ES256",
			map[string]any{"iss": "i", "aud": "a", "sub": "s"}))
	},
	"shutting-down": func(t *testing.T) *answer {
		g := startBelow(t, func(s *setup) { s.handlers.Draining = func() bool { return true } })
		return g.get(t, "/readyz")
	},
	"busy": func(t *testing.T) *answer {
		set := bound.NewSet()
		g := startBelow(t, func(s *setup) { s.handlers.Bounds = set })
		g.do(t, "PUT", "/buckets/b", `{"allow_atomic":true}`, jsonType).is(t, 201)
		bodies := set.Find("transaction-bodies")
		if err := bodies.Take(t.Context(), new(bound.Hold), "", bodies.Limit(), nil); err != nil {
			t.Fatal(err)
		}
		large := `{"operations":[{"op":"put","key":"k","text":"` + strings.Repeat("x", 70_000) +
			`"}]}`
		return g.do(t, "POST", "/buckets/b/transactions", large, jsonType)
	},
	"too-many-streams": func(t *testing.T) *answer {
		g := startBelow(t, func(s *setup) { s.handlers.MaxStreams = 1 })
		g.shop(t)
		g.watch(t, "/buckets/shop/watch").until("sync")
		return g.get(t, "/buckets/shop/watch", asLines)
	},
	"request-timeout": func(t *testing.T) *answer {
		g := startBelow(t, func(s *setup) { s.handlers.Bodies.Grace = 100 * time.Millisecond })
		g.shop(t)
		s := g.session(t)
		defer s.conn.Close()
		begin(t, s.conn,
			"PUT "+g.basePath+"/buckets/shop/keys/a HTTP/1.1\r\nHost: localhost\r\n"+
				"Content-Length: 10\r\n\r\nabc")
		return s.answer(t, "PUT", g.basePath+"/buckets/shop/keys/a", nil)
	},
	"upstream-error": func(t *testing.T) *answer {
		g := startBelow(t)
		g.shop(t)
		// Another tool seals the stream. JetStream accepts no more writes, and the gateway has no
		// problem of its own for that.
		g.changeStream(t, "shop", func(c *jetstream.StreamConfig) { c.Sealed = true })
		a := g.do(t, "PUT", "/buckets/shop/keys/a", "v")
		if a.object(t)["nats_error_code"] == nil {
			t.Errorf("no nats_error_code: %s", a.body)
		}
		return a
	},
}

// begin sends the first part of a request, or all of it.
func begin(t testing.TB, conn net.Conn, part string) {
	t.Helper()
	if _, err := conn.Write([]byte(part)); err != nil {
		t.Fatal(err)
	}
}

// The text of a 5xx never shows anything of the gateway's inside.
func TestFailuresHaveFixedText(t *testing.T) {
	t.Parallel()
	for _, code := range slices.Sorted(maps.Keys(problemsByFault)) {
		t.Run(code, func(t *testing.T) {
			t.Parallel()
			a := problemsByFault[code](t)
			detail, _ := a.object(t)["detail"].(string)
			for _, inside := range []string{
				"nats:", "nats.go", "$JS", "$KV", "KV_", "shop", "context deadline", "%!",
				"goroutine", ".go:",
			} {
				if strings.Contains(detail, inside) {
					t.Errorf("%s: the detail shows %q: %s", code, inside, detail)
				}
			}
		})
	}
}

// A panic in an endpoint becomes a 500 that the log explains. The connection is not cut, and the
// access log does not say 200. Without a client every endpoint that needs one panics.
func TestPanicsAreInternalErrors(t *testing.T) {
	var log bytes.Buffer
	s, err := handlers.New(handlers.Options{Logger: zerolog.New(&log)})
	if err != nil {
		t.Fatal(err)
	}
	rec := httptest.NewRecorder()
	s.ServeHTTP(rec, httptest.NewRequest("GET", "/buckets/shop/keys/a", nil))
	if rec.Code != http.StatusInternalServerError ||
		!strings.Contains(rec.Body.String(), "/problems/internal") {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
	for _, want := range []string{"request panicked", `"status":500`} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log lacks %s:\n%s", want, &log)
		}
	}
}

// JSON is for people, too: a problem begins with what they want to know first, and a character that
// means something in HTML stays as it is.
func TestProblemsAreReadable(t *testing.T) {
	t.Parallel()
	g := start(t)
	g.shop(t)
	a := g.get(t, "/buckets/shop/keys?%3Ca%3E%26=1").is(t, 400)
	text := string(a.body)
	last := -1
	for _, member := range []string{"title", "status", "detail", "type", "instance", "parameter"} {
		at := strings.Index(text, `"`+member+`":`)
		if at <= last {
			t.Errorf("%s is not where it should be: %s", member, text)
		}
		last = at
	}
	if !strings.Contains(text, `"parameter":"<a>&"`) {
		t.Errorf("escaped as for HTML: %s", text)
	}
	g.do(t, "PUT", "/buckets/odd", `{"description":"a > b & c\u2028d"}`, jsonType).is(t, 201)
	for _, path := range []string{"/buckets/odd", "/buckets"} {
		if body := string(g.get(t, path).is(t, 200).body); !strings.Contains(body,
			`"description":"a > b & c\u2028d"`) {
			t.Errorf("%s: %s", path, body)
		}
	}
}
