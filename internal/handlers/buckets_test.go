package handlers_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go/jetstream"
)

const jsonType = "Content-Type: application/json"

func TestCreateBucket(t *testing.T) {
	t.Parallel()
	g := start(t)
	for i, body := range []any{nil, "", "{}", " \r\n ", chunked("{}"), `{"history":1,"ttl":"0s","max_bytes":-1,"max_value_size":-1,"storage":"file",` +
		`"num_replicas":1,"compression":false,"limit_marker_ttl":"0s","metadata":{},"allow_atomic":false,"description":"","sources":[]}`} {
		path := fmt.Sprintf("/buckets/b%d", i)
		a := g.do(t, "PUT", path, body, jsonType).is(t, 201).has(t, "Location", path)
		made := withoutReplicas(a.object(t))
		if made["bucket"] != fmt.Sprintf("b%d", i) {
			t.Errorf("bucket %v", made["bucket"])
		}
		// Made again, with the defaults left out or spelled out, it is the same.
		for _, again := range []any{body, nil, `{"history":1,"storage":"file","ttl":"0s"}`} {
			b := g.do(t, "PUT", path, again, jsonType).is(t, 200).has(t, "Location", "")
			if diff := cmp.Diff(made, withoutReplicas(b.object(t))); diff != "" {
				t.Errorf("%s: (-first +again)\n%s", b.request, diff)
			}
		}
		if diff := cmp.Diff(made, withoutReplicas(g.get(t, path).is(t, 200).object(t))); diff != "" {
			t.Errorf("GET %s: (-put +get)\n%s", path, diff)
		}
	}
}

// TestBucketStatus looks at the replicas.
func withoutReplicas(bucket map[string]any) map[string]any {
	delete(bucket["status"].(map[string]any), "replicas")
	return bucket
}

func TestCreateBucketThatDiffers(t *testing.T) {
	t.Parallel()
	g := start(t)
	kv := g.bucket(t, jetstream.KeyValueConfig{Bucket: "b", History: 5, Description: "mine", Metadata: map[string]string{"team": "a"}})
	put(t, kv, "a", "v")
	document := g.do(t, "PUT", "/buckets/b", `{"history":6,"ttl":"1h","metadata":{"team":"b"},"republish":{"dest":"x.>"}}`, jsonType).problem(t, 409, "bucket-exists")
	want := []any{
		map[string]any{"field": "description", "have": "mine", "want": ""},
		map[string]any{"field": "history", "have": json.Number("5"), "want": json.Number("6")},
		map[string]any{"field": "metadata", "have": map[string]any{"team": "a"}, "want": map[string]any{"team": "b"}},
		map[string]any{"field": "republish", "have": nil, "want": map[string]any{"src": ">", "dest": "x.>"}},
		map[string]any{"field": "ttl", "have": "0s", "want": "1h0m0s"},
	}
	found, _ := document["differences"].([]any)
	for _, difference := range found {
		if r, ok := difference.(map[string]any)["want"].(map[string]any); ok && r["dest"] != nil && r["src"] == nil {
			r["src"] = ">" // the default, told or not
		}
	}
	if diff := cmp.Diff(want, found); diff != "" {
		t.Errorf("differences (-want +got)\n%s", diff)
	}
	wantNative(t, kv, "a", "v")
}

// The KV API of nats.go does not know it; transactions need it.
func TestAllowAtomic(t *testing.T) {
	t.Parallel()
	g := start(t)
	for range 2 {
		if told := g.do(t, "PUT", "/buckets/b", `{"allow_atomic":true}`, jsonType).object(t); told["allow_atomic"] != true {
			t.Errorf("told %v", told["allow_atomic"])
		}
	}
	if g.settings(t, "b")["allow_atomic"] != true {
		t.Error("the stream takes no atomic batches")
	}
	g.do(t, "PUT", "/buckets/b", nil).problem(t, 409, "bucket-exists")
	// A native update switches it off without a word, and the bucket says so.
	if _, err := g.js.UpdateKeyValue(t.Context(), jetstream.KeyValueConfig{Bucket: "b"}); err != nil {
		t.Fatal(err)
	}
	if told := g.get(t, "/buckets/b").is(t, 200).object(t); told["allow_atomic"] != false {
		t.Errorf("told %v", told["allow_atomic"])
	}
}

func TestCreateBucketOnlyIfAbsent(t *testing.T) {
	t.Parallel()
	g := start(t)
	g.do(t, "PUT", "/buckets/b", nil, "If-None-Match: *").is(t, 201)
	g.do(t, "PUT", "/buckets/b", nil, "If-None-Match: *").problem(t, 412, "bucket-present")
	g.do(t, "PUT", "/buckets/b", `{"history":9}`, jsonType, "If-None-Match: *").problem(t, 412, "bucket-present")
	for _, header := range []string{`If-None-Match: "42"`, "If-None-Match:", "If-None-Match: x", `If-Match: *`, `If-Match: "42"`, "If-Match: x"} {
		g.do(t, "PUT", "/buckets/b", nil, header).problem(t, 400, "invalid-header")
		g.do(t, "PUT", "/buckets/new", nil, header).problem(t, 400, "invalid-header")
	}
	g.get(t, "/buckets/new").problem(t, 404, "bucket-not-found")
}

func TestDeleteBucket(t *testing.T) {
	t.Parallel()
	g := start(t)
	put(t, g.shop(t), "a", "v")
	g.get(t, "/buckets/shop/keys/a").is(t, 200)
	g.do(t, "DELETE", "/buckets/shop", nil).is(t, 204).hasBody(t, "")
	for _, path := range []string{"/buckets/shop", "/buckets/shop/keys", "/buckets/shop/keys/a", "/buckets/shop/entries/a", "/buckets/shop/history/a", "/buckets/shop/markers"} {
		g.get(t, path).problem(t, 404, "bucket-not-found")
	}
	g.do(t, "DELETE", "/buckets/shop", nil).problem(t, 404, "bucket-not-found")
	g.do(t, "PATCH", "/buckets/shop", "{}", jsonType).problem(t, 404, "bucket-not-found")
	g.do(t, "DELETE", "/buckets/shop/markers", nil).problem(t, 404, "bucket-not-found")
	if _, err := g.js.KeyValue(t.Context(), "shop"); !errors.Is(err, jetstream.ErrBucketNotFound) {
		t.Errorf("natively: %v", err)
	}
	g.do(t, "PUT", "/buckets/shop", nil).is(t, 201)
	g.get(t, "/buckets/shop/keys/a").problem(t, 404, "key-not-found")
}

func TestBucketStatus(t *testing.T) {
	t.Parallel()
	g := start(t)
	kv := g.shop(t)
	status := func() map[string]any {
		return g.get(t, "/buckets/shop").is(t, 200).object(t)["status"].(map[string]any)
	}
	check := func() {
		t.Helper()
		native, err := kv.Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		info := native.(*jetstream.KeyValueBucketStatus).StreamInfo()
		want := map[string]any{
			"epoch": g.epochOf(t, "shop"), "created": info.Created.UTC().Format(time.RFC3339Nano), "values": number(native.Values()),
			"subjects": number(info.State.NumSubjects), "bytes": number(native.Bytes()), "first_revision": number(info.State.FirstSeq),
			"last_revision": number(info.State.LastSeq), "backing_store": native.BackingStore(), "compressed": native.IsCompressed(),
			"max_value_bytes": number(maxPayload), "expiry_events": false, "hints": []any{},
		}
		if diff := cmp.Diff(want, status()); diff != "" {
			t.Errorf("status (-native +http)\n%s", diff)
		}
	}
	check()
	for i := range 12 {
		put(t, kv, "a", fmt.Sprint(i))
		put(t, kv, fmt.Sprintf("b%d", i), "v")
	}
	if err := kv.Delete(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	check()
	if err := kv.Purge(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	check()
}

func number(n uint64) json.Number { return json.Number(fmt.Sprint(n)) }

func TestHints(t *testing.T) {
	t.Parallel()
	g := start(t)
	g.shop(t)
	for i, tc := range []struct {
		config string
		hint   string // a word of it, "" for none
		events bool
	}{
		{`{}`, "", false},
		{`{"ttl":"1h"}`, "limit_marker_ttl", false},
		{`{"ttl":"1h","limit_marker_ttl":"1h"}`, "", true},
		{`{"limit_marker_ttl":"1h"}`, "", true},
		{`{"max_value_size":100000000}`, "max_payload", false},
		{`{"mirror":{"name":"shop"}}`, "origin", false},
	} {
		status := g.do(t, "PUT", fmt.Sprintf("/buckets/b%d", i), tc.config, jsonType).is(t, 201).object(t)["status"].(map[string]any)
		hints := stringsOf(status["hints"])
		if (len(hints) > 0) != (tc.hint != "") || !strings.Contains(strings.Join(hints, " "), tc.hint) {
			t.Errorf("%s: hints %q, want one with %q", tc.config, hints, tc.hint)
		}
		if status["expiry_events"] != tc.events {
			t.Errorf("%s: expiry_events %v", tc.config, status["expiry_events"])
		}
	}
}

func TestListBuckets(t *testing.T) {
	t.Parallel()
	g := start(t)
	if a := g.get(t, "/buckets").is(t, 200); len(a.object(t)) != 1 {
		t.Errorf("of no buckets: %s", a.body)
	}
	var want []string
	for i := range 12 {
		for _, name := range []string{fmt.Sprintf("b%d", i), fmt.Sprintf("B-%d", i)} {
			g.bucket(t, jetstream.KeyValueConfig{Bucket: name, Storage: jetstream.MemoryStorage})
			want = append(want, name)
		}
	}
	g.bucket(t, jetstream.KeyValueConfig{Bucket: "a_mirror", Mirror: &jetstream.StreamSource{Name: "b1"}})
	want = append(want, "a_mirror")
	slices.Sort(want)
	for _, stream := range []jetstream.StreamConfig{
		{Name: "KV_odd", Subjects: []string{"odd"}}, {Name: "ORDERS", Subjects: []string{"orders"}}, {Name: "KV_", Subjects: []string{"x"}},
		{Name: "KV_b-odd", Subjects: []string{"$KV.b-odd.>"}}, // keeps any number of messages of a key
	} {
		if _, err := g.js.CreateStream(t.Context(), stream); err != nil {
			t.Fatal(err)
		}
	}
	names := stringsOf(g.get(t, "/buckets?names=true").is(t, 200).object(t)["buckets"])
	if diff := cmp.Diff(want, names); diff != "" {
		t.Errorf("names (-want +got)\n%s", diff)
	}
	for _, limit := range []int{1, 7, 12, 24, 25, 26, 1000} {
		found := g.follow(t, fmt.Sprintf("/buckets?names=true&limit=%d", limit), limit, func(page map[string]any) []string { return stringsOf(page["buckets"]) })
		if diff := cmp.Diff(want, found); diff != "" {
			t.Errorf("limit=%d (-want +got)\n%s", limit, diff)
		}
	}
	found := g.follow(t, "/buckets?limit=10", 10, func(page map[string]any) (names []string) {
		for _, bucket := range page["buckets"].([]any) {
			object := bucket.(map[string]any)
			names = append(names, object["bucket"].(string))
			if got := g.get(t, "/buckets/"+object["bucket"].(string)).object(t); cmp.Diff(got, object) != "" {
				t.Errorf("listed otherwise than got: %s", cmp.Diff(got, object))
			}
		}
		return names
	})
	if diff := cmp.Diff(want, found); diff != "" {
		t.Errorf("pages (-want +got)\n%s", diff)
	}
	for _, bad := range []string{"limit=0", "limit=1001", "limit=x", "limit=-1", "limit=", "limit=1.5", "names=maybe", "names=", "limit=1&limit=2"} {
		g.get(t, "/buckets?"+bad).problem(t, 400, "invalid-parameter")
	}
	for _, bad := range []string{"cursor=x", "cursor=!", "cursor=AAAA"} {
		g.get(t, "/buckets?"+bad).problem(t, 400, "invalid-cursor")
	}
	g.get(t, "/buckets?filter=x").problem(t, 400, "unknown-parameter")
}

// follow reads a listing page by page by its Link header, which must agree with next, and returns all that the pages have.
func (g *gateway) follow(t *testing.T, target string, limit int, items func(page map[string]any) []string) (all []string) {
	t.Helper()
	for pages := 0; target != ""; pages++ {
		a := g.get(t, target).is(t, 200)
		page := a.object(t)
		found := items(page)
		if len(found) > limit || pages > 2000 {
			t.Fatalf("%s: page %d has %d items", a.request, pages, len(found))
		}
		all = append(all, found...)
		next, _ := page["next"].(string)
		link, rest, _ := strings.Cut(strings.TrimPrefix(a.header.Get("Link"), "<"), ">")
		if (next == "") != (link == "") || link != "" && (rest != `; rel="next"` || !strings.Contains(link, "cursor="+next)) {
			t.Errorf("%s: next %q, Link %q", a.request, next, a.header.Get("Link"))
		}
		if next != "" && len(found) != limit {
			t.Errorf("%s: %d items, and more to come", a.request, len(found))
		}
		target = strings.TrimPrefix(link, g.basePath)
	}
	return all
}
