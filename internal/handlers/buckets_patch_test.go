package handlers_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go/jetstream"
)

// A patch changes what it names. Null restores the default, and the bucket is then what it was
// before.
func TestBucketPatchChangesOnlyWhatItNames(t *testing.T) {
	t.Parallel()
	g := start(t)
	g.bucket(t, jetstream.KeyValueConfig{Bucket: "origin"})
	for i, tc := range []struct {
		field, value string
		reported     any // the value as it is reported
		null         any // the value reported after null; nil if the member is then absent
		native       func(*jetstream.KeyValueConfig)
	}{
		{"description", `"new"`, "new", "", func(c *jetstream.KeyValueConfig) {
			c.Description = "new"
		}},
		{"max_value_size", `4096`, json.Number("4096"), json.Number("-1"),
			func(c *jetstream.KeyValueConfig) { c.MaxValueSize = 4096 }},
		{"history", `20`, json.Number("20"), json.Number("1"), func(c *jetstream.KeyValueConfig) {
			c.History = 20
		}},
		{"ttl", `"30s"`, "30s", "0s", func(c *jetstream.KeyValueConfig) {
			c.TTL = 30 * time.Second
		}},
		{"ttl", `"3h"`, "3h0m0s", "0s", func(c *jetstream.KeyValueConfig) {
			c.TTL = 3 * time.Hour
		}},
		{"max_bytes", `100000`, json.Number("100000"), json.Number("-1"),
			func(c *jetstream.KeyValueConfig) { c.MaxBytes = 100000 }},
		{"compression", `true`, true, false, func(c *jetstream.KeyValueConfig) {
			c.Compression = true
		}},
		{"metadata", `{"a":"b"}`, map[string]any{"a": "b"}, map[string]any{},
			func(c *jetstream.KeyValueConfig) { c.Metadata = map[string]string{"a": "b"} }},
		{"republish", `{"src":">","dest":"feed.>"}`, map[string]any{"src": ">", "dest": "feed.>"},
			nil,
			func(c *jetstream.KeyValueConfig) {
				c.RePublish = &jetstream.RePublish{Source: ">", Destination: "feed.>"}
			}},
		{"sources", `[{"name":"origin"}]`,
			[]any{map[string]any{"name": "KV_origin", "subject_transforms": []any{
				map[string]any{"src": "$KV.origin.>", "dest": "$KV.patch9.>"}}}}, nil,
			func(c *jetstream.KeyValueConfig) {
				c.Sources = []*jetstream.StreamSource{{Name: "origin"}}
			}},
		{"allow_atomic", `true`, true, false, nil},
		{"storage", `"file"`, "file", "file", func(*jetstream.KeyValueConfig) {}},
		{"num_replicas", `1`, json.Number("1"), json.Number("1"),
			func(*jetstream.KeyValueConfig) {}},
		{"mirror", `null`, nil, nil, func(*jetstream.KeyValueConfig) {}},
	} {
		t.Run(tc.field, func(t *testing.T) {
			bucket := fmt.Sprintf("patch%d", i)
			kv := g.bucket(t, jetstream.KeyValueConfig{
				Bucket: bucket, Description: "old", History: 5, Metadata: map[string]string{},
			})
			put(t, kv, "a", "v")
			path, config := "/buckets/"+bucket,
				jetstream.KeyValueConfig{Bucket: bucket, Description: "old", History: 5}
			before := g.get(t, path).is(t, 200).object(t)
			settings := g.settings(t, bucket)

			a := g.do(t, "PATCH", path, `{"`+tc.field+`":`+tc.value+`}`,
				"Content-Type: application/merge-patch+json; charset=utf-8").is(t, 200)
			after := a.object(t)
			if diff := cmp.Diff(tc.reported, after[tc.field]); diff != "" {
				t.Errorf("%s (-want +got)\n%s", tc.field, diff)
			}
			for field := range before {
				if field != tc.field && field != "status" &&
					cmp.Diff(before[field], after[field]) != "" {
					t.Errorf("%s changed too: %s", field, cmp.Diff(before[field], after[field]))
				}
			}
			if tc.native != nil {
				tc.native(&config)
				if _, err := g.js.CreateKeyValue(t.Context(), config); err != nil {
					t.Errorf("a native create of the patched bucket: %v", err)
				}
			}
			wantNative(t, kv, "a", "v")

			reported := g.do(t, "PATCH", path, `{"`+tc.field+`":null}`, jsonType).is(t, 200).
				object(t)[tc.field]
			if diff := cmp.Diff(tc.null, reported); diff != "" {
				t.Errorf("%s: null (-want +got)\n%s", tc.field, diff)
			}
			if tc.field != "description" && tc.field != "history" {
				if diff := cmp.Diff(settings, g.settings(t, bucket)); diff != "" {
					t.Errorf("%s: settings after null (-before +after)\n%s", tc.field, diff)
				}
			}
		})
	}
}

// A patch of one field leaves all others as they were, in buckets of every kind.
func TestBucketPatchKeepsBucketsOfEveryKind(t *testing.T) {
	t.Parallel()
	g := start(t)
	g.bucket(t, jetstream.KeyValueConfig{Bucket: "origin"})
	g.bucket(t, jetstream.KeyValueConfig{Bucket: "other"})
	for i, tc := range configs {
		t.Run(tc.name, func(t *testing.T) {
			bucket := fmt.Sprintf("kind%d", i)
			_, err := g.js.CreateKeyValue(t.Context(), nativeConfig(tc.native, bucket))
			if err != nil {
				t.Fatal(err)
			}
			before := g.settings(t, bucket)
			for _, patch := range []string{`{}`, `{"description":"patched"}`} {
				g.do(t, "PATCH", "/buckets/"+bucket, patch, jsonType).is(t, 200)
			}
			after := g.settings(t, bucket)
			if after["description"] != "patched" {
				t.Errorf("description %v", after["description"])
			}
			delete(before, "description")
			delete(after, "description")
			if diff := cmp.Diff(before, after); diff != "" {
				t.Errorf("settings (-before +after)\n%s", diff)
			}
		})
	}
}

// The KV API does not know all settings of a stream. The native UpdateKeyValue resets the others; a
// patch keeps them.
func TestBucketPatchKeepsUnknownSettings(t *testing.T) {
	t.Parallel()
	g := start(t)
	g.shop(t)
	g.changeStream(t, "shop", func(c *jetstream.StreamConfig) {
		c.Duplicates = 17 * time.Second
		c.AllowAtomicPublish = true
		c.ConsumerLimits = jetstream.StreamConsumerLimits{
			InactiveThreshold: time.Hour, MaxAckPending: 17,
		}
		c.MaxMsgs = 1_000_000
		c.Metadata["by others"] = "x"
	})
	before := g.settings(t, "shop")
	for _, patch := range []string{
		`{"description":"new"}`, `{"max_bytes":1000000}`, `{"metadata":{"mine":"y"}}`,
		`{"ttl":"1h"}`, `{}`,
	} {
		g.do(t, "PATCH", "/buckets/shop", patch, jsonType).is(t, 200)
	}
	after := g.settings(t, "shop")
	metadata := after["metadata"].(map[string]any)
	if metadata["by others"] != "x" || metadata["mine"] != "y" || metadata["_nats.ver"] == nil {
		t.Errorf("metadata %v", metadata)
	}
	for _, named := range []string{"description", "max_bytes", "metadata", "max_age"} {
		delete(before, named)
		delete(after, named)
	}
	if diff := cmp.Diff(before, after); diff != "" {
		t.Errorf("settings that no patch named changed (-before +after)\n%s", diff)
	}
}

// A setting that the gateway would not make, but a native client made, is no reason to refuse other
// changes.
func TestBucketPatchKeepsAForbiddenRepublish(t *testing.T) {
	t.Parallel()
	g := start(t)
	g.bucket(t, jetstream.KeyValueConfig{
		Bucket: "shop", RePublish: &jetstream.RePublish{Source: ">", Destination: "$KV.copy.>"},
	})
	g.do(t, "PATCH", "/buckets/shop", `{"description":"new"}`, jsonType).is(t, 200)
	republish, _ := g.settings(t, "shop")["republish"].(map[string]any)
	if republish["dest"] != "$KV.copy.>" {
		t.Errorf("republish %v", republish)
	}
	g.do(t, "PATCH", "/buckets/shop", `{"republish":{"headers_only":true}}`, jsonType).
		problem(t, 400, "invalid-config")
	g.do(t, "PATCH", "/buckets/shop", `{"republish":{"dest":"$KV.other.>"}}`, jsonType).
		problem(t, 400, "invalid-config")
	g.do(t, "PATCH", "/buckets/shop", `{"republish":null}`, jsonType).is(t, 200)
}

// A duplicate window that somebody chose stays, unless the TTL becomes shorter. NATS demands that
// the window is at most as long as the TTL.
func TestBucketPatchKeepsTheDuplicateWindow(t *testing.T) {
	t.Parallel()
	g := start(t)
	g.shop(t)
	g.changeStream(t, "shop", func(c *jetstream.StreamConfig) { c.Duplicates = 17 * time.Second })
	for _, tc := range []struct {
		patch string
		want  time.Duration
	}{
		{`{"ttl":"30s"}`, 17 * time.Second}, {`{"ttl":"10m"}`, 17 * time.Second},
		{`{"ttl":"0s"}`, 17 * time.Second}, {`{"ttl":"5s"}`, 5 * time.Second},
	} {
		g.do(t, "PATCH", "/buckets/shop", tc.patch, jsonType).is(t, 200)
		info, err := g.stream(t, "shop").Info(t.Context())
		if err != nil || info.Config.Duplicates != tc.want {
			t.Errorf("%s: the duplicate window is %s, want %s (%v)",
				tc.patch, info.Config.Duplicates, tc.want, err)
		}
	}
}

func TestBucketPatchMergesMetadata(t *testing.T) {
	t.Parallel()
	g := start(t)
	g.bucket(t, jetstream.KeyValueConfig{
		Bucket: "b", Metadata: map[string]string{"keep": "1", "change": "2", "drop": "3"},
	})
	reported := g.do(t, "PATCH", "/buckets/b",
		`{"metadata":{"change":"4","drop":null,"none":null,"add":"5"}}`,
		jsonType).is(t, 200).object(t)["metadata"]
	diff := cmp.Diff(map[string]any{"keep": "1", "change": "4", "add": "5"}, reported)
	if diff != "" {
		t.Errorf("metadata (-want +got)\n%s", diff)
	}
	g.do(t, "PATCH", "/buckets/b", `{"metadata":{"_nats.ver":null}}`, jsonType)
	g.do(t, "PATCH", "/buckets/b", `{"metadata":{"_nats.level":"9"}}`, jsonType).
		problem(t, 400, "invalid-config")
	server := g.settings(t, "b")["metadata"].(map[string]any)
	if server["_nats.ver"] == nil || server["_nats.level"] == "9" {
		t.Errorf("the server's metadata: %v", server)
	}
}

func TestBucketPatchesRefusedByTheServerChangeNothing(t *testing.T) {
	t.Parallel()
	g := start(t)
	g.shop(t)
	g.bucket(t, jetstream.KeyValueConfig{Bucket: "origin"})
	g.bucket(t, jetstream.KeyValueConfig{
		Bucket: "copy", Mirror: &jetstream.StreamSource{Name: "origin"},
	})
	for _, tc := range []struct{ bucket, patch string }{
		{"shop", `{"storage":"memory"}`}, {"shop", `{"num_replicas":3}`},
		{"shop", `{"mirror":{"name":"origin"}}`}, {"copy", `{"mirror":{"name":"shop"}}`},
		{"shop", `{"republish":{"src":">","dest":"$KV.shop.>"}}`}, {"shop", `{"ttl":"1ns"}`},
		{"shop", `{"limit_marker_ttl":"1ms"}`},
		{"shop", `{"mirror":{"opt_start_seq":5}}`},
	} {
		before := g.settings(t, tc.bucket)
		a := g.do(t, "PATCH", "/buckets/"+tc.bucket, tc.patch, jsonType)
		if code := codeOf(a.object(t)); code != "invalid-body" {
			a.problem(t, 400, "invalid-config")
		}
		if diff := cmp.Diff(before, g.settings(t, tc.bucket)); diff != "" {
			t.Errorf("%s: refused, yet (-before +after)\n%s", tc.patch, diff)
		}
	}
}

func TestConfigurationMediaTypesAreChecked(t *testing.T) {
	t.Parallel()
	g := start(t)
	g.shop(t)
	for _, tc := range []struct {
		method, mediaType string
		status            int
	}{
		{"PUT", "application/json", 201}, {"PUT", "application/json; charset=utf-8", 200},
		{"PUT", "APPLICATION/JSON", 200},
		{"PUT", "", 415}, {"PUT", "text/plain", 415},
		{"PUT", "application/x-www-form-urlencoded", 415},
		{"PUT", "application/merge-patch+json", 415},
		{"PUT", "application/jsonp", 415}, {"PUT", "json", 415},
		{"PUT", "multipart/form-data", 415}, {"PUT", "application/json, text/plain", 415},
		{"PATCH", "application/json", 200}, {"PATCH", "application/merge-patch+json", 200},
		{"PATCH", "application/json-patch+json", 415},
		{"PATCH", "", 415}, {"PATCH", "text/plain", 415},
	} {
		header := []string{"Content-Type: " + tc.mediaType}
		if tc.mediaType == "" {
			header = nil
		}
		path := map[string]string{"PUT": "/buckets/new", "PATCH": "/buckets/shop"}[tc.method]
		a := g.do(t, tc.method, path, `{"history":10}`, header...).is(t, tc.status)
		if tc.status != 415 {
			continue
		}
		a.problem(t, 415, "unsupported-media-type")
		if tc.method == "PATCH" &&
			!strings.Contains(a.header.Get("Accept-Patch"), "application/merge-patch+json") {
			t.Errorf("%s: Accept-Patch %q (RFC 5789 §3.1)", a.request, a.header.Get("Accept-Patch"))
		}
	}
	for _, body := range []any{nil, "", chunked("")} {
		g.do(t, "PATCH", "/buckets/shop", body, jsonType).problem(t, 400, "invalid-body")
	}
}

// Markers for expired entries can be enabled later, and entries can have a TTL from then on.
func TestBucketPatchEnablesLimitMarkers(t *testing.T) {
	t.Parallel()
	g := start(t)
	kv := g.bucket(t, jetstream.KeyValueConfig{Bucket: "b"})
	reported := g.do(t, "PATCH", "/buckets/b", `{"limit_marker_ttl":"1h"}`, jsonType).is(t, 200).
		object(t)
	if reported["limit_marker_ttl"] != "1h0m0s" ||
		reported["status"].(map[string]any)["expiry_events"] != true {
		t.Errorf("%v", reported)
	}
	if _, err := kv.Create(t.Context(), "a", []byte("v"), jetstream.KeyTTL(time.Hour)); err != nil {
		t.Errorf("native create with a TTL: %v", err)
	}
	if _, err := g.js.CreateKeyValue(t.Context(), jetstream.KeyValueConfig{
		Bucket: "b", LimitMarkerTTL: time.Hour,
	}); err != nil {
		t.Errorf("native create: %v", err)
	}
	// There are no more markers, but NATS does not disable message TTLs again.
	reported = g.do(t, "PATCH", "/buckets/b", `{"limit_marker_ttl":null}`, jsonType).is(t, 200).
		object(t)
	if settings := g.settings(t, "b"); reported["limit_marker_ttl"] != "0s" ||
		settings["allow_msg_ttl"] != true || settings["subject_delete_marker_ttl"] != nil {
		t.Errorf("%v %v", reported, settings)
	}
	g.get(t, "/buckets/b/keys/a").is(t, 200).hasBody(t, "v")
}
