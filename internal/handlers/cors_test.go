package handlers_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"kvgateway/internal/handlers"
)

// A page of an allowed origin passes the preflight for a compare-and-set. A page of any other
// origin is not allowed anything.
func TestPreflightAllowsConfiguredOriginsOnly(t *testing.T) {
	const allowed = "https://app.example.com"
	s, err := handlers.New(handlers.Options{Logger: zerolog.Nop(), AllowOrigins: []string{allowed}})
	if err != nil {
		t.Fatal(err)
	}
	for origin, want := range map[string]string{
		allowed: allowed, "https://app.example.com.evil.org": "", "null": "",
	} {
		r := httptest.NewRequest("OPTIONS", "/buckets/shop/keys/a", nil)
		r.Header.Set("Origin", origin)
		r.Header.Set("Access-Control-Request-Method", "PUT")
		r.Header.Set("Access-Control-Request-Headers", "content-type,if-match")
		rec := httptest.NewRecorder()
		s.ServeHTTP(rec, r)
		if got := rec.Header().Get("Access-Control-Allow-Origin"); got != want {
			t.Errorf("%s: allowed %q", origin, got)
		}
		if !strings.Contains(strings.Join(rec.Header()["Vary"], ","), "Origin") {
			t.Errorf("%s: Vary is %q", origin, rec.Header()["Vary"])
		}
	}
	rec := httptest.NewRecorder()
	r := httptest.NewRequest("GET", "/healthz", nil)
	r.Header.Set("Origin", allowed)
	s.ServeHTTP(rec, r)
	if rec.Code != http.StatusOK || !strings.Contains(strings.ToLower(rec.Header().
		Get("Access-Control-Expose-Headers")), "etag") {
		t.Errorf("%d, exposed %q", rec.Code, rec.Header().Get("Access-Control-Expose-Headers"))
	}
}
