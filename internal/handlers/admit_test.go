package handlers_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"kvgateway/internal/bound"
	"kvgateway/internal/handlers"
)

func TestUnknownHostIsRefused(t *testing.T) {
	t.Parallel()
	g := start(t, func(s *setup) {
		s.handlers.CheckHost, s.handlers.AllowedHosts = true, []string{"kv.example.com", "10.1.2.3"}
	})
	kv := g.shop(t)
	put(t, kv, "a", "v")
	for host, known := range map[string]bool{
		"localhost": true, "localhost:8080": true, "LocalHost": true, "localhost.": true,
		"foo.localhost": true, "a.b.localhost:80": true,
		"127.0.0.1": true, "127.0.0.1:9": true, "127.0.0.2": true, "127.255.255.254:1": true,
		"[::1]": true, "[::1]:8080": true, "[0:0:0:0:0:0:0:1]": true,
		"kv.example.com": true, "KV.example.com:443": true, "10.1.2.3:80": true,

		"example.com": false, "www.kv.example.com": false, "kv.example.com.evil.example": false,
		"localhost.evil.example": false, "evillocalhost": false,
		"127.0.0.1.evil.example": false, "128.0.0.1": false, "10.1.2.4": false, "0.0.0.0": false,
		"[::]": false, "192.168.1.1:8080": false, "": false,
		"2130706433": false, "0x7f.1": false, "127.1": false, "[::ffff:10.0.0.1]": false,
	} {
		want := 421
		if known {
			want = 200
		}
		for _, path := range []string{"/buckets/shop/keys/a", "/healthz", "/buckets"} {
			a := g.get(t, path, "Host: "+host)
			if a.status != want {
				t.Errorf("Host %q: %s: status %d, want %d", host, path, a.status, want)
			}
			if !known {
				says(t, a.problem(t, 421, "unknown-host"), fmt.Sprintf("Host %q", host),
					"--allowed-host", "a proxy before the gateway has replaced Host")
			}
		}
		if !known && g.do(t, "PUT", "/buckets/shop/keys/a", "by a rebound name",
			"Host: "+host).status < 400 {
			t.Errorf("Host %q wrote", host)
		}
	}
	g.get(t, "/nothing", "Host: example.com").problem(t, 421, "unknown-host")
	wantNative(t, kv, "a", "v")

	open := start(t)
	open.get(t, "/healthz", "Host: example.com").is(t, 200)
}

// Browsers say with Origin and Sec-Fetch-Site where a request comes from. A request that the page
// of another site made may read, but must not change anything.
func TestCrossSiteWritesAreRefused(t *testing.T) {
	t.Parallel()
	allowedOrigins := []string{"https://app.example.com", "http://localhost:3000"}
	g := start(t, func(s *setup) {
		s.handlers.AllowOrigins = allowedOrigins
		s.handlers.PublicURL = "https://kv.example.com/kv"
	})
	kv := g.shop(t)
	own := "http://" + g.address
	for _, tc := range []struct {
		headers []string
		allowed bool
	}{
		{nil, true}, // no browser
		{[]string{"Sec-Fetch-Site: same-origin"}, true},
		{[]string{"Sec-Fetch-Site: same-origin", "Origin: " + own}, true},
		{[]string{"Sec-Fetch-Site: none"}, true}, // typed by the user
		{[]string{"Origin: " + own}, true},
		{[]string{"Origin: " + strings.ToUpper(own)}, true},
		{[]string{"Origin: https://app.example.com"}, true},
		{[]string{"Origin: https://app.example.com", "Sec-Fetch-Site: cross-site"}, true},
		{[]string{"Origin: http://localhost:3000", "Sec-Fetch-Site: same-site"}, true},
		{[]string{"Origin: https://kv.example.com"}, true}, // its own, by --public-url

		{[]string{"Sec-Fetch-Site: cross-site"}, false},
		{[]string{"Sec-Fetch-Site: same-site"}, false},
		{[]string{"Sec-Fetch-Site: cross-site", "Origin: " + own}, false},
		{[]string{"Sec-Fetch-Site: same-origin", "Origin: https://evil.example"}, false},
		{[]string{"Origin: https://evil.example"}, false},
		{[]string{"Origin: null"}, false},
		{[]string{"Origin: null", "Sec-Fetch-Site: cross-site"}, false},
		{[]string{"Origin: http://localhost:3001"}, false},
		{[]string{"Origin: http://127.0.0.1:1"}, false},
		{[]string{"Origin: https://app.example.com.evil.example"}, false},
		{[]string{"Origin: https://app.example.com:444"}, false},
		{[]string{"Origin: http://app.example.com"}, false},
		{[]string{"Origin: http://kv.example.com"}, false},
		{[]string{"Origin: https://kv.example.com/kv"}, false},
		{[]string{"Origin: " + own + ".evil.example"}, false},
		{[]string{"Origin: file://"}, false},
		{[]string{"Origin: garbage"}, false},
	} {
		put(t, kv, "a", "old")
		put(t, kv, "gone", "v")
		deleteKey(t, kv, "gone")
		for _, request := range []struct {
			method, target string
			body           any
		}{
			{"PUT", "/buckets/shop/keys/a", "new"}, {"DELETE", "/buckets/shop/keys/never", nil},
			{"PUT", "/buckets/shop", nil},
			{"PATCH", "/buckets/shop", `{}`}, {"DELETE", "/buckets/nowhere", nil},
			{"DELETE", "/buckets/shop/markers", nil}, {"POST", "/buckets/shop", nil},
		} {
			headers := tc.headers
			if request.method == "PATCH" {
				headers = append([]string{jsonType}, headers...)
			}
			a := g.do(t, request.method, request.target, request.body, headers...)
			if refused := a.status == 403; refused == tc.allowed {
				t.Errorf("%s: status %d, want it allowed: %v", a.request, a.status, tc.allowed)
			}
			if !tc.allowed {
				a.problem(t, 403, "cross-site")
			}
		}
		if !tc.allowed {
			wantNative(t, kv, "a", "old")
		}
		// A page that may not write may still send a read: the same-origin policy of the browser
		// keeps the answer from it.
		a := g.get(t, "/buckets/shop/keys/a", tc.headers...).is(t, 200).
			has(t, "Cross-Origin-Resource-Policy", "same-origin")
		origin := ""
		for _, line := range tc.headers {
			o, ok := strings.CutPrefix(line, "Origin: ")
			if ok && slices.Contains(allowedOrigins, o) {
				origin = o
			}
		}
		a.has(t, "Access-Control-Allow-Origin", origin)
		g.do(t, "HEAD", "/buckets/shop/keys/a", nil, tc.headers...).is(t, 200)
		g.get(t, "/buckets", tc.headers...).is(t, 200)
	}
}

func TestLargeHeadersAreRefused(t *testing.T) {
	t.Parallel()
	g := start(t)
	kv := g.shop(t)
	put(t, kv, "a", "v")
	largest := strings.Repeat("c", handlers.MaxHeaderBytes-len("Cookie: \r\n"))
	for _, target := range []string{"/buckets/shop/keys/a", "/healthz"} {
		g.get(t, target, "Cookie: "+largest).is(t, 200)
		g.get(t, target, "Cookie: "+largest+"c").problem(t, 431, "header-too-large")
		g.get(t, target, "Cookie: "+largest[:40000], "X-Other: "+largest[:40000]).
			problem(t, 431, "header-too-large")
	}
	g.do(t, "HEAD", "/buckets/shop/keys/a", nil, "Cookie: "+largest+"c").is(t, 431)
	g.do(t, "PUT", "/buckets/shop/keys/a", "w", "Cookie: "+largest+"c").
		problem(t, 431, "header-too-large")
	wantNative(t, kv, "a", "v")
}

// Large heads of requests under way are counted against a bound, of which each client has a share.
func TestHeadsOfRequestsUnderWayAreBounded(t *testing.T) {
	t.Parallel()
	bounds := bound.NewSet()
	g := start(t, func(s *setup) { s.client.Bounds, s.handlers.Bounds = bounds, bounds })
	kv := g.shop(t)
	put(t, kv, "a", "1")
	const target = "/buckets/shop/keys/a"
	heads, cookie := bounds.Find("request-heads"), "Cookie: "+strings.Repeat("c", 50_000)
	tag := g.get(t, target).is(t, 200).header.Get("Etag")
	answers := make(chan *answer, 1)
	go func() { answers <- g.get(t, target, "If-None-Match: "+tag, "Prefer: wait=60", cookie) }()
	eventually(t, "a long poll with a large head", func() bool { return heads.Used() > 50_000 })
	var rest bound.Hold
	if !heads.Try(&rest, "127.0.0.1", heads.Limit()/2-heads.Used()-1000, nil) {
		t.Fatal("there is no room")
	}
	g.get(t, target, "Cookie: small").is(t, 200)
	g.get(t, target, "Cookie: "+strings.Repeat("c", 60_000), cookie).is(t, 431)
	if other := g.sessionFrom(t, otherAddress); other != nil {
		other.do(t, "GET", target, nil, cookie).is(t, 200)
	}
	g.get(t, target, "Cookie: "+strings.Repeat("c", 60_000)).is(t, 429)
	put(t, kv, "a", "2")
	(<-answers).is(t, 200)
}

// A page of any site can come by a host name of its own, and has no credential. What callers
// without one may do in the auth file is not for such pages.
func TestUnknownHostIsRefusedWithoutACredential(t *testing.T) {
	t.Parallel()
	g := start(t, withAuth(t, threeCallers, "ann", "bob"), func(s *setup) {
		s.handlers.AllowedHosts = []string{"kv.example.com"}
	})
	kv := g.shop(t)
	put(t, kv, "a", "v")
	for host, known := range map[string]bool{
		"localhost:8080": true, "127.0.0.1": true, "10.1.2.4:8080": true, "[2001:db8::1]": true,
		"KV.example.com": true,

		"evil.example": false, "evil.example:8080": false, "10.1.2.4.evil.example": false,
		"kv.example.com.evil.example": false, "2130706433": false,
	} {
		for _, method := range []string{"GET", "DELETE"} {
			a := g.do(t, method, "/buckets/shop/keys/a", nil, "Host: "+host, "Origin: http://"+host)
			if refused := a.status == 421; refused == known {
				t.Errorf("Host %q: %s: status %d", host, method, a.status)
			}
		}
		a := g.get(t, "/buckets/shop/keys/b", "Host: "+host, bearerOf("ann"))
		a.problem(t, 404, "key-not-found")
	}
	g.get(t, "/buckets", "Host: evil.example").problem(t, 421, "unknown-host")
	g.get(t, "/healthz", "Host: evil.example").is(t, 200)
}
