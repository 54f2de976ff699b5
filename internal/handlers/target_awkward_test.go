package handlers_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
)

// awkwardKeys are keys that a router which cleans paths would change.
var awkwardKeys = []string{
	"a//b", "a/./b", "a/.b", "a/b/", "/", "//", "/a", "a/", "///a///b///", "=", "a=b", "==", "-",
	"_", "a.b.c", "a/b.c/d",
	"keys/a", "CON", "a-_=/9", "A.a", "a.A",
	strings.Repeat("k", 1024), strings.Repeat("a/", 512), strings.Repeat("a.", 511) + "ab",
	strings.Repeat("/", 1024),
}

// spellings are the ways to write a key behind /keys/, /entries/ or /history/.
var spellings = []struct {
	name  string
	write func(key string) string
}{
	{"as it is", func(key string) string { return key }},
	{"slashes encoded", func(key string) string { return strings.ReplaceAll(key, "/", "%2F") }},
	{"in lower case", func(key string) string { return strings.ReplaceAll(key, "/", "%2f") }},
	{"every byte encoded", func(key string) string { return percentEncoded(key) }},
	{"in the query", func(key string) string { return "~?key=" + url.QueryEscape(key) }},
	{"in the query, slashes as they are", func(key string) string { return "~?key=" + key }},
}

// percentEncoded encodes every byte of a text for a URL.
func percentEncoded(s string) string {
	var b strings.Builder
	for i := range len(s) {
		fmt.Fprintf(&b, "%%%02X", s[i])
	}
	return b.String()
}

func TestAwkwardKeysRoundTrip(t *testing.T) {
	t.Parallel()
	g := start(t)
	kv := g.shop(t)
	for _, key := range awkwardKeys {
		t.Run(fmt.Sprintf("%.30s", key), func(t *testing.T) {
			value := ""
			for _, w := range spellings {
				value = "written with the key " + w.name
				a := g.do(t, "PUT", "/buckets/shop/keys/"+w.write(key), value).is(t, 200)
				if got := a.object(t)["key"]; got != key {
					t.Errorf("%s: stored under %.100q", a.request, got)
				}
				wantNative(t, kv, key, value)
			}
			for _, r := range spellings {
				g.wantReadable(t, key, r.write(key), value)
				g.do(t, "DELETE", "/buckets/shop/keys/"+r.write(key), nil).is(t, 200)
				g.get(t, "/buckets/shop/keys/"+r.write(key)).problem(t, 404, "key-deleted")
				put(t, kv, key, value)
			}
		})
	}
}

// wantReadable checks every read of a key that is spelled in one of the ways.
func (g *gateway) wantReadable(t *testing.T, key, spelled, value string) {
	t.Helper()
	g.get(t, "/buckets/shop/keys/"+spelled).is(t, 200).hasBody(t, value)
	g.do(t, "HEAD", "/buckets/shop/keys/"+spelled, nil).is(t, 200).
		has(t, "Content-Length", fmt.Sprint(len(value)))
	entry := g.get(t, "/buckets/shop/entries/"+spelled).is(t, 200).object(t)
	if entry["key"] != key || entry["text"] != value {
		t.Errorf("entries/%.100s: %.300v", spelled, entry)
	}
	entries, _ := g.get(t, "/buckets/shop/history/"+spelled).is(t, 200).object(t)["entries"].([]any)
	if len(entries) == 0 {
		t.Fatalf("history/%.100s is empty", spelled)
	}
	last := entries[len(entries)-1].(map[string]any)
	if last["key"] != key || last["text"] != value {
		t.Errorf("history/%.100s ends in %.300v", spelled, last)
	}
}

// The Location of a creation leads to what was created.
func TestLocationLeadsToTheValue(t *testing.T) {
	t.Parallel()
	g := start(t, func(s *setup) { s.handlers.BasePath = "/kv" })
	g.shop(t)
	for _, key := range []string{"a", "a//b", "a/./b", "a=b", "/"} {
		a := g.do(t, "PUT", "/buckets/shop/keys/~?key="+url.QueryEscape(key), key,
			"If-None-Match: *").is(t, 201)
		location := a.header.Get("Location")
		path, below := strings.CutPrefix(location, "/kv")
		if !below || strings.Contains(location, "/./") || strings.Contains(location, "//") {
			t.Errorf("Location %q: proxies and clients would change it", location)
		}
		g.get(t, path).is(t, 200).hasBody(t, key)
	}
}

func TestLongestBucketNameIsServed(t *testing.T) {
	t.Parallel()
	g := start(t)
	bucket := "/buckets/" + strings.Repeat("b", 252)
	key := strings.Repeat("k", 1024)
	g.do(t, "PUT", bucket, nil).is(t, 201)
	g.do(t, "PUT", bucket+"/keys/"+key, "v", "If-None-Match: *").is(t, 201)
	g.get(t, bucket+"/keys/"+key+"?consistency=any").is(t, 200).hasBody(t, "v")
	g.get(t, bucket+"/history/"+key).is(t, 200)
	keys := stringsOf(g.get(t, bucket+"/keys?filter="+key).is(t, 200).object(t)["keys"])
	if len(keys) != 1 {
		t.Errorf("keys: %.100q", keys)
	}
	g.do(t, "DELETE", bucket+"/keys/"+key, nil).is(t, 200)
	g.do(t, "DELETE", bucket+"/markers?older_than=0s&filter="+key, nil).is(t, 200)
	g.do(t, "DELETE", bucket, nil).is(t, 204)
}
