package handlers_test

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"kvgateway/internal/handlers"
)

// appOrigin is the origin whose pages may read and write in the tests of CORS.
const appOrigin = "https://app.example.com"

// withOrigin returns a handler that allows appOrigin, below a base path.
func withOrigin(t *testing.T, basePath string) *handlers.Server {
	t.Helper()
	s, err := handlers.New(handlers.Options{
		Logger: zerolog.Nop(), BasePath: basePath, AllowOrigins: []string{appOrigin},
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// preflight asks whether a page may send a request, and returns the headers of the answer.
func preflight(s *handlers.Server, origin, method, target string) http.Header {
	r := httptest.NewRequest("OPTIONS", target, nil)
	r.Header.Set("Origin", origin)
	r.Header.Set("Access-Control-Request-Method", method)
	r.Header.Set("Access-Control-Request-Headers", "authorization,if-match,x-evil")
	r.Header.Set("Access-Control-Request-Private-Network", "true")
	rec := httptest.NewRecorder()
	s.ServeHTTP(rec, r)
	return rec.Header()
}

// sorted returns the names of a list in lower case, sorted.
func sorted(list string) []string {
	names := strings.Split(strings.ToLower(list), ", ")
	slices.Sort(names)
	return names
}

// Origins are compared byte for byte. Nothing that only looks like an allowed one is allowed.
func TestPreflightAllowsConfiguredOriginsOnly(t *testing.T) {
	t.Parallel()
	s := withOrigin(t, "")
	for origin, want := range map[string]string{
		appOrigin: appOrigin, "https://app.example.com.evil.org": "", "null": "",
		"HTTPS://app.example.com": "", "https://APP.example.com": "", "*": "",
		"https://app.example.com:443": "", "http://app.example.com": "",
		"https://x@app.example.com": "", "https://app.example.com/": "",
		"https://app.example.com https://evil.org": "", "https://sub.app.example.com": "",
	} {
		h := preflight(s, origin, "PUT", "/buckets/shop/keys/a")
		for name := range h {
			if want == "" && strings.HasPrefix(name, "Access-Control-") {
				t.Errorf("%s: the answer has %s", origin, name)
			}
		}
		if got := h.Get("Access-Control-Allow-Origin"); got != want {
			t.Errorf("%s: allowed %q", origin, got)
		}
		if h.Get("Vary") != "Origin" {
			t.Errorf("%s: Vary is %q", origin, h["Vary"])
		}
	}
}

// The lists are those of the contract, exactly: no page may send a header beside them, and none is
// allowed because it was asked for.
func TestCrossOriginHeadersAreListed(t *testing.T) {
	t.Parallel()
	s := withOrigin(t, "")
	h := preflight(s, appOrigin, "PUT", "/buckets/shop/keys/a")
	for name, want := range map[string]string{
		"Access-Control-Allow-Headers": "Authorization, Content-Type, Content-Encoding, " +
			"If-Match, If-None-Match, If-Range, Range, Prefer, Cache-Control, Idempotency-Key, " +
			"Last-Event-ID, KV-Min-Revision, traceparent",
		"Access-Control-Allow-Methods": "GET, HEAD, PUT, PATCH, POST, DELETE",
		"Access-Control-Max-Age":       "7200",
	} {
		if !slices.Equal(sorted(h.Get(name)), sorted(want)) {
			t.Errorf("%s is %q", name, h.Get(name))
		}
	}
	for _, name := range []string{
		"Access-Control-Allow-Credentials", "Access-Control-Allow-Private-Network",
	} {
		if h.Get(name) != "" {
			t.Errorf("%s is %q", name, h.Get(name))
		}
	}
	rec := httptest.NewRecorder()
	r := httptest.NewRequest("GET", "/livez", nil)
	r.Header.Set("Origin", appOrigin)
	s.ServeHTTP(rec, r)
	const exposed = "ETag, Location, Link, KV-Revision, KV-Created, KV-Expires, KV-TTL, " +
		"KV-Operation, KV-Consistency, Age, Retry-After, Preference-Applied, X-Request-Id, " +
		"RateLimit, RateLimit-Policy"
	if got := rec.Header().Get("Access-Control-Expose-Headers"); rec.Code != http.StatusOK ||
		!slices.Equal(sorted(got), sorted(exposed)) {
		t.Errorf("%d, exposed %q", rec.Code, got)
	}
}

// What a browser adds by itself reaches streams and tickets, which need the cookie of a ticket, and
// nothing else.
func TestAmbientCredentialsOfOtherOriginsReachStreamsAlone(t *testing.T) {
	t.Parallel()
	for _, basePath := range []string{"", "/kv"} {
		s := withOrigin(t, basePath)
		for _, operation := range operations(t) {
			method, path, _ := strings.Cut(operation, " ")
			for _, key := range []string{"a", "watch", "a/watch", "a%2Fwatch", "tickets"} {
				target := basePath + strings.NewReplacer("{bucket}", "shop", "{key}", key,
					"{code}", "x", "{page}", "tour", "{file}", "console.js").Replace(path)
				want := ""
				if path == "/tickets" || strings.HasSuffix(path, "/watch") {
					want = "true"
				}
				h := preflight(s, appOrigin, method, target)
				if got := h.Get("Access-Control-Allow-Credentials"); got != want {
					t.Errorf("%s %s: credentials are allowed: %q", method, target, got)
				}
				h = preflight(s, "https://evil.org", method, target)
				if got := h.Get("Access-Control-Allow-Credentials"); got != "" {
					t.Errorf("%s %s: credentials are allowed to others", method, target)
				}
			}
		}
	}
}
