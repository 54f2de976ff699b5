package handlers_test

import (
	"fmt"
	"strings"
	"testing"
)

// says checks that the detail of a problem has each of these texts.
func says(t *testing.T, p map[string]any, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if detail := fmt.Sprint(p["detail"]); !strings.Contains(detail, text) {
			t.Errorf("%s\nlacks: %s", detail, text)
		}
	}
}

// A bucket that is missing is named, whatever the operation, since a request may be for several.
func TestMissingBucketIsNamed(t *testing.T) {
	t.Parallel()
	g := start(t)
	for _, request := range []string{
		"GET /buckets/shoop", "DELETE /buckets/shoop", "PATCH /buckets/shoop",
		"GET /buckets/shoop/keys", "GET /buckets/shoop/keys/a", "PUT /buckets/shoop/keys/a",
		"GET /buckets/shoop/history/a", "GET /buckets/shoop/watch", "GET /watch?watch=shoop",
		"GET /buckets/shoop/entries", "GET /buckets/shoop/markers",
	} {
		method, target, _ := strings.Cut(request, " ")
		var body any
		var header []string
		if method == "PATCH" {
			body, header = "{}", []string{mergeType}
		}
		p := g.do(t, method, target, body, header...).problem(t, 404, "bucket-not-found")
		if p["bucket"] != "shoop" {
			t.Errorf("%s: bucket %v", request, p["bucket"])
		}
		says(t, p, "There is no bucket shoop.", "GET /buckets lists")
		if strings.Contains(fmt.Sprint(p["detail"]), "PUT /buckets/shoop creates it") ==
			(method == "DELETE") {
			t.Errorf("%s: %v", request, p["detail"])
		}
	}
}

// Who updates a key that was never written learns that, and how to create it.
func TestUpdateOfAMissingKeyOffersToCreateIt(t *testing.T) {
	t.Parallel()
	g := start(t)
	put(t, g.shop(t), "a", "v")
	for _, request := range []string{"PUT /buckets/shop/keys/new", "PUT /buckets/shop/keys/a"} {
		method, target, _ := strings.Cut(request, " ")
		p := g.do(t, method, target, "v", `If-Match: "7"`).problem(t, 412, "revision-mismatch")
		if strings.HasSuffix(target, "new") {
			says(t, p, "never written", "If-None-Match: *", "Nothing was done")
		} else {
			says(t, p, "at revision 1", "new ETag in If-Match", "Nothing was done")
		}
	}
	p := g.do(t, "PUT", "/buckets/shop/keys/a", "v", "If-None-Match: *").
		problem(t, 412, "key-exists")
	says(t, p, "at revision 1", "If-Match", "Nothing was done")
}

// A refused precondition is explained by what was sent, and by what the key is.
func TestRefusedPreconditionsAreExplained(t *testing.T) {
	t.Parallel()
	g := start(t)
	kv := g.shop(t)
	put(t, kv, "a", "v")
	put(t, kv, "gone", "v")
	deleteKey(t, kv, "gone")
	for _, tc := range []struct{ key, header, says, not string }{
		{"new", `If-None-Match: "0"`, `what "0" in If-None-Match excludes`, "If-Match"},
		{"new", "If-Match: *", "never written", "which is not"},
		{"a", `If-None-Match: "1"`, "revision 1, which If-None-Match excludes", "Read the key"},
		{"gone", "If-Match: *", "The key is deleted: its last entry, at revision 3, is a marker",
			"Read the key"},
		{"gone", `If-None-Match: "3"`, "revision 3, which If-None-Match excludes", "Read the key"},
		{"a", `If-Match: "9"`, "revision 1, which is not the one", "deleted"},
	} {
		p := g.do(t, "PUT", "/buckets/shop/keys/"+tc.key, "v", tc.header).
			problem(t, 412, "revision-mismatch")
		says(t, p, tc.says, "Nothing was done")
		detail := strings.ReplaceAll(fmt.Sprint(p["detail"]), "If-None-Match", "")
		if strings.Contains(detail, tc.not) {
			t.Errorf("%s, %s: %s", tc.key, tc.header, detail)
		}
	}
	// What the problem of a deleted key advises is possible.
	p := g.do(t, "PUT", "/buckets/shop/keys/gone", "v", "If-Match: *").
		problem(t, 412, "revision-mismatch")
	says(t, p, "If-None-Match: *")
	g.do(t, "PUT", "/buckets/shop/keys/gone", "v", "If-None-Match: *").is(t, 201)
}

// A name that cannot be one is refused with what is wrong in it, and with the whole grammar.
func TestInvalidNamesAreNamed(t *testing.T) {
	t.Parallel()
	g := start(t)
	g.shop(t)
	for target, want := range map[string]string{
		"/buckets/shop/keys/a*": "Invalid key: '*' is none of the characters A-Z a-z 0-9 - / _ = " +
			"and dots (at offset 1).",
		"/buckets/shop/keys/%00": "Invalid key: the byte 0x00 is none of the characters",
		"/buckets/shop/keys?filter=a%20": "Invalid filter: the byte 0x20 is none of the " +
			"characters A-Z a-z 0-9 - / _ = * > and dots (at offset 1).",
		"/buckets/a.b": "Invalid bucket name: '.' is none of the characters A-Z a-z 0-9 _ and - " +
			"(at offset 1).",
	} {
		a := g.get(t, target).is(t, 400)
		says(t, a.object(t), want)
	}
}

// A proxy that replaces Host makes a page of the gateway's own origin look like another one. The
// refusal names that cause, unless the browser has said that the page is of another site.
func TestCrossSiteRefusalNamesTheProxy(t *testing.T) {
	t.Parallel()
	g := start(t)
	g.shop(t)
	const target = "/buckets/shop/keys/a"
	const origin = "Origin: https://kv.example.com"
	for _, header := range [][]string{{origin}, {origin, "Sec-Fetch-Site: same-origin"}} {
		p := g.do(t, "PUT", target, "v", header...).problem(t, 403, "cross-site")
		says(t, p, "https://kv.example.com", "127.0.0.1", "a proxy before the gateway has replaced",
			"Nothing was done", "--allow-origin")
	}
	p := g.do(t, "PUT", target, "v", origin, "Sec-Fetch-Site: cross-site").
		problem(t, 403, "cross-site")
	if strings.Contains(fmt.Sprint(p["detail"]), "proxy") {
		t.Errorf("the browser says that it is another site: %v", p["detail"])
	}
}
