package handlers_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go/jetstream"
)

func TestBucketCreationIsRepeatable(t *testing.T) {
	t.Parallel()
	g := start(t)
	defaults := `{"history":1,"ttl":"0s","max_bytes":-1,"max_value_size":-1,"storage":"file",` +
		`"num_replicas":1,"compression":false,"limit_marker_ttl":"0s","metadata":{},` +
		`"allow_atomic":false,"description":"","sources":[]}`
	for i, body := range []any{nil, "", "{}", " \r\n ", chunked("{}"), defaults} {
		path := fmt.Sprintf("/buckets/b%d", i)
		a := g.do(t, "PUT", path, body, jsonType).is(t, 201).has(t, "Location", path)
		made := withoutReplicas(a.object(t))
		if made["bucket"] != fmt.Sprintf("b%d", i) {
			t.Errorf("bucket %v", made["bucket"])
		}
		// Creating it again, with the defaults left out or spelled out, changes nothing.
		for _, again := range []any{body, nil, `{"history":1,"storage":"file","ttl":"0s"}`} {
			b := g.do(t, "PUT", path, again, jsonType).is(t, 200).has(t, "Location", "")
			if diff := cmp.Diff(made, withoutReplicas(b.object(t))); diff != "" {
				t.Errorf("%s: (-first +again)\n%s", b.request, diff)
			}
		}
		diff := cmp.Diff(made, withoutReplicas(g.get(t, path).is(t, 200).object(t)))
		if diff != "" {
			t.Errorf("GET %s: (-put +get)\n%s", path, diff)
		}
	}
}

// withoutReplicas removes the state of the replicas, which can change between two requests, and the
// count of hidden keys, which only the answer to GET has.
func withoutReplicas(bucket map[string]any) map[string]any {
	delete(bucket["status"].(map[string]any), "replicas")
	delete(bucket["status"].(map[string]any), "hidden")
	return bucket
}

// A bucket's document can be sent back as it was read, whatever the bucket is like and whoever made
// it.
func TestBucketDocumentCanBeSentBack(t *testing.T) {
	t.Parallel()
	g := start(t)
	g.bucket(t, jetstream.KeyValueConfig{Bucket: "origin"})
	g.bucket(t, jetstream.KeyValueConfig{Bucket: "other"})
	names := make([]string, 0, len(configs)+2)
	for i, tc := range configs {
		names = append(names, fmt.Sprintf("kind%d", i))
		_, err := g.js.CreateKeyValue(t.Context(), nativeConfig(tc.native, names[i]))
		if err != nil {
			t.Fatalf("%s: %v", tc.name, err)
		}
	}
	// These cannot be created over HTTP.
	g.bucket(t, jetstream.KeyValueConfig{
		Bucket: "relay", RePublish: &jetstream.RePublish{Source: ">", Destination: "$KV.copy.>"},
	})
	for _, config := range []jetstream.StreamConfig{
		{Name: "PLAIN", Subjects: []string{"$KV.plain.>"}},
		{Name: "KV_plain", Mirror: &jetstream.StreamSource{Name: "PLAIN"}, MaxMsgsPerSubject: 1},
	} {
		if _, err := g.js.CreateStream(t.Context(), config); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range append(names, "relay", "plain") {
		before := g.settings(t, name)
		document := string(g.get(t, "/buckets/"+name).is(t, 200).body)
		for _, method := range []string{"PUT", "PATCH"} {
			g.do(t, method, "/buckets/"+name, document, jsonType).is(t, 200)
		}
		if diff := cmp.Diff(before, g.settings(t, name)); diff != "" {
			t.Errorf("%s: settings (-before +after)\n%s", name, diff)
		}
		for _, method := range []string{"PUT", "PATCH"} {
			refusal := g.do(t, method, "/buckets/origin", document, jsonType).
				problem(t, 400, "invalid-body")
			if refusal["pointer"] != "/bucket" ||
				!strings.Contains(fmt.Sprint(refusal["detail"]), "origin") {
				t.Errorf("%s of another bucket: %v", method, refusal)
			}
		}
	}
	// Programs that have no status may send null.
	for _, method := range []string{"PUT", "PATCH"} {
		g.do(t, method, "/buckets/origin", `{"status":null}`, jsonType).is(t, 200)
	}
}

func TestBucketCreationReportsDifferences(t *testing.T) {
	t.Parallel()
	g := start(t)
	kv := g.bucket(t, jetstream.KeyValueConfig{
		Bucket: "b", History: 5, Description: "mine", Metadata: map[string]string{"team": "a"},
	})
	put(t, kv, "a", "v")
	document := g.do(t, "PUT", "/buckets/b",
		`{"history":6,"ttl":"1h","metadata":{"team":"b"},"republish":{"dest":"x.>"}}`,
		jsonType).problem(t, 409, "bucket-exists")
	want := []any{
		map[string]any{"field": "description", "have": "mine", "want": ""},
		map[string]any{"field": "history", "have": json.Number("5"), "want": json.Number("6")},
		map[string]any{
			"field": "metadata", "have": map[string]any{"team": "a"},
			"want": map[string]any{"team": "b"},
		},
		map[string]any{
			"field": "republish", "have": nil, "want": map[string]any{"src": ">", "dest": "x.>"},
		},
		map[string]any{"field": "ttl", "have": "0s", "want": "1h0m0s"},
	}
	found, _ := document["differences"].([]any)
	for _, difference := range found {
		r, ok := difference.(map[string]any)["want"].(map[string]any)
		if ok && r["dest"] != nil && r["src"] == nil {
			// The default, which may be reported or not.
			r["src"] = ">"
		}
	}
	if diff := cmp.Diff(want, found); diff != "" {
		t.Errorf("differences (-want +got)\n%s", diff)
	}
	wantNative(t, kv, "a", "v")
}

// The KV API of nats.go has no allow_atomic, which transactions need.
func TestAllowAtomicIsSetAndReported(t *testing.T) {
	t.Parallel()
	g := start(t)
	for range 2 {
		reported := g.do(t, "PUT", "/buckets/b", `{"allow_atomic":true}`, jsonType).object(t)
		if reported["allow_atomic"] != true {
			t.Errorf("reported %v", reported["allow_atomic"])
		}
	}
	if g.settings(t, "b")["allow_atomic"] != true {
		t.Error("the stream takes no atomic batches")
	}
	g.do(t, "PUT", "/buckets/b", nil).problem(t, 409, "bucket-exists")
	// A native update disables it without telling anybody, and the bucket reports that.
	_, err := g.js.UpdateKeyValue(t.Context(), jetstream.KeyValueConfig{Bucket: "b"})
	if err != nil {
		t.Fatal(err)
	}
	if reported := g.get(t, "/buckets/b").is(t, 200).object(t); reported["allow_atomic"] != false {
		t.Errorf("reported %v", reported["allow_atomic"])
	}
}

func TestBucketCreationOnlyIfAbsent(t *testing.T) {
	t.Parallel()
	g := start(t)
	g.do(t, "PUT", "/buckets/b", nil, "If-None-Match: *").is(t, 201)
	g.do(t, "PUT", "/buckets/b", nil, "If-None-Match: *").problem(t, 412, "bucket-present")
	g.do(t, "PUT", "/buckets/b", `{"history":9}`, jsonType, "If-None-Match: *").
		problem(t, 412, "bucket-present")
	for _, header := range []string{
		`If-None-Match: "42"`, "If-None-Match:", "If-None-Match: x", `If-Match: *`,
		`If-Match: "42"`, "If-Match: x",
	} {
		g.do(t, "PUT", "/buckets/b", nil, header).problem(t, 400, "invalid-header")
		g.do(t, "PUT", "/buckets/new", nil, header).problem(t, 400, "invalid-header")
	}
	g.get(t, "/buckets/new").problem(t, 404, "bucket-not-found")
}

// A bucket has no ETag, so a condition on one never holds. It must not be ignored, since these
// requests cannot be undone.
func TestConditionsOnBucketsAreNotIgnored(t *testing.T) {
	t.Parallel()
	g := start(t)
	kv := g.shopWithDeleted(t, "a")
	before, settings := g.messages(t, "shop"), g.settings(t, "shop")
	for _, header := range []string{
		`If-Match: "5-k3f9x"`, "If-Match: x", "If-Match:",
		`If-Unmodified-Since: Sun, 22 Nov 1992 18:03:11 GMT`,
	} {
		for _, request := range []struct {
			method, path string
			body         any
		}{
			{"PATCH", "/buckets/shop", `{"description":"new"}`},
			{"DELETE", "/buckets/shop/markers?older_than=0s", nil}, {"PUT", "/buckets/new", "{}"},
			{"DELETE", "/buckets/shop", nil},
		} {
			a := g.do(t, request.method, request.path, request.body, jsonType, header)
			if a.status != 400 && a.status != 412 {
				t.Errorf("%s: status %d: the condition is ignored", a.request, a.status)
			}
		}
	}
	if a := g.get(t, "/buckets/shop"); a.status != 200 {
		t.Fatalf("the bucket is gone")
	}
	g.wantUnchanged(t, "shop", before)
	if diff := cmp.Diff(settings, g.settings(t, "shop")); diff != "" {
		t.Errorf("settings (-before +after)\n%s", diff)
	}
	wantNative(t, kv, "stays", "v")
}

func TestDeletedBucketIsGone(t *testing.T) {
	t.Parallel()
	g := start(t)
	put(t, g.shop(t), "a", "v")
	g.get(t, "/buckets/shop/keys/a").is(t, 200)
	g.do(t, "DELETE", "/buckets/shop", nil).is(t, 204).hasBody(t, "")
	for _, path := range []string{
		"/buckets/shop", "/buckets/shop/keys", "/buckets/shop/keys/a", "/buckets/shop/entries/a",
		"/buckets/shop/history/a", "/buckets/shop/markers",
	} {
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

func TestBucketStatusEqualsTheNativeOne(t *testing.T) {
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
			"epoch":           g.epochOf(t, "shop"),
			"created":         info.Created.UTC().Format(time.RFC3339Nano),
			"values":          number(native.Values()),
			"subjects":        number(info.State.NumSubjects),
			"bytes":           number(native.Bytes()),
			"first_revision":  number(info.State.FirstSeq),
			"last_revision":   number(info.State.LastSeq),
			"backing_store":   native.BackingStore(),
			"compressed":      native.IsCompressed(),
			"max_value_bytes": number(maxPayload),
			"expiry_events":   false,
			"hints":           []any{},
			"hidden":          number(uint64(0)),
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
	deleteKey(t, kv, "a")
	check()
	purgeKey(t, kv, "a")
	check()
}

// number returns a number as it is in decoded JSON.
func number(n uint64) json.Number { return json.Number(fmt.Sprint(n)) }

func TestBucketHintsNameWhatIsMissing(t *testing.T) {
	t.Parallel()
	g := start(t)
	g.shop(t)
	for i, tc := range []struct {
		config string
		hint   string // a word of the hint; "" if there is none
		events bool
	}{
		{`{}`, "", false},
		{`{"ttl":"1h"}`, "limit_marker_ttl", false},
		{`{"ttl":"1h","limit_marker_ttl":"1h"}`, "", true},
		{`{"limit_marker_ttl":"1h"}`, "", true},
		{`{"max_value_size":100000000}`, "max_payload", false},
		{`{"mirror":{"name":"shop"}}`, "origin", false},
	} {
		status := g.do(t, "PUT", fmt.Sprintf("/buckets/b%d", i), tc.config, jsonType).is(t, 201).
			object(t)["status"].(map[string]any)
		hints := stringsOf(status["hints"])
		if (len(hints) > 0) != (tc.hint != "") ||
			!strings.Contains(strings.Join(hints, " "), tc.hint) {
			t.Errorf("%s: hints %q, want one with %q", tc.config, hints, tc.hint)
		}
		if status["expiry_events"] != tc.events {
			t.Errorf("%s: expiry_events %v", tc.config, status["expiry_events"])
		}
	}
}
