package handlers_test

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
)

// keyOperations are all operations on a key. The writes carry a body that must not be stored.
var keyOperations = []struct{ method, place, query string }{
	{"GET", "keys", ""}, {"GET", "keys", "consistency=any"}, {"GET", "keys", "revision=1"},
	{"GET", "keys", "min_revision=1"},
	{"HEAD", "keys", ""}, {"PUT", "keys", ""}, {"DELETE", "keys", ""},
	{"DELETE", "keys", "purge=true"},
	{"GET", "entries", ""}, {"GET", "history", ""},
}

// forEachKeyOperation sends a key of any bytes to every operation, once in the path, spelled as
// inPath, and once in the query.
func (g *gateway) forEachKeyOperation(t *testing.T, bucket, inPath, key string,
	check func(a *answer, method string)) {
	t.Helper()
	for _, op := range keyOperations {
		base := "/buckets/" + bucket + "/" + op.place + "/"
		check(g.do(t, op.method, base+inPath+"?"+op.query, bodyFor(op.method)), op.method)
		check(g.do(t, op.method, base+"~?key="+url.QueryEscape(key)+"&"+op.query,
			bodyFor(op.method)), op.method)
	}
}

// bodyFor returns a body for requests of the method that must be refused.
func bodyFor(method string) any {
	if method == "PUT" {
		return "stored by mistake"
	}
	return nil
}

func TestInvalidKeysAreRefused(t *testing.T) {
	t.Parallel()
	g := start(t)
	kv := g.shop(t)
	for _, key := range []string{"a", "b", "a/b", "a.b"} {
		put(t, kv, key, "untouched")
	}
	before := g.messages(t, "shop")
	for _, tc := range []struct {
		path, key string // the key as it is spelled in the path, and what that means
		offset    int    // of the byte that is not allowed
	}{
		{"a/../b", "a/../b", 3}, {"a/..%2Fb", "a/../b", 3}, {"a/%2e%2e/b", "a/../b", 3},
		{"..", "..", 0}, {"%2E%2E", "..", 0},
		{"../keys/a", "../keys/a", 0}, {"a/..", "a/..", 3}, {".", ".", 0}, {"%2e", ".", 0},
		{".a", ".a", 0}, {"a.", "a.", 1}, {"a..b", "a..b", 2}, {"a/.", "a/.", 2},
		{"*", "*", 0}, {">", ">", 0}, {"a.*", "a.*", 2}, {"a.%3E", "a.>", 2}, {"%2A", "*", 0},
		{"*.b", "*.b", 0}, {"a*", "a*", 1},
		{"a%252Fb", "a%2Fb", 1}, {"a%25", "a%", 1}, {"%252e", "%2e", 0},
		{"a%00", "a\x00", 1}, {"a%0Ab", "a\nb", 1}, {"a%0d%0aDEL", "a\r\nDEL", 1},
		{"a%20b", "a b", 1}, {"a+b", "a+b", 1},
		{"%C3%A9", "é", 0}, {"a%FF", "a\xff", 1}, {"a%7F", "a\x7f", 1},
		{"a$b", "a$b", 1}, {"a:b", "a:b", 1}, {"a@b", "a@b", 1}, {"a~", "a~", 1}, {"~a", "~a", 0},
		{"a%3Fb", "a?b", 1}, {"a%23b", "a#b", 1},
		{"a%5Cb", `a\b`, 1}, {"a%7Cb", "a|b", 1}, {"a;b", "a;b", 1}, {"a,b", "a,b", 1},
		{"a&b", "a&b", 1},
		{"$KV.shop.a", "$KV.shop.a", 0}, {"a%09b", "a\tb", 1},
	} {
		t.Run(tc.path, func(t *testing.T) {
			g.forEachKeyOperation(t, "shop", tc.path, tc.key, func(a *answer, method string) {
				if method == "HEAD" {
					a.is(t, 400)
					return
				}
				document := a.problem(t, 400, "invalid-key")
				if document["offset"] != json.Number(fmt.Sprint(tc.offset)) {
					t.Errorf("%s: offset %v, want %d", a.request, document["offset"], tc.offset)
				}
			})
		})
	}
	g.wantUnchanged(t, "shop", before)
	g.get(t, "/buckets/shop").is(t, 200)
}

// A key that is too long is refused before it reaches NATS. A subject of about 4,050 bytes makes
// the server close the connection that all requests share.
func TestLongKeysNeverReachNATS(t *testing.T) {
	t.Parallel()
	g := start(t)
	kv := g.shop(t)
	put(t, kv, "a", "untouched")
	before, connections := g.messages(t, "shop"), g.wire.connections()
	for _, length := range []int{1025, 4050, 5000} {
		for _, key := range []string{
			strings.Repeat("k", length),
			strings.Repeat("a/", length/2) + strings.Repeat("k", length%2),
		} {
			for _, bucket := range []string{"shop", "nowhere"} {
				for _, spelled := range []string{key, strings.ReplaceAll(key, "/", "%2F")} {
					g.forEachKeyOperation(t, bucket, spelled, key, func(a *answer, method string) {
						if method == "HEAD" {
							a.is(t, 414)
							return
						}
						document := a.problem(t, 414, "key-too-long")
						if limit := document["max_key_bytes"]; limit != json.Number("1024") {
							t.Errorf("%s: max_key_bytes %v", a.request, limit)
						}
					})
				}
			}
		}
		g.get(t, "/buckets/shop/keys/a").is(t, 200)
	}
	g.wantUnchanged(t, "shop", before)
	g.wantConnections(t, connections)
}

// Other names and filters that a request can bring into a subject must not make it too long,
// either.
func TestLongNamesNeverReachNATS(t *testing.T) {
	t.Parallel()
	g := start(t)
	g.shop(t)
	connections := g.wire.connections()
	for _, length := range []int{1025, 4050, 5000, 40_000} {
		long := strings.Repeat("x", length)
		g.get(t, "/buckets/shop/keys?filter="+long).problem(t, 400, "invalid-filter")
		g.get(t, "/buckets/shop/keys?filter=a&filter="+long+".>").problem(t, 400, "invalid-filter")
		g.get(t, "/buckets/shop/keys?prefix="+long+".a").problem(t, 400, "invalid-parameter")
		g.get(t, "/buckets/shop/keys?cursor="+long).problem(t, 400, "invalid-cursor")
		g.get(t, "/buckets/shop/markers?filter="+long).problem(t, 400, "invalid-filter")
		g.do(t, "DELETE", "/buckets/shop/markers?filter="+long, nil).
			problem(t, 400, "invalid-filter")
		g.get(t, "/buckets/"+long).problem(t, 400, "invalid-bucket-name")
		g.do(t, "PUT", "/buckets/"+long, nil).problem(t, 400, "invalid-bucket-name")
		g.get(t, "/buckets/shop").is(t, 200)
	}
	g.wantConnections(t, connections)
}

// A client also chooses the bytes of a bucket's configuration, and with it the subjects of later
// writes. They must neither end the shared connection nor insert protocol lines into it.
func TestMirrorOriginCannotBreakTheConnection(t *testing.T) {
	t.Parallel()
	for _, prefix := range []string{
		strings.Repeat("x", 5000), "x y", "x\r\nPUB $KV.shop.a 8\r\nsmuggled\r\n", "x\r\n", "x..y",
		"x.>", "x.*.y", ".", "x\x00y", "é",
	} {
		t.Run(fmt.Sprintf("%.20q", prefix), func(t *testing.T) {
			t.Parallel()
			g := start(t)
			kv := g.shop(t)
			put(t, kv, "a", "untouched")
			connections := g.wire.connections()
			config, err := json.Marshal(map[string]any{
				"mirror": map[string]any{"name": "shop", "external": map[string]any{"api": prefix}},
			})
			if err != nil {
				t.Fatal(err)
			}
			made := g.do(t, "PUT", "/buckets/mirror", string(config), jsonType)
			if made.status != 201 && made.status != 400 {
				t.Errorf("%s: status %d, want 201 or 400\n%s", made.request, made.status, made.body)
			}
			if a := g.do(t, "PUT", "/buckets/mirror/keys/b", "v"); a.status < 400 {
				t.Errorf("a write went somewhere: %s", a.body)
			}
			g.wantConnections(t, connections)
			if a := g.get(t, "/buckets/shop/keys/a"); a.status != 200 {
				t.Errorf("%s: status %d: another client's request fails", a.request, a.status)
			}
			wantNative(t, kv, "a", "untouched")
		})
	}
}

// A key is either in the path or in the query, where "~" in the path says so.
func TestKeyIsInOnePlace(t *testing.T) {
	t.Parallel()
	g := start(t)
	kv := g.bucket(t, jetstream.KeyValueConfig{Bucket: "shop"})
	put(t, kv, "a", "1")
	for _, op := range keyOperations {
		base := "/buckets/shop/" + op.place + "/"
		for _, target := range []string{
			"~", "~?key=", "~?key", "~?key=a&key=b", "a?key=a", "a?key=b", "a?key=",
		} {
			a := g.do(t, op.method, base+target, bodyFor(op.method))
			a.is(t, 400)
			if op.method == "HEAD" {
				continue
			}
			if code := codeOf(a.object(t)); code != "invalid-parameter" && code != "invalid-key" {
				t.Errorf("%s: problem %s", a.request, code)
			}
		}
	}
	wantNative(t, kv, "a", "1")
	// The path is decoded exactly once, before "~" is looked for in it.
	g.get(t, "/buckets/shop/keys/%7E?key=a").is(t, 200).hasBody(t, "1")
}
