package handlers_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
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

// The patch that the problem advises allows the time to live of the request, also where the server
// would raise that to limit_marker_ttl.
func TestTimesToLiveAreEnabledAsAdvised(t *testing.T) {
	t.Parallel()
	g := start(t)
	for i, tc := range []struct {
		history    uint8
		ttl, patch string
	}{
		{1, "5s", "1h"}, {2, "5s", "5s"}, {64, "1500ms", "1s"}, {2, "90s", "1m30s"},
		{2, "2h", "1h"},
	} {
		name := fmt.Sprint("b", i)
		g.bucket(t, jetstream.KeyValueConfig{Bucket: name, History: tc.history})
		target := "/buckets/" + name + "/keys/a?ttl=" + tc.ttl
		patch, err := json.Marshal(g.do(t, "PUT", target, "v").
			problem(t, 409, "ttl-not-enabled")["patch"])
		if err != nil || string(patch) != fmt.Sprintf(`{"limit_marker_ttl":"%s"}`, tc.patch) {
			t.Errorf("history %d, %s: %s (%v), want %s", tc.history, tc.ttl, patch, err, tc.patch)
		}
		g.do(t, "PATCH", "/buckets/"+name, string(patch), mergeType).is(t, 200)
		g.do(t, "PUT", target, "v").is(t, 200)
	}
}

// No write ever brings an older value back, whatever expires below or above it.
func TestNothingComesBack(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for entries to expire in seven buckets")
	}
	t.Parallel()
	for _, config := range []jetstream.KeyValueConfig{
		{History: 1}, {History: 2}, {History: 64}, {History: 2, Storage: jetstream.MemoryStorage},
		{History: 1, TTL: 4 * time.Second}, {History: 2, TTL: 4 * time.Second},
		{History: 64, TTL: 4 * time.Second},
	} {
		t.Run(fmt.Sprintf("history %d, ttl %s, %s", config.History, config.TTL, config.Storage),
			func(t *testing.T) {
				t.Parallel()
				g := start(t)
				config.Bucket, config.LimitMarkerTTL = "shop", time.Second
				kv := g.bucket(t, config)
				for i, life := range lives {
					path := fmt.Sprintf("/buckets/shop/keys/k%d", i)
					for n := range 3 {
						put(t, kv, keyOf(path), fmt.Sprintf(`{"older":%d}`, n))
					}
					life.live(t, g, path)
				}
				for i, life := range lives {
					ends := life.ends
					if config.TTL > 0 {
						// The TTL of the bucket ends everything.
						ends = ""
					}
					g.awaitEnd(t, life.name, fmt.Sprintf("/buckets/shop/keys/k%d", i), ends)
				}
				// Each key is checked once more, when all has expired.
				for i, life := range lives {
					g.wantNothingOlder(t, life.name, fmt.Sprintf("/buckets/shop/keys/k%d", i))
				}
			})
	}
}

// An entry that a native client stored with the TTL "never" outlives those that are written over
// it, where the bucket's TTL ends them. The writes of the gateway remove it with its history. It is
// not enough to cover it with a value or a marker.
func TestNeverDoesNotComeBack(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for entries to expire after each kind of write")
	}
	t.Parallel()
	writes := map[string]func(t *testing.T, g *gateway, path string){
		"put": func(t *testing.T, g *gateway, path string) {
			g.do(t, "PUT", path, "new").is(t, 200)
		},
		"update": func(t *testing.T, g *gateway, path string) {
			g.do(t, "PUT", path, "new", "If-Match: "+g.get(t, path).tag()).is(t, 200)
		},
		"replace": func(t *testing.T, g *gateway, path string) {
			g.do(t, "PUT", path, "new", "If-Match: *").is(t, 200)
		},
		"retried": func(t *testing.T, g *gateway, path string) {
			wantSameAnswer(t, "retried", g.do(t, "PUT", path, "new", "Idempotency-Key: k"),
				g.do(t, "PUT", path, "new", "Idempotency-Key: k"))
		},
		"delete": func(t *testing.T, g *gateway, path string) {
			g.do(t, "DELETE", path, nil).is(t, 200)
		},
		"delete by filter": func(t *testing.T, g *gateway, path string) {
			g.do(t, "DELETE", "/buckets/shop/keys?filter="+keyOf(path), nil).is(t, 200)
		},
		"delete, then create": func(t *testing.T, g *gateway, path string) {
			g.do(t, "DELETE", path, nil).is(t, 200)
			g.do(t, "PUT", path, "new", "If-None-Match: *").is(t, 201)
		},
		"import": func(t *testing.T, g *gateway, path string) {
			g.load(t, "/buckets/shop/entries", `{"key":"`+keyOf(path)+`","text":"new"}`).
				wantDone(t, 1, 0)
		},
		"transaction": func(t *testing.T, g *gateway, path string) {
			g.transactIn(t, "shop", `{"op":"put","key":"`+keyOf(path)+
				`","text":"new"},{"op":"put","key":"beside","text":"new"}`).is(t, 200)
		},
		"deletion in a transaction": func(t *testing.T, g *gateway, path string) {
			g.transactIn(t, "shop", `{"op":"delete","key":"`+keyOf(path)+`"}`).is(t, 200)
		},
		"patch, then put": func(t *testing.T, g *gateway, path string) {
			g.do(t, "PATCH", path, `{"older":2}`, mergeType).is(t, 200)
			g.get(t, path).is(t, 200).has(t, "KV-Expires", "")
			g.do(t, "PUT", path, "new").is(t, 200)
		},
	}
	for _, history := range []uint8{1, 2, 64} {
		t.Run(fmt.Sprint("history ", history), func(t *testing.T) {
			t.Parallel()
			g := start(t)
			g.bucket(t, jetstream.KeyValueConfig{
				Bucket: "shop", History: history, TTL: 2 * time.Second, LimitMarkerTTL: time.Second,
			})
			paths := map[string]string{}
			for name, write := range writes {
				paths[name] = "/buckets/shop/keys/" + strings.NewReplacer(" ", "-", ",", "").
					Replace(name)
				g.publish(t, "shop", keyOf(paths[name]), `{"older":1}`,
					nats.Header{"Nats-TTL": {"never"}})
				write(t, g, paths[name])
			}
			for name, path := range paths {
				g.awaitEnd(t, name, path, "")
			}
		})
	}
}

// awaitEnd reads a key until it has come to its end.
func (g *gateway) awaitEnd(t *testing.T, name, path, ends string) {
	t.Helper()
	eventually(t, name+" ends as "+ends, func() bool {
		a := g.wantNothingOlder(t, name, path)
		switch {
		case strings.HasPrefix(ends, "404 "):
			return a.status == 404 && a.header.Get("KV-Operation") == ends[len("404 "):] &&
				g.retained(t, "shop", keyOf(path)) <= 3
		case ends == "":
			return a.status == 404 && a.header.Get("KV-Operation") == ""
		}
		return string(a.body) == ends
	})
}

// wantNothingOlder reads a key and ends the test if an older value is back.
func (g *gateway) wantNothingOlder(t *testing.T, name, path string) *answer {
	t.Helper()
	a := g.get(t, path)
	if a.status == 200 && strings.Contains(string(a.body), "older") && name != "touch" &&
		name != "patch" {
		t.Fatalf("%s: an older value is back: %s", name, a.body)
	}
	return a
}
