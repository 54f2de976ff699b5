package handlers_test

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"kvgateway/internal/handlers"
)

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
