package handlers_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// allBytes returns each byte once.
func allBytes() string {
	b := make([]byte, 256)
	for i := range b {
		b[i] = byte(i)
	}
	return string(b)
}

func TestValuesAreBytes(t *testing.T) {
	t.Parallel()
	g := start(t)
	kv := g.shop(t)
	for name, value := range map[string]string{
		"nothing": "", "nul": "\x00", "every byte": allBytes(), "line ends": "\r\n\r\n",
		"json": `{"a": 1.0 }`, "a NATS header": "NATS/1.0\r\nX: y\r\n\r\n",
		"half a character": "\xc3", "large": strings.Repeat("0123456789abcdef", 50_000),
		"as HTTP": "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			key := strings.ReplaceAll(name, " ", ".")
			for i, body := range []any{value, chunked(value)} {
				path := fmt.Sprintf("/buckets/shop/keys/%s.%d", key, i)
				g.do(t, "PUT", path, body).is(t, 200)
				wantNative(t, kv, fmt.Sprintf("%s.%d", key, i), value)
				g.get(t, path).is(t, 200).hasBody(t, value).
					has(t, "Content-Length", fmt.Sprint(len(value))).
					has(t, "Content-Type", "application/octet-stream")
			}
			put(t, kv, key, value)
			g.get(t, "/buckets/shop/keys/"+key).is(t, 200).hasBody(t, value)
		})
	}
}

func TestPutWithoutABodyStoresAnEmptyValue(t *testing.T) {
	t.Parallel()
	g := start(t)
	kv := g.shop(t)
	g.do(t, "PUT", "/buckets/shop/keys/a", nil).is(t, 200)
	wantNative(t, kv, "a", "")
	g.get(t, "/buckets/shop/keys/a").is(t, 200).hasBody(t, "")
}

func TestContentTypeAndEncodingAreStored(t *testing.T) {
	t.Parallel()
	g := start(t)
	g.shop(t)
	for i, tc := range []struct {
		send           []string
		mediaType, enc string // the content type and encoding of the answer
	}{
		{nil, "application/octet-stream", ""},
		{[]string{"Content-Type: application/json"}, "application/json", ""},
		{[]string{"Content-Type: text/plain; charset=utf-8"}, "text/plain; charset=utf-8", ""},
		{[]string{"Content-Type: text/html"}, "text/html", ""},
		{[]string{"content-type:IMAGE/PNG"}, "IMAGE/PNG", ""},
		{[]string{"Content-Type: multiparts/mixed"}, "multiparts/mixed", ""},
		{[]string{`Content-Type: text/plain; charset="*"`}, `text/plain; charset="*"`, ""},
		{[]string{"Content-Type: application/x-www-form-urlencoded"}, "application/octet-stream",
			""},
		{[]string{"Content-Type: Application/X-WWW-Form-URLencoded; charset=UTF-8"},
			"application/octet-stream", ""},
		{[]string{"Content-Type: application/x-www-form-urlencoded-not"},
			"application/x-www-form-urlencoded-not", ""},
		{[]string{"Content-Type:"}, "application/octet-stream", ""},
		{[]string{"Content-Encoding: gzip"}, "application/octet-stream", "gzip"},
		{[]string{"Content-Type: text/css", "Content-Encoding: deflate", "Content-Encoding: br"},
			"text/css", "deflate, br"},
		{[]string{"Content-Type: application/x-www-form-urlencoded", "Content-Encoding: x-unknown"},
			"application/octet-stream", "x-unknown"},
	} {
		path := fmt.Sprintf("/buckets/shop/keys/k%d", i)
		g.do(t, "PUT", path, "not gzip at all", tc.send...).is(t, 200)
		for _, accept := range []string{
			"Accept-Encoding: identity", "Accept-Encoding: gzip, br", "Accept: image/avif",
		} {
			g.get(t, path, accept).is(t, 200).hasBody(t, "not gzip at all").
				has(t, "Content-Type", tc.mediaType).
				has(t, "Content-Encoding", tc.enc)
		}
	}
}

func TestHeadersThatCannotBeStoredAreRefused(t *testing.T) {
	t.Parallel()
	g := start(t)
	kv := g.shop(t)
	put(t, kv, "a", "old")
	for _, tc := range []struct {
		header string
		status int
		code   string
	}{
		{"Content-Type: text", 400, "invalid-header"},
		{"Content-Type: /", 400, "invalid-header"},
		{"Content-Type: text/plain; charset", 400, "invalid-header"},
		{"Content-Type: text/plain; a=1; a=2", 400, "invalid-header"},
		{"Content-Type: t\xc3\xa9xt/plain", 400, "invalid-header"},
		{"Content-Type: */*", 400, "invalid-header"},
		{"Content-Type: image/*", 400, "invalid-header"},
		{"Content-Type: text/* ; charset=utf-8", 400, "invalid-header"},
		{"Content-Type: */*;q=0.8", 400, "invalid-header"},
		{"Content-Type: */png", 400, "invalid-header"},
		{"Content-Type: application/*+json", 400, "invalid-header"},
		{"Content-Type: text/*x; charset=utf-8", 400, "invalid-header"},
		{`Content-Type: multipart/form-data; boundary="a b"`, 415, "unsupported-media-type"},
		{"Content-Type: Multipart/Mixed; boundary=x", 415, "unsupported-media-type"},
		{"Content-Type: multipart/related", 415, "unsupported-media-type"},
		{"content-type: Multipart/Form-Data", 415, "unsupported-media-type"},
		{"Content-Encoding: gz\xffip", 400, "invalid-header"},
		{"Content-Range: bytes 0-1/2", 400, "invalid-header"},
		{"Content-Type: text/plain; a=" + strings.Repeat("x", 5000), 431, "header-too-large"},
		{"Content-Encoding: " + strings.Repeat("x", 5000), 431, "header-too-large"},
	} {
		document := g.do(t, "PUT", "/buckets/shop/keys/a", "new", tc.header).
			problem(t, tc.status, tc.code)
		name, _, _ := strings.Cut(tc.header, ":")
		if tc.status == 400 && document["header"] != name {
			t.Errorf("%.40s: header %v", tc.header, document["header"])
		}
	}
	wantNative(t, kv, "a", "old")
}

func TestValueHasItsHeaders(t *testing.T) {
	t.Parallel()
	g := start(t)
	kv := g.shop(t)
	g.do(t, "PUT", "/buckets/shop/keys/page", "<script>alert(1)</script>",
		"Content-Type: text/html", "Content-Encoding: identity").is(t, 200)
	entry, err := kv.Get(t.Context(), "page")
	if err != nil {
		t.Fatal(err)
	}
	a := g.get(t, "/buckets/shop/keys/page").is(t, 200)
	for name, want := range map[string]string{
		"ETag": fmt.Sprintf(`"%d-%s"`,
			entry.Revision(), g.epochOf(t, "shop")),
		"KV-Revision":                  fmt.Sprint(entry.Revision()),
		"KV-Created":                   entry.Created().UTC().Format(time.RFC3339Nano),
		"Last-Modified":                entry.Created().UTC().Format(http.TimeFormat),
		"KV-Consistency":               "leader",
		"KV-Expires":                   "",
		"KV-TTL":                       "",
		"Cache-Control":                "private, no-cache, no-transform",
		"X-Content-Type-Options":       "nosniff",
		"Content-Security-Policy":      "sandbox; default-src 'none'",
		"Cross-Origin-Resource-Policy": "same-origin",
		"Accept-Ranges":                "bytes",
		"Content-Type":                 "text/html",
		"Content-Encoding":             "identity",
		"Content-Length":               "25",
		"Set-Cookie":                   "",
	} {
		a.has(t, name, want)
	}
	wantSameHeaders(t, a, g.do(t, "HEAD", "/buckets/shop/keys/page", nil).is(t, 200).hasBody(t, ""))
}

// wantSameHeaders checks that HEAD has the headers of GET, except for the id of the request.
func wantSameHeaders(t *testing.T, get, head *answer) {
	t.Helper()
	for name := range get.header {
		if name != "Date" && name != "X-Request-Id" {
			head.has(t, name, strings.Join(get.header.Values(name), "|"))
		}
	}
	for name := range head.header {
		if get.header.Values(name) == nil {
			t.Errorf("%s: %s, which GET has not", head.request, name)
		}
	}
}

// HEAD has the status and headers of GET, errors and 304 included. But Range concerns GET alone
// (RFC 9110 §14.2).
func TestHeadIsGetWithoutABody(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for _, s := range states {
		p := f.keyIn(t, s)
		for _, header := range [][]string{
			nil, {p.fill(`If-None-Match: "TAG"`)}, {`If-Match: "999999"`}, {`If-Match: x`},
		} {
			get := f.get(t, p.path(), header...)
			head := f.do(t, "HEAD", p.path(), nil, header...)
			if head.status != get.status {
				t.Errorf("%s: status %d, GET has %d", head.request, head.status, get.status)
			}
			for _, name := range []string{"ETag", "KV-Revision", "KV-Operation", "KV-Consistency"} {
				head.has(t, name, get.header.Get(name))
			}
			head.hasBody(t, "")
		}
	}
	p := f.keyIn(t, value)
	f.do(t, "HEAD", p.path(), nil, "Range: bytes=0-0").is(t, 200).has(t, "Content-Length", "3").
		has(t, "Content-Range", "")
	f.do(t, "HEAD", p.path(), nil, "Range: bytes=100-").is(t, 200)
}

func TestMissingValuesAre404(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for _, s := range []state{deleted, purged} {
		p := f.keyIn(t, s)
		operation := map[state]string{deleted: "delete", purged: "purge"}[s]
		for _, place := range []string{"keys", "entries"} {
			a := f.get(t, "/buckets/shop/"+place+"/"+p.key)
			document := a.problem(t, 404, "key-deleted")
			a.has(t, "ETag", p.tag()).has(t, "KV-Revision", fmt.Sprint(p.last)).
				has(t, "KV-Operation", operation)
			if fmt.Sprint(document["revision"]) != fmt.Sprint(p.last) ||
				document["operation"] != operation {
				t.Errorf("%s: %v", a.request, document)
			}
		}
	}
	for _, place := range []string{"keys", "entries", "history"} {
		f.get(t, "/buckets/shop/"+place+"/never").has(t, "ETag", `"0"`).has(t, "KV-Operation", "").
			problem(t, 404, "key-not-found")
		f.get(t, "/buckets/nowhere/"+place+"/a").has(t, "ETag", "").
			problem(t, 404, "bucket-not-found")
	}
	f.do(t, "PUT", "/buckets/nowhere/keys/a", "v").problem(t, 404, "bucket-not-found")
	f.do(t, "DELETE", "/buckets/nowhere/keys/a", nil).problem(t, 404, "bucket-not-found")
}

// A page must not be able to run a stored file as a part of itself.
func TestForbiddenDestinationsAreRefused(t *testing.T) {
	t.Parallel()
	g := start(t)
	kv := g.shop(t)
	put(t, kv, "a", "alert(1)")
	for _, dest := range []string{
		"script", "style", "worker", "sharedworker", "serviceworker", "object", "embed",
	} {
		for _, path := range []string{
			"/buckets/shop/keys/a", "/buckets/shop/keys/~?key=a", "/buckets/shop/keys/a?revision=1",
		} {
			g.get(t, path, "Sec-Fetch-Dest: "+dest).problem(t, 403, "forbidden-destination")
			g.do(t, "HEAD", path, nil, "Sec-Fetch-Dest: "+dest).is(t, 403)
		}
	}
	for _, dest := range []string{"document", "empty", "image", "iframe", "font", ""} {
		g.get(t, "/buckets/shop/keys/a", "Sec-Fetch-Dest: "+dest).is(t, 200)
	}
}

// A plain read or write sends one request to NATS, and the others send no more than they need.
func TestRoundTripsToNATSAreFew(t *testing.T) {
	t.Parallel()
	g := start(t)
	kv := g.shop(t)
	put(t, kv, "a", "v")
	put(t, kv, "gone", "v")
	deleteKey(t, kv, "gone")
	// After this request the gateway knows the bucket.
	g.get(t, "/buckets/shop/keys/a").is(t, 200)
	for _, tc := range []struct {
		method, path string
		header       []string
		status, want int
	}{
		{"GET", "/buckets/shop/keys/a", nil, 200, 1},
		{"GET", "/buckets/shop/keys/a?consistency=any", nil, 200, 1},
		{"HEAD", "/buckets/shop/keys/a", nil, 200, 1},
		{"GET", "/buckets/shop/entries/a", nil, 200, 1},
		{"GET", "/buckets/shop/keys/a", []string{`If-None-Match: "1"`}, 304, 1},
		{"PUT", "/buckets/shop/keys/a", nil, 200, 1},
		{"PUT", "/buckets/shop/keys/b", []string{"If-None-Match: *"}, 201, 1},
		{"PUT", "/buckets/shop/keys/c", []string{`If-Match: "0"`}, 201, 1},
		{"PUT", "/buckets/shop/keys/a", []string{`If-Match: "99"`}, 412, 1},
		{"PUT", "/buckets/shop/keys/gone", []string{"If-None-Match: *"}, 201, 3},
		{"DELETE", "/buckets/shop/keys/c", nil, 200, 2},
		{"GET", "/buckets/shop/keys/.", nil, 400, 0},
	} {
		var a *answer
		requests := g.wire.requests(func() {
			a = g.do(t, tc.method, tc.path, bodyFor(tc.method), tc.header...)
		})
		if a.is(t, tc.status); requests != tc.want {
			t.Errorf("%s: %d requests to NATS, want %d", a.request, requests, tc.want)
		}
	}
}

// Many clients write and read at once, each its own keys. None gets the answer to another's
// request.
func TestConcurrentClientsGetTheirOwnAnswers(t *testing.T) {
	t.Parallel()
	g := start(t)
	g.shop(t)
	var clients sync.WaitGroup
	for c := range 16 {
		clients.Go(func() {
			s := g.session(t)
			path := fmt.Sprintf("/buckets/shop/keys/client%d", c)
			for i := range 15 {
				value := strings.Repeat(fmt.Sprintf("%d.%d,", c, i), 1+c*50)
				tag := s.do(t, "PUT", path, value, "Content-Type: text/plain").tag()
				a := s.do(t, "GET", path, nil)
				if unchecked(a.tag()) != tag || string(a.body) != value {
					t.Errorf("client %d reads %s %.40q, wrote %s %.40q",
						c, a.tag(), a.body, tag, value)
				}
				b := s.do(t, "GET", path+".never", nil)
				if b.status != 404 || !strings.Contains(string(b.body), "key-not-found") {
					t.Errorf("client %d: %d %s", c, b.status, b.body)
				}
				if b := s.do(t, "PUT", path, "x", "If-None-Match: *"); b.status != 412 ||
					unchecked(b.tag()) != tag {
					t.Errorf("client %d: %d %s, want 412 %s", c, b.status, b.tag(), tag)
				}
			}
		})
	}
	clients.Wait()
}
