package handlers_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// expiring creates the bucket "shop", whose entries can have a time to live.
func (g *gateway) expiring(t testing.TB, history uint8, markers time.Duration) jetstream.KeyValue {
	t.Helper()
	return g.bucket(t, jetstream.KeyValueConfig{
		Bucket: "shop", History: history, LimitMarkerTTL: markers,
	})
}

// lives are what may happen to a key, and what is there at its end. Each case begins with older
// values.
var lives = []struct {
	name string
	live func(t *testing.T, g *gateway, path string)
	ends string // "" if not even a marker is there
}{
	{"put", func(t *testing.T, g *gateway, path string) {
		g.do(t, "PUT", path+"?ttl=1s", "new").is(t, 200)
	}, ""},
	{"put twice", func(t *testing.T, g *gateway, path string) {
		g.do(t, "PUT", path+"?ttl=2s", "new").is(t, 200)
		g.do(t, "PUT", path+"?ttl=1s", "newer").is(t, 200)
	}, ""},
	{"compare and set", func(t *testing.T, g *gateway, path string) {
		g.do(t, "PUT", path+"?ttl=1s", "new", "If-Match: "+g.get(t, path).tag()).is(t, 200)
	}, ""},
	{"any of several", func(t *testing.T, g *gateway, path string) {
		g.do(t, "PUT", path+"?ttl=1s", "new", `If-Match: "1000000", `+g.get(t, path).tag()).
			is(t, 200)
	}, ""},
	{"whatever is there", func(t *testing.T, g *gateway, path string) {
		g.do(t, "PUT", path+"?ttl=1s", "new", "If-Match: *").is(t, 200)
	}, ""},
	{"unless", func(t *testing.T, g *gateway, path string) {
		g.do(t, "PUT", path+"?ttl=1s", "new", `If-None-Match: "1000000"`).is(t, 200)
	}, ""},
	{"create over a delete marker", func(t *testing.T, g *gateway, path string) {
		g.do(t, "DELETE", path, nil).is(t, 200)
		g.do(t, "PUT", path+"?ttl=1s", "new", "If-None-Match: *").is(t, 201)
	}, ""},
	{"create over a purge marker", func(t *testing.T, g *gateway, path string) {
		g.do(t, "DELETE", path+"?purge=true", nil).is(t, 200)
		g.do(t, "PUT", path+"?ttl=1s", "new", "If-None-Match: *").is(t, 201)
	}, ""},
	{"put over a delete marker", func(t *testing.T, g *gateway, path string) {
		g.do(t, "DELETE", path, nil).is(t, 200)
		g.do(t, "PUT", path+"?ttl=1s", "new").is(t, 200)
	}, ""},
	{"touch", func(t *testing.T, g *gateway, path string) {
		g.do(t, "PATCH", path+"?ttl=1s", nil).is(t, 200)
	}, ""},
	{"patch", func(t *testing.T, g *gateway, path string) {
		g.do(t, "PATCH", path+"?ttl=1s", `{"n":9}`, mergeType).is(t, 200)
	}, ""},
	{"patch keeps the time to live", func(t *testing.T, g *gateway, path string) {
		g.do(t, "PUT", path+"?ttl=3s", `{"n":0}`).is(t, 200)
		g.do(t, "PATCH", path, `[{"op":"replace","path":"/n","value":9}]`, jsonPatchType).is(t, 200)
	}, ""},
	{"with an idempotency key", func(t *testing.T, g *gateway, path string) {
		for range 2 {
			g.do(t, "PUT", path+"?ttl=1s", "new", "Idempotency-Key: k").is(t, 200)
		}
	}, ""},
	{"put over what expires", func(t *testing.T, g *gateway, path string) {
		g.do(t, "PUT", path+"?ttl=1s", "brief").is(t, 200)
		g.do(t, "PUT", path, "stays").is(t, 200)
	}, "stays"},
	{"compare and set over what expires", func(t *testing.T, g *gateway, path string) {
		g.do(t, "PUT", path, "stays", "If-Match: "+g.do(t, "PUT", path+"?ttl=1s", "brief").
			is(t, 200).tag()).is(t, 200)
	}, "stays"},
	{"delete what expires", func(t *testing.T, g *gateway, path string) {
		g.do(t, "PUT", path+"?ttl=1s", "brief").is(t, 200)
		g.do(t, "DELETE", path, nil).is(t, 200)
	}, "404 delete"},
	{"delete a value over one that expires", func(t *testing.T, g *gateway, path string) {
		g.do(t, "PUT", path+"?ttl=1s", "brief").is(t, 200)
		g.do(t, "PUT", path, "over it").is(t, 200)
		g.do(t, "DELETE", path, nil).is(t, 200)
	}, "404 delete"},
	{"purge", func(t *testing.T, g *gateway, path string) {
		g.do(t, "DELETE", path+"?purge=true&ttl=1s", nil).is(t, 200)
	}, ""},
	{"purge what expires", func(t *testing.T, g *gateway, path string) {
		g.do(t, "PUT", path+"?ttl=5s", "brief").is(t, 200)
		g.do(t, "DELETE", path+"?purge=true&ttl=1s", nil).is(t, 200)
	}, ""},
	{"purge what is deleted", func(t *testing.T, g *gateway, path string) {
		g.do(t, "DELETE", path, nil).is(t, 200)
		g.do(t, "DELETE", path+"?purge=true&ttl=1s", nil).is(t, 200)
	}, ""},
	{"transaction", func(t *testing.T, g *gateway, path string) {
		g.transactIn(t, "shop", `{"op":"put","key":"`+keyOf(path)+`","text":"new","ttl":"1s"}`).
			is(t, 200)
	}, ""},
	{"purge in a transaction", func(t *testing.T, g *gateway, path string) {
		g.transactIn(t, "shop", `{"op":"purge","key":"`+keyOf(path)+`","ttl":"1s"}`).is(t, 200)
	}, ""},
	{"import", func(t *testing.T, g *gateway, path string) {
		g.load(t, "/buckets/shop/entries?ttl=1s", `{"key":"`+keyOf(path)+`","text":"new"}`).
			wantDone(t, 1, 0)
	}, ""},
	{"import of what has an end", func(t *testing.T, g *gateway, path string) {
		expires := time.Now().Add(2 * time.Second).UTC().Format(time.RFC3339Nano)
		g.load(t, "/buckets/shop/entries",
			`{"key":"`+keyOf(path)+`","text":"new","expires":"`+expires+`"}`).wantDone(t, 1, 0)
	}, ""},
	{"put over a purge marker that expires", func(t *testing.T, g *gateway, path string) {
		g.do(t, "DELETE", path+"?purge=true&ttl=1s", nil).is(t, 200)
		g.do(t, "PUT", path, "stays").is(t, 200)
	}, "stays"},
}

// keyOf returns the key in a path of the bucket "shop".
func keyOf(path string) string { return path[len("/buckets/shop/keys/"):] }

// transactIn is transact for any bucket. It lets the bucket allow transactions first.
func (g *gateway) transactIn(t *testing.T, bucket, operations string) *answer {
	t.Helper()
	g.do(t, "PATCH", "/buckets/"+bucket, `{"allow_atomic":true}`, mergeType).is(t, 200)
	return g.do(t, "POST", "/buckets/"+bucket+"/transactions", `{"operations":[`+operations+`]}`,
		jsonType)
}

// The time at which an entry expires is reported by every way to read it, and there is an event
// when it is over.
func TestTimeToLiveIsReportedEverywhere(t *testing.T) {
	t.Parallel()
	for _, history := range []uint8{1, 5} {
		t.Run(fmt.Sprintf("history %d", history), func(t *testing.T) {
			t.Parallel()
			testTimeToLiveIsReported(t, history)
		})
	}
}

// testTimeToLiveIsReported is TestTimeToLiveIsReportedEverywhere for a bucket with a history. On a
// busy machine the entry and its marker must be there still when they are read.
func testTimeToLiveIsReported(t *testing.T, history uint8) {
	const lives, marker = 8 * time.Second, 5 * time.Second
	g := start(t)
	g.expiring(t, history, marker)
	w := g.watch(t, "/buckets/shop/watch")
	w.until("sync")
	g.do(t, "PUT", "/buckets/shop/keys/a?ttl=7500ms", `1`).is(t, 200)
	a := g.get(t, "/buckets/shop/keys/a").is(t, 200)
	created, err := time.Parse(time.RFC3339Nano, a.header.Get("KV-Created"))
	if err != nil {
		t.Fatal(err)
	}
	// NATS counts whole seconds.
	want := created.Add(lives).UTC().Format(time.RFC3339Nano)
	if got := a.header.Get("KV-Expires"); got != want {
		t.Errorf("KV-Expires %s, want %s", got, want)
	}
	if left, err := time.ParseDuration(a.header.Get("KV-TTL")); err != nil || left <= 0 ||
		left > lives {
		t.Errorf("KV-TTL %q", a.header.Get("KV-TTL"))
	}
	head := g.do(t, "HEAD", "/buckets/shop/keys/a", nil).is(t, 200)
	head.has(t, "KV-Expires", want)
	g.get(t, "/buckets/shop/keys/a", "If-None-Match: "+a.tag()).is(t, 304).
		has(t, "KV-Expires", want)
	entry := g.get(t, "/buckets/shop/entries/a").is(t, 200).has(t, "KV-Expires", want).object(t)
	if entry["expires"] != want {
		t.Errorf("entry: %v", entry)
	}
	entries := g.get(t, "/buckets/shop/history/a").is(t, 200).object(t)["entries"].([]any)
	if len(entries) != 1 || entries[0].(map[string]any)["expires"] != want {
		t.Errorf("history: %v", entries)
	}
	for _, target := range []string{
		"entries", "entries?key=a", "entries?filter=a&values=none",
	} {
		listed := g.get(t, "/buckets/shop/"+target).is(t, 200).object(t)["entries"].([]any)
		if len(listed) != 1 || listed[0].(map[string]any)["expires"] != want {
			t.Errorf("%s: %v", target, listed)
		}
	}
	exported := linesOf(t, g.get(t, "/buckets/shop/entries", asLines))
	if exported[0]["expires"] != want {
		t.Errorf("export: %v", exported)
	}
	event := g.watch(t, "/buckets/shop/watch").until("put").object(t)
	if event["expires"] != want {
		t.Errorf("event of a snapshot: %v", event)
	}
	if event := w.until("put").object(t); event["expires"] != want {
		t.Errorf("event: %v", event)
	}
	if event := w.until("expire").object(t); event["key"] != "a" || event["expires"] == nil {
		t.Errorf("event: %v", event)
	}
	markers := g.get(t, "/buckets/shop/markers").is(t, 200).object(t)["markers"].([]any)
	if len(markers) != 1 || markers[0].(map[string]any)["operation"] != "expire" ||
		markers[0].(map[string]any)["expires"] == nil {
		t.Errorf("markers: %v", markers)
	}
}

func TestTimeToLiveIsChecked(t *testing.T) {
	t.Parallel()
	g := start(t)
	kv := g.expiring(t, 3, time.Minute)
	put(t, kv, "a", `{"n":1}`)
	plain := g.bucket(t, jetstream.KeyValueConfig{Bucket: "plain", TTL: time.Hour})
	put(t, plain, "a", `{"n":1}`)
	before := g.messages(t, "shop")
	for _, ttl := range []string{
		"", "0s", "999ms", "1", "-1s", "1d", "never", "10000000h", "1s&ttl=1s", "1e3s",
		"9999999999999999999999h",
	} {
		for _, method := range []string{"PUT", "PATCH", "DELETE"} {
			g.do(t, method, "/buckets/shop/keys/a?purge=true&ttl="+ttl, bodyFor(method)).is(t, 400)
			g.do(t, method, "/buckets/shop/keys/a?ttl="+ttl, bodyFor(method)).
				problem(t, 400, "invalid-parameter")
		}
	}
	g.do(t, "DELETE", "/buckets/shop/keys/a?ttl=1h", nil).problem(t, 400, "invalid-parameter")
	for _, target := range []string{
		"PUT a?ttl=59s", "PATCH a?ttl=59s", "DELETE a?purge=true&ttl=59s", "PUT new?ttl=59s",
	} {
		method, target, _ := strings.Cut(target, " ")
		document := g.do(t, method, "/buckets/shop/keys/"+target, nil).
			problem(t, 409, "ttl-too-short")
		if document["minimum"] != "1m0s" {
			t.Errorf("%v", document)
		}
		document = g.do(t, method, "/buckets/plain/keys/"+target, nil).
			problem(t, 409, "ttl-not-enabled")
		if fmt.Sprint(document["patch"]) != "map[limit_marker_ttl:1h]" ||
			!strings.Contains(document["detail"].(string), "PATCH /buckets/plain") {
			t.Errorf("%v", document)
		}
	}
	g.wantUnchanged(t, "shop", before)
	// The patch that the problem names fixes it.
	g.do(t, "PATCH", "/buckets/plain", `{"limit_marker_ttl":"1h"}`, mergeType).is(t, 200)
	g.do(t, "PUT", "/buckets/plain/keys/a?ttl=1s", "v").is(t, 200)
	g.do(t, "PUT", "/buckets/shop/keys/a?ttl=876000h", "v").is(t, 200)
	a := g.get(t, "/buckets/shop/keys/a").is(t, 200)
	left, err := time.ParseDuration(a.header.Get("KV-TTL"))
	if err != nil || left < 875999*time.Hour {
		t.Errorf("a hundred years less a moment are %s", left)
	}
}

// The entries of a mirror are those of its origin, and so are the rules for them.
func TestTimeToLiveOnAMirrorFollowsTheOrigin(t *testing.T) {
	t.Parallel()
	g := start(t)
	kv := g.expiring(t, 2, time.Minute)
	put(t, kv, "a", "older")
	g.bucket(t, jetstream.KeyValueConfig{
		Bucket: "copy", Mirror: &jetstream.StreamSource{Name: "shop"},
	})
	document := g.do(t, "PUT", "/buckets/copy/keys/a?ttl=59s", "v").problem(t, 409, "ttl-too-short")
	if document["minimum"] != "1m0s" {
		t.Errorf("%v", document)
	}
	a := g.do(t, "PUT", "/buckets/copy/keys/a?ttl=60s", "v").is(t, 200)
	stored := g.stored(t, "shop", a.revision(t))
	if stored.Header.Get("Nats-TTL") != "60s" || stored.Header.Get("Nats-Rollup") != "sub" {
		t.Errorf("stored with %v", stored.Header)
	}
	plain := g.bucket(t, jetstream.KeyValueConfig{Bucket: "plain"})
	put(t, plain, "a", "v")
	g.bucket(t, jetstream.KeyValueConfig{
		Bucket: "copy2", Mirror: &jetstream.StreamSource{Name: "plain"},
	})
	if document := g.do(t, "PUT", "/buckets/copy2/keys/a?ttl=60s", "v").
		problem(t, 409, "ttl-not-enabled"); document["bucket"] != "plain" {
		t.Errorf("%v", document)
	}
}

// A PUT without a TTL ends a time to live, while a patch keeps what is left of it, however often
// the value is patched.
func TestPatchKeepsTheTimeToLive(t *testing.T) {
	t.Parallel()
	g := start(t)
	g.expiring(t, 1, time.Second)
	path := "/buckets/shop/keys/a"
	g.do(t, "PUT", path+"?ttl=1h", `{"n":0}`).is(t, 200)
	first, err := time.Parse(time.RFC3339Nano, g.get(t, path).header.Get("KV-Expires"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		g.do(t, "PATCH", path, fmt.Sprintf(`{"n":%d}`, i), mergeType).is(t, 200)
	}
	last, err := time.Parse(time.RFC3339Nano, g.get(t, path).is(t, 200).hasBody(t, `{"n":19}`).
		header.Get("KV-Expires"))
	if err != nil || last.After(first) || first.Sub(last) > time.Second {
		t.Errorf("expires %s, and after 20 patches %s", first, last)
	}
	g.do(t, "PATCH", path+"?ttl=2h", nil).is(t, 200)
	if left, err := time.ParseDuration(g.get(t, path).header.Get("KV-TTL")); err != nil ||
		left > 2*time.Hour || left < 2*time.Hour-time.Minute {
		t.Errorf("%s left of 2h", left)
	}
	g.do(t, "PUT", path, `{"n":1}`).is(t, 200)
	g.get(t, path).is(t, 200).has(t, "KV-Expires", "")
	g.do(t, "PATCH", path, `{"n":2}`, mergeType).is(t, 200)
	g.get(t, path).is(t, 200).has(t, "KV-Expires", "")

	// Less than a second cannot be set, and is not rounded up.
	g.do(t, "PUT", path+"?ttl=1s", `{"n":0}`).is(t, 200)
	g.do(t, "PATCH", path, `{"n":1}`, mergeType).problem(t, 409, "ttl-too-short")
	g.do(t, "PATCH", path+"?ttl=10s", `{"n":1}`, mergeType).is(t, 200)
}
