package main

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"kvgateway/internal/bound"
)

// A page of another site must not use what a browser adds by itself, or that it runs on the machine
// of the gateway, to start profiles.
func TestAdminAddressRefusesPagesOfOtherSites(t *testing.T) {
	t.Parallel()
	gate, root, _ := adminGate(t)
	for _, address := range []string{"127.0.0.1:9090", ":9090", "unix:/run/a.sock"} {
		handler := adminHandler(newRegistry(), bound.NewSet(), gate, address)
		for site, status := range map[string]int{
			"": 200, "none": 200, "same-origin": 200,
			"cross-site": 403, "same-site": 403, "of a later browser": 403,
		} {
			for _, path := range []string{"/bounds", "/metrics", "/debug/pprof/symbol"} {
				r := httptest.NewRequest(http.MethodGet, path, nil)
				r.Host, r.RemoteAddr = "localhost", "192.0.2.1:1234"
				r.Header.Set("Authorization", "Bearer "+root)
				if site != "" {
					r.Header.Set("Sec-Fetch-Site", site)
				}
				w := httptest.NewRecorder()
				if handler.ServeHTTP(w, r); w.Code != status {
					t.Errorf("%s at %s, %q: %d, not %d", path, address, site, w.Code, status)
				}
			}
		}
	}
}
