package handlers_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

func TestPatchAppliesBothForms(t *testing.T) {
	t.Parallel()
	g := start(t)
	kv := g.shop(t)
	value := `{"n": 12345678901234567890, "f":1.0, "e":1e400, "z":-0, "s":"<\u00e9>", "gone":1}`
	path := "/buckets/shop/keys/orders.17"
	g.do(t, "PUT", path, value, "Content-Type: application/vnd.order+json; v=1").is(t, 200)

	a := g.do(t, "PATCH", path, `{"gone":null,"new":{"a":[1,null]}}`, mergeType+"; charset=utf-8").
		is(t, 200)
	a.hasBody(t, fmt.Sprintf(`{"bucket":"shop","key":"orders.17","revision":2,"epoch":%q}`+"\n",
		g.epochOf(t, "shop"))).has(t, "KV-Revision", "2")
	want := `{"n":12345678901234567890,"f":1.0,"e":1e400,"z":-0,"s":"<\u00e9>","new":{"a":[1,` +
		`null]}}`
	b := g.get(t, path).is(t, 200).hasBody(t, want).
		has(t, "Content-Type", "application/vnd.order+json; v=1")
	if a.tag() != unchecked(b.tag()) {
		t.Errorf("ETag %s, then %s", a.tag(), b.tag())
	}
	g.do(t, "PATCH", path,
		`[{"op":"test","path":"/f","value":1},{"op":"move","from":"/new/a","path":"/a"}]`,
		jsonPatchType, "Prefer: return=minimal").
		is(t, 204).has(t, "Preference-Applied", "return=minimal").has(t, "KV-Revision", "3")
	wantNative(t, kv, "orders.17",
		`{"n":12345678901234567890,"f":1.0,"e":1e400,"z":-0,"s":"<\u00e9>","new":{},"a":[1,null]}`)
	g.do(t, "PATCH", "/buckets/shop/keys/~?key=orders.17", chunked(`5`), mergeType).is(t, 200)
	wantNative(t, kv, "orders.17", `5`)
}

// PATCH changes values that exist. Otherwise it answers as GET and PUT do, and stores nothing.
func TestPatchRefusalsStoreNothing(t *testing.T) {
	t.Parallel()
	g := start(t)
	kv := g.shop(t)
	deep := strings.Repeat("[", 10000) + strings.Repeat("]", 10000)
	for key, value := range map[string]string{
		"json":   `{"n":1}`,
		"text":   "hello",
		"twice":  `{"a":1,"a":2}`,
		"empty":  "",
		"deep":   deep,
		"big":    `{"a":"` + strings.Repeat("x", 600<<10) + `"}`,
		"gone":   "v",
		"purged": "v",
	} {
		put(t, kv, key, value)
	}
	g.publish(t, "shop", "encoded", `{"n":1}`, nats.Header{"Content-Encoding": {"gzip"}})
	deleteKey(t, kv, "gone")
	purgeKey(t, kv, "purged")
	before := g.messages(t, "shop")
	for _, tc := range []struct {
		key, body, contentType string
		status                 int
		code                   string
	}{
		{"never", `{}`, mergeType, 404, "key-not-found"},
		{"gone", `{}`, mergeType, 404, "key-deleted"},
		{"purged", `[]`, jsonPatchType, 404, "key-deleted"},
		{"a*", `{}`, mergeType, 400, "invalid-key"},
		{"text", `{}`, mergeType, 409, "not-json"},
		{"text", `[]`, jsonPatchType, 409, "not-json"},
		{"empty", `{}`, mergeType, 409, "not-json"},
		{"twice", `{}`, mergeType, 409, "not-json"},
		{"deep", `{}`, mergeType, 409, "not-json"},
		{"encoded", `{}`, mergeType, 409, "not-json"},
		{"json", `{"n":`, mergeType, 400, "invalid-body"},
		{"json", `{"n":1,"n":2}`, mergeType, 400, "invalid-body"},
		{"json", `{} {}`, mergeType, 400, "invalid-body"},
		{"json", "{\"n\":\"\xff\"}", mergeType, 400, "invalid-body"},
		{"json", deep, mergeType, 400, "invalid-body"},
		{"json", ``, mergeType, 400, "invalid-body"},
		{"json", `{}`, jsonPatchType, 400, "invalid-body"},
		{"json", `[{"op":"spam","path":""}]`, jsonPatchType, 400, "invalid-body"},
		{"json", `[{"op":"add","path":"/a"}]`, jsonPatchType, 400, "invalid-body"},
		{"json", `[{"op":"test","path":"/n","value":2}]`, jsonPatchType, 409, "patch-test-failed"},
		{"json", `[{"op":"test","path":"/m","value":null}]`, jsonPatchType, 409,
			"patch-test-failed"},
		{"json", `[{"op":"add","path":"/n/m","value":2}]`, jsonPatchType, 422,
			"patch-not-applicable"},
		{"json", `[{"op":"replace","path":"/n","value":2},{"op":"remove","path":"/m"}]`,
			jsonPatchType, 422, "patch-not-applicable"},
		{"big", `[{"op":"copy","from":"/a","path":"/b"}]`, jsonPatchType, 413, "value-too-large"},
		{"big", `[{"op":"copy","from":"/a","path":"/b"},{"op":"remove","path":"/b"}]`,
			jsonPatchType, 413, "value-too-large"},
		{"json", `{"a":"` + strings.Repeat("x", 1<<20-20) + `"}`, mergeType, 413,
			"value-too-large"},
		{"json", strings.Repeat(" ", 1<<20+1), mergeType, 413, "body-too-large"},
		{"json", `{}`, jsonType, 415, "unsupported-media-type"},
		{"json", `{}`, "Content-Type: text/plain", 415, "unsupported-media-type"},
		{"json", `{}`, "X: y", 415, "unsupported-media-type"},
		{"json?ttl=1m", `{}`, "X: y", 415, "unsupported-media-type"},
	} {
		a := g.do(t, "PATCH", "/buckets/shop/keys/"+tc.key, tc.body, tc.contentType)
		a.problem(t, tc.status, tc.code)
		if tc.status == 415 {
			a.has(t, "Accept-Patch", "application/merge-patch+json, application/json-patch+json")
		}
	}
	g.sendHeader(t, "PATCH", "/buckets/shop/keys/json", "Content-Length: 67108864\r\n"+mergeType).
		problem(t, 413, "body-too-large")
	g.do(t, "PATCH", "/buckets/nowhere/keys/a", "{}", mergeType).problem(t, 404, "bucket-not-found")
	g.wantUnchanged(t, "shop", before)
}

// A PATCH that only sets a time to live stores the same bytes again, whatever they are.
func TestTouchStoresTheSameBytes(t *testing.T) {
	t.Parallel()
	g := start(t)
	kv := g.bucket(t, jetstream.KeyValueConfig{Bucket: "shop", LimitMarkerTTL: 1e9})
	g.do(t, "PUT", "/buckets/shop/keys/a", "\x00\xff", "Content-Type: image/png",
		"Content-Encoding: gzip").is(t, 200)
	a := g.do(t, "PATCH", "/buckets/shop/keys/a?ttl=60s", nil).is(t, 200).has(t, "KV-Revision", "2")
	b := g.get(t, "/buckets/shop/keys/a").is(t, 200).hasBody(t, "\x00\xff").
		has(t, "Content-Type", "image/png").has(t, "Content-Encoding", "gzip")
	if unchecked(b.tag()) != a.tag() || b.header.Get("KV-Expires") == "" {
		t.Errorf("%v", b.header)
	}
	g.do(t, "PATCH", "/buckets/shop/keys/never?ttl=60s", nil).problem(t, 404, "key-not-found")
	put(t, kv, "json", `{ "n" : 1 }`)
	g.do(t, "PATCH", "/buckets/shop/keys/json?ttl=60s", `{"m":1}`, mergeType).is(t, 200)
	g.get(t, "/buckets/shop/keys/json").is(t, 200).hasBody(t, `{"n":1,"m":1}`)
}

// PATCH has the preconditions of PUT where there is a value. Where there is none the answer is 404,
// as it is to GET.
func TestPatchPreconditionsAreThoseOfPut(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for _, row := range putTable {
		name := strings.Join(row.headers, "; ")
		p := f.keyIn(t, value)
		put(t, f.kv, p.key, `{"n":1}`)
		p.last = f.lastRevision(t, "shop", p.key)
		before := f.messages(t, "shop")
		a := f.do(t, "PATCH", p.path(), `{"n":2}`, append(p.fillAll(row.headers), mergeType)...)
		if status, code, failed := strings.Cut(row.want[value], " "); failed {
			f.wantRefused(t, a, p, code, before)
		} else if fmt.Sprint(a.status) != status {
			t.Errorf("%s: %d, want %s", name, a.status, status)
		} else {
			wantNative(t, f.kv, p.key, `{"n":2}`)
		}
		for _, s := range []state{never, deleted, purged} {
			p := f.keyIn(t, s)
			f.do(t, "PATCH", p.path(), `{"n":2}`, append(p.fillAll(row.headers), mergeType)...).
				is(t, 404).has(t, "ETag", p.tag())
		}
	}
	f.do(t, "PATCH", "/buckets/shop/keys/a", "{}", mergeType, "If-Match: x").
		problem(t, 400, "invalid-header")
	f.do(t, "PATCH", "/buckets/shop/keys/a", "{}", mergeType, "If-Unmodified-Since: x").
		problem(t, 400, "invalid-header")
}

// Patches of different members do not undo one another. A lost race is reported only to requests
// with If-Match.
func TestPatchRacesAreRetried(t *testing.T) {
	t.Parallel()
	g, kv := warm(t)
	put(t, kv, "a", `{}`)
	var workers sync.WaitGroup
	for i := range 5 {
		workers.Go(func() {
			g.do(t, "PATCH", "/buckets/shop/keys/a", fmt.Sprintf(`{"m%d":1}`, i), mergeType).
				is(t, 200)
		})
	}
	workers.Wait()
	if got := g.get(t, "/buckets/shop/keys/a").object(t); len(got) != 5 {
		t.Errorf("%v", got)
	}
	for times, want := range map[int]int{1: 200, 7: 200, 1000: 503} {
		g.outrun(t, "a", times, func() { put(t, kv, "a", `{"faster":1}`) })
		a := g.do(t, "PATCH", "/buckets/shop/keys/a", `{"mine":1}`, mergeType)
		g.wire.onSending(nil)
		if a.status != want {
			t.Errorf("outrun %d times: %d, want %d", times, a.status, want)
		}
	}
	for _, header := range []string{"If-Match: *", "If-Match: LAST"} {
		header = strings.Replace(header, "LAST", g.get(t, "/buckets/shop/keys/a").tag(), 1)
		tries := g.outrun(t, "a", 1, func() { put(t, kv, "a", `{"faster":1}`) })
		a := g.do(t, "PATCH", "/buckets/shop/keys/a", `{"mine":1}`, mergeType, header)
		a.problem(t, 412, "revision-mismatch")
		g.wire.onSending(nil)
		if tries.Load() != 1 || a.tag() != g.get(t, "/buckets/shop/keys/a").tag() {
			t.Errorf("%s: %d tries, ETag %s", header, tries.Load(), a.tag())
		}
		wantNative(t, kv, "a", `{"faster":1}`)
	}
}

// The option that requires preconditions is for PUT and DELETE. A PATCH always expects the value
// that it read.
func TestPatchNeedsNoPrecondition(t *testing.T) {
	t.Parallel()
	g := start(t, func(s *setup) { s.handlers.RequirePreconditions = true })
	put(t, g.shop(t), "a", `{}`)
	g.do(t, "PATCH", "/buckets/shop/keys/a", `{"n":1}`, mergeType).is(t, 200)
}
