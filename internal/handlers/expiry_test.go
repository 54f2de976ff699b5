package handlers_test

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// The server leaves a marker where a value has expired.
func TestExpiredEntryIs404(t *testing.T) {
	t.Parallel()
	g := start(t)
	kv := g.bucket(t, jetstream.KeyValueConfig{Bucket: "shop", LimitMarkerTTL: time.Hour})
	_, err := kv.Create(t.Context(), "a", []byte("v"), jetstream.KeyTTL(time.Second))
	if err != nil {
		t.Fatal(err)
	}
	g.get(t, "/buckets/shop/keys/a").is(t, 200)
	eventually(t, "the value expires", func() bool {
		return g.get(t, "/buckets/shop/keys/a").status == 404
	})
	a := g.get(t, "/buckets/shop/keys/a")
	document := a.problem(t, 404, "key-deleted")
	a.has(t, "KV-Operation", "expire")
	if document["operation"] != "expire" {
		t.Errorf("operation %v, want expire", document["operation"])
	}
	entries, _ := g.get(t, "/buckets/shop/history/a").is(t, 200).object(t)["entries"].([]any)
	if len(entries) != 1 || entries[0].(map[string]any)["operation"] != "expire" {
		t.Errorf("history %v", entries)
	}
	g.do(t, "PUT", "/buckets/shop/keys/a", "again", "If-None-Match: *").is(t, 201)
	wantNative(t, kv, "a", "again")
}

// An entry that will expire says when.
func TestExpiringEntrySaysWhen(t *testing.T) {
	t.Parallel()
	g := start(t)
	own := g.bucket(t, jetstream.KeyValueConfig{Bucket: "own", LimitMarkerTTL: time.Hour})
	_, err := own.Create(t.Context(), "a", []byte("v"), jetstream.KeyTTL(10*time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	put(t, g.bucket(t, jetstream.KeyValueConfig{Bucket: "all", TTL: 10 * time.Minute}), "a", "v")
	for _, bucket := range []string{"own", "all"} {
		a := g.get(t, "/buckets/"+bucket+"/keys/a").is(t, 200)
		created, err := time.Parse(time.RFC3339Nano, a.header.Get("KV-Created"))
		if err != nil {
			t.Fatal(err)
		}
		expires, err := time.Parse(time.RFC3339Nano, a.header.Get("KV-Expires"))
		if err != nil || expires.Sub(created) != 10*time.Minute {
			t.Errorf("%s: created %s, KV-Expires %q, want 10m later",
				bucket, created, a.header.Get("KV-Expires"))
		}
		if ttl, err := time.ParseDuration(a.header.Get("KV-TTL")); err != nil ||
			ttl <= 9*time.Minute || ttl > 10*time.Minute {
			t.Errorf("%s: KV-TTL %q, want a little less than 10m", bucket, a.header.Get("KV-TTL"))
		}
		entry := g.get(t, "/buckets/"+bucket+"/entries/a").is(t, 200).object(t)
		if entry["expires"] == nil {
			t.Errorf("%s: entry without expires: %v", bucket, entry)
		}
	}
}
