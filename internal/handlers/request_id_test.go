package handlers_test

import (
	"bufio"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"kvgateway/internal/handlers"
)

// An id that the client sends is that of the request, so that it is the same in all logs. Whatever
// could not be one is replaced.
func TestRequestIDOfTheClientIsKept(t *testing.T) {
	t.Parallel()
	g := start(t)
	g.shop(t)
	const longest = "Root=1-67891233/abcdef012345678912345678:a_b.c+d-000000000000001"
	for _, id := range []string{"f058ebd6-02f7-4d3f-942e-904344e8cde5", "x", longest} {
		a := g.get(t, "/buckets/shop/keys/a", "X-Request-Id: "+id).is(t, 404).
			has(t, "X-Request-Id", id)
		if instance := a.object(t)["instance"]; instance != id {
			t.Errorf("instance %v, want %s", instance, id)
		}
		logged := func() bool {
			lines := g.accessLog(t)
			return len(lines) > 0 && lines[len(lines)-1].ID == id
		}
		eventually(t, "the request is logged under "+id, logged)
	}
	for _, id := range []string{longest + "x", "a b", "a\"b", "a<b>", "é", "a,b", ""} {
		got := g.get(t, "/healthz", "X-Request-Id: "+id).is(t, 200).header.Get("X-Request-Id")
		if got == id || got == "" {
			t.Errorf("X-Request-Id %q for a request with %q", got, id)
		}
	}
	two := g.get(t, "/healthz", "X-Request-Id: a", "X-Request-Id: b").header.Get("X-Request-Id")
	if two == "a" || two == "b" {
		t.Errorf("of two ids %s was taken", two)
	}
}

// Every answer has an id: each of a resource, of a condition that holds, of a stream in either
// form, of HTTP/2, and those that are given before the request is routed.
func TestEveryAnswerHasARequestID(t *testing.T) {
	t.Parallel()
	for _, loops := range []int{-1, 0} {
		g := start(t, func(s *setup) { s.handlers.StreamLoops, s.handlers.CheckHost = loops, true })
		put(t, g.shop(t), "a", "v")
		seen := make(map[string]bool)
		note := func(name, id string) {
			if id == "" || seen[id] {
				t.Errorf("%s: X-Request-Id %q", name, id)
			}
			seen[id] = true
		}
		tag := g.get(t, "/buckets/shop/keys/a").is(t, 200).header.Get("ETag")
		for _, tc := range []struct {
			method, target string
			header         []string
			status         int
		}{
			{"GET", "/buckets/shop/keys/a", nil, 200},
			{"HEAD", "/buckets/shop/keys/a", nil, 200},
			{"GET", "/buckets/shop/keys/a", []string{"If-None-Match: " + tag}, 304},
			{"GET", "/buckets/shop/keys/a", []string{"Range: bytes=0-0"}, 206},
			{"GET", "/nothing", nil, 404},
			{"POST", "/buckets/shop/keys/a", nil, 405},
			{"GET", "/buckets", []string{"Host: example.com"}, 421},
			{"GET", "/buckets", []string{"A: " + strings.Repeat("x", 70_000)}, 431},
			{"DELETE", "/buckets/shop/keys/a", nil, 200},
		} {
			a := g.do(t, tc.method, tc.target, nil, tc.header...).is(t, tc.status)
			note(tc.method+" "+tc.target, a.header.Get("X-Request-Id"))
		}
		s := g.session(t)
		begin(t, s.conn, "GET /buckets/shop/watch HTTP/1.1\r\nHost: localhost\r\n\r\n")
		response, err := http.ReadResponse(bufio.NewReader(s.conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		note("a stream", response.Header.Get("X-Request-Id"))
		s.conn.Close()
	}
}

// A page of another origin can read the id, which is what its user reports.
func TestRequestIDIsExposed(t *testing.T) {
	const origin = "https://app.example.com"
	s, err := handlers.New(handlers.Options{Logger: zerolog.Nop(), AllowOrigins: []string{origin}})
	if err != nil {
		t.Fatal(err)
	}
	for _, method := range []string{"GET", "OPTIONS"} {
		rec := httptest.NewRecorder()
		r := httptest.NewRequest(method, "/livez", nil)
		r.Header.Set("Origin", origin)
		r.Header.Set("Access-Control-Request-Method", "GET")
		s.ServeHTTP(rec, r)
		if rec.Header().Get("X-Request-Id") == "" {
			t.Errorf("%s: no X-Request-Id", method)
		}
		exposed := strings.ToLower(rec.Header().Get("Access-Control-Expose-Headers"))
		if method == "GET" && !strings.Contains(exposed, "x-request-id") {
			t.Errorf("exposed: %s", exposed)
		}
	}
}

// The log names buckets and keys only where the operator wants it.
func TestAccessLogNamesKeysOnRequest(t *testing.T) {
	t.Parallel()
	g := start(t, func(s *setup) { s.handlers.LogKeys = true })
	put(t, g.shop(t), "a", "v")
	for _, tc := range []struct{ method, target, bucket, key string }{
		{"GET", "/buckets/shop/keys/a", "shop", "a"},
		{"HEAD", "/buckets/shop/keys/x%2Fy", "shop", "x/y"},
		{"GET", "/buckets/shop/keys/~?key=a", "shop", "a"},
		{"GET", "/buckets/shop/entries/a", "shop", "a"},
		{"GET", "/buckets/shop/history/a", "shop", "a"},
		{"PUT", "/buckets/shop/keys/b", "shop", "b"},
		{"DELETE", "/buckets/shop/keys/b", "shop", "b"},
		{"GET", "/buckets/shop/keys", "shop", ""},
		{"GET", "/buckets/none", "none", ""},
		{"GET", "/buckets/shop/keys/a*", "shop", ""},
		{"GET", "/buckets/a*/keys/a", "", "a"},
		{"PUT", "/buckets/shop/keys/c?ttl=5", "shop", "c"},
		{"POST", "/buckets/shop/keys/zz", "shop", "zz"},
		{"POST", "/buckets/shop/keys/~?key=zz", "shop", "zz"},
		{"DELETE", "/buckets/shop/history/b", "shop", "b"},
		{"GET", "/watch?watch=shop&watch=none:a.>&watch=shop:b&x=1", "shop,none", ""},
		{"GET", "/watch", "", ""},
		{"GET", "/nothing/shop/keys/a", "", ""},
		{"GET", "/buckets", "", ""},
	} {
		before := len(g.accessLog(t))
		g.do(t, tc.method, tc.target, nil)
		eventually(t, "the request is logged", func() bool { return len(g.accessLog(t)) > before })
		line := g.accessLog(t)[before]
		if line.Bucket != tc.bucket || line.Key != tc.key {
			t.Errorf("%s %s: logged as %+v", tc.method, tc.target, line)
		}
	}
}

// What is refused before it is routed has its names in the log as well, whatever the base path is.
func TestRefusedRequestsAreLoggedWithTheirNames(t *testing.T) {
	t.Parallel()
	for _, base := range []string{"", "/kv"} {
		g := start(t, func(s *setup) { s.handlers.LogKeys, s.handlers.BasePath = true, base })
		g.shop(t)
		for _, tc := range []struct {
			method, header string
			status         int
		}{
			{"PUT", "Origin: https://example.com", 403},
			{"GET", "Sec-Fetch-Dest: script", 403},
			{"GET", "A: " + strings.Repeat("x", 70_000), 431},
			{"PUT", "If-Match: x", 400},
		} {
			before := len(g.accessLog(t))
			g.do(t, tc.method, "/buckets/shop/keys/a", nil, tc.header).is(t, tc.status)
			logged := func() bool { return len(g.accessLog(t)) > before }
			eventually(t, "the request is logged", logged)
			if line := g.accessLog(t)[before]; line.Bucket != "shop" || line.Key != "a" {
				t.Errorf("%.40s: logged as %+v", tc.header, line)
			}
		}
	}
}
