package main

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"kvgateway/internal/bound"
)

func TestAdminHandlerServesItsPages(t *testing.T) {
	const loop = "127.0.0.1:9090"
	for _, tc := range []struct {
		target, host string
		address      string
		status       int
		want         string
	}{
		{"/metrics", "127.0.0.1:9090", loop, 200, "go_goroutines"},
		{"/metrics", "[::1]:9090", loop, 200, "process_open_fds"},
		{"/debug/pprof/", "localhost", loop, 200, "goroutine"},
		{"/debug/pprof/goroutine?debug=1", "localhost:9090", loop, 200, "goroutine profile"},
		{"/bounds", "localhost:9090", loop, 200, "| bound | what is bounded"},
		{"/debug/pprof/cmdline", "localhost", loop, 404, ""},
		{"/metrics", "rebound.example.com:9090", loop, 421, "unknown host"},
		{"/metrics", "metrics.example.com", ":9090", 200, "go_goroutines"},
		{"/", "localhost", loop, 404, ""},
	} {
		r := httptest.NewRequest(http.MethodGet, tc.target, nil)
		r.Host = tc.host
		w := httptest.NewRecorder()
		adminHandler(newRegistry(), bound.NewSet(), nil, tc.address).ServeHTTP(w, r)
		if w.Code != tc.status || !strings.Contains(w.Body.String(), tc.want) {
			t.Errorf("%s at %s: %d %.80q, want %d with %q",
				tc.target, tc.host, w.Code, w.Body, tc.status, tc.want)
		}
	}
}

func TestBaseURLCanBeConnectedTo(t *testing.T) {
	for address, want := range map[string]string{
		"127.0.0.1:8080": "http://127.0.0.1:8080/kv",
		":8080":          "http://127.0.0.1:8080/kv",
		"0.0.0.0:80":     "http://127.0.0.1:80/kv",
		"[::]:8080":      "http://127.0.0.1:8080/kv",
		"[::1]:8080":     "http://[::1]:8080/kv",
		"kv.local:8080":  "http://kv.local:8080/kv",
	} {
		if got := (&config{BasePath: "/kv"}).baseURL(address); got != want {
			t.Errorf("baseURL(%s) = %s, want %s", address, got, want)
		}
	}
}

func TestHealthcheckReportsReadiness(t *testing.T) {
	status, body, host := 200, `{"status":"ready"}`, ""
	gateway := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/kv/readyz" {
			t.Errorf("asked for %s", r.URL.Path)
		}
		host = r.Host
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}))
	defer gateway.Close()
	check := func(args ...string) (string, error) {
		var out bytes.Buffer
		err := run(t.Context(), append([]string{"healthcheck"}, args...), &out, &out)
		return out.String(), err
	}
	here := []string{"--listen=" + gateway.Listener.Addr().String(), "--base-path=/kv"}

	if out, err := check(here...); err != nil || out != "ready\n" || host != "localhost" {
		t.Errorf("ready gateway: %q, %v, at %s", out, err, host)
	}
	if _, err := check("--url=" + gateway.URL + "/kv/readyz"); err != nil ||
		"http://"+host != gateway.URL {
		t.Errorf("by URL: %v, at %s", err, host)
	}
	status, body = 503, `{"title":"NATS is away","detail":"Try again."}`
	wantFailure := func(what, text string) {
		t.Helper()
		if _, err := check(here...); exitCode(err) != 1 || !strings.Contains(err.Error(), text) {
			t.Errorf("%s: %v", what, err)
		}
	}
	wantFailure("gateway that is not ready", "NATS is away. Try again.")
	status, body = 502, `a proxy's page`
	wantFailure("no problem document", "502 Bad Gateway")
	gateway.Close()
	wantFailure("no gateway", "connection refused")
	if _, err := check("--listen=127.0.0.1:0"); exitCode(err) != 2 {
		t.Errorf("no fixed port: %v", err)
	}
}

func TestVersionNamesAllParts(t *testing.T) {
	for _, args := range [][]string{{"version"}, {"--version"}, {"-v"}, {"serve", "-v"}} {
		var out bytes.Buffer
		if err := run(t.Context(), args, &out, &out); err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"gateway ", "commit ", "built ", "go1.", "nats-server 2."} {
			if !strings.Contains(out.String(), want) {
				t.Errorf("%q: no %q in %q", args, want, out.String())
			}
		}
	}
}
