package handlers_test

import (
	"net/http"
	"strings"
	"testing"
)

// Paths are neither cleaned nor redirected, and one with a slash too many does not lead to the
// bucket.
func TestUnknownPathsAreNotFound(t *testing.T) {
	t.Parallel()
	g := start(t)
	kv := g.shop(t)
	put(t, kv, "a", "untouched")
	for _, path := range []string{
		"//", "//buckets", "/buckets/", "//buckets/shop", "/buckets/shop/", "/buckets/shop//",
		"/buckets//shop", "/buckets/shop/.",
		"/./buckets/shop", "/buckets/../buckets/shop", "/x/../buckets/shop",
		"/buckets/shop/keys/../../shop/",
		"/buckets/shop//keys", "/buckets/shop//keys/a", "/buckets/shop/markers/",
		"/buckets/shop/markers/a", "/buckets/shop/keyz",
		"/buckets/shop/history", "/buckets/shop/watch/", "/buckets/shop/transactions",
		"/buckets/shop%2Fkeys",
		"/Buckets", "/BUCKETS/shop", "/buckets%2Fshop", "/%62uckets%2Fshop", "/healthz/",
		"//healthz", "/healthz/x", "/readyz/", "/version/",
		"/openapi.yaml/", "/openapi.yml", "/problems", "/problems/", "/problems/not-found/",
		"/problems/nothing", "/problems/NOT-FOUND",
		"/metrics", "/debug/pprof/", "/watch/", "/tickets",
		"/docs//", "/docs/nothing", "/docs/tour//", "/docs/guide/tour.md",
		"/docs/..", "/llms.txt/",
		"/console//", "/console/nothing.js", "/console/..", "/console/console.js/", "/favicon.ico",
		"/robots.txt", "/*", "/~",
		"/shop", "/kv/buckets",
	} {
		for _, method := range []string{
			"GET", "PUT", "DELETE", "POST", "PATCH", "OPTIONS", "PROPFIND",
		} {
			a := g.do(t, method, path, bodyFor(method))
			if a.status >= 300 && a.status < 400 || a.status < 300 {
				t.Errorf("%s: status %d", a.request, a.status)
			}
		}
	}
	g.get(t, "/buckets/shop").is(t, 200)
	wantNative(t, kv, "a", "untouched")
}

// A DELETE with a slash too many, or with a path that would lead to the bucket if it were cleaned,
// deletes nothing.
func TestDeletingWithAnUntidyPathTouchesNothing(t *testing.T) {
	t.Parallel()
	g := start(t)
	kv := g.shop(t)
	put(t, kv, "a", "untouched")
	for _, path := range []string{
		"/buckets/shop/", "/buckets/shop/.", "/buckets/shop/keys/..", "/buckets/shop/keys/../",
		"/buckets/shop/keys/%2e%2e",
		"/buckets/shop/keys/a/..", "/buckets/shop/keys/a/../..", "/buckets/x/../shop",
		"//buckets/shop", "/buckets//shop",
		"/buckets/shop/keys/", "/buckets/shop/keys//", "/buckets/./shop",
		"/buckets/shop/keys/%2e%2e%2f", "/buckets/shop%2f",
		"/buckets/%2e%2e/buckets/shop", "/buckets/shop/markers/..", "/buckets/shop/keys/..%2f..",
	} {
		if a := g.do(t, "DELETE", path, nil); a.status < 400 {
			t.Errorf("%s: status %d", a.request, a.status)
		}
	}
	g.get(t, "/buckets/shop").is(t, 200)
	wantNative(t, kv, "a", "untouched")
}

func TestInvalidBucketNamesAreRefusedEverywhere(t *testing.T) {
	t.Parallel()
	g := start(t)
	doc := contract(t)
	names := []string{"*", ">", "%3E", "%2A", "a.b", ".", "..", "%2e%2e", "a%2Fb", "a%20b", "~",
		"%00", "a%0d%0a", "%C3%A9", "a$", "a%25",
		"KV_a.>", strings.Repeat("b", 253), strings.Repeat("b", 5000), "a=b", "a+b", "a%5Cb"}
	connections := g.wire.connections()
	for template, item := range doc.Paths.Map() {
		if !strings.Contains(template, "{bucket}") {
			continue
		}
		for method := range item.Operations() {
			for _, name := range names {
				target := strings.NewReplacer("{bucket}", name, "{key}", "a").Replace(template)
				a := g.do(t, method, target, bodyFor(method))
				if method == http.MethodHead {
					a.is(t, 400)
					continue
				}
				if a.problem(t, 400, "invalid-bucket-name")["offset"] == nil {
					t.Errorf("%s: no offset", a.request)
				}
			}
		}
	}
	g.wantConnections(t, connections)
}

func TestBasePathIsPartOfEveryURL(t *testing.T) {
	t.Parallel()
	g := start(t, func(s *setup) { s.handlers.BasePath = "/kv/v1" })
	kv := g.shop(t)
	put(t, kv, "a", "1")
	g.get(t, "/buckets/shop/keys/a").is(t, 200).hasBody(t, "1")
	g.do(t, "PUT", "/buckets/new", nil).is(t, 201).has(t, "Location", "/kv/v1/buckets/new")
	document := g.get(t, "/buckets/shop/keys/none").problem(t, 404, "key-not-found")
	if document["type"] != "/kv/v1/problems/key-not-found" {
		t.Errorf("type %v does not lead anywhere", document["type"])
	}
	g.get(t, strings.TrimPrefix(document["type"].(string), "/kv/v1")).is(t, 200)
	g.get(t, "/buckets?limit=1").is(t, 200)
	for _, target := range []string{
		"/buckets/shop", "/kv/buckets/shop", "/kv/v1buckets/shop", "/kv/v1//", "/livez",
		"/kv/v1//buckets", "/", "/KV/v1/buckets", "/kv/v1x", "/kv", "//kv/v1", "/outside",
	} {
		s := g.session(t)
		if a := s.do(t, "GET", target, nil); a.status != 404 {
			t.Errorf("%s: status %d, want 404", a.request, a.status)
		}
		s.conn.Close()
	}
}
