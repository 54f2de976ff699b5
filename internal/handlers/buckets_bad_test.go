package handlers_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go/jetstream"
)

// A stream that has the name of a bucket, but not its form, is out of reach for every method and is
// not changed.
func TestStreamThatIsNoBucketIsOutOfReach(t *testing.T) {
	t.Parallel()
	g := start(t)
	doc := contract(t)
	for name, config := range map[string]jetstream.StreamConfig{
		"subjects":  {Subjects: []string{"orders.>"}},
		"more":      {Subjects: []string{"$KV.more.>", "orders2.>"}, MaxMsgsPerSubject: 1},
		"less":      {Subjects: []string{"$KV.less.a"}, MaxMsgsPerSubject: 1},
		"another":   {Subjects: []string{"$KV.theirs.>"}, MaxMsgsPerSubject: 1},
		"unlimited": {Subjects: []string{"$KV.unlimited.>"}},
	} {
		t.Run(name, func(t *testing.T) {
			config.Name = "KV_" + name
			if _, err := g.js.CreateStream(t.Context(), config); err != nil {
				t.Fatal(err)
			}
			before, settings := g.messages(t, name), g.settings(t, name)
			for template, item := range doc.Paths.Map() {
				if !strings.Contains(template, "{bucket}") {
					continue
				}
				target := strings.NewReplacer("{bucket}", name, "{key}", "a").Replace(template)
				for method := range item.Operations() {
					var body any = bodyFor(method)
					if strings.HasSuffix(template, "{bucket}") &&
						(method == "PUT" || method == "PATCH") {
						body = `{"history":2}`
					}
					a := g.do(t, method, target, body, jsonType)
					if method == "HEAD" {
						a.is(t, 409)
					} else {
						a.problem(t, 409, "bad-bucket")
					}
				}
			}
			g.do(t, "PUT", "/buckets/"+name, nil).problem(t, 409, "bad-bucket")
			g.do(t, "DELETE", "/buckets/"+name+"/keys/a?purge=true", nil).
				problem(t, 409, "bad-bucket")
			g.wantUnchanged(t, name, before)
			if diff := cmp.Diff(settings, g.settings(t, name)); diff != "" {
				t.Errorf("settings (-before +after)\n%s", diff)
			}
			names := g.get(t, "/buckets?names=true").is(t, 200)
			if strings.Contains(string(names.body), name) {
				t.Errorf("listed: %s", names.body)
			}
		})
	}
}

// A bucket can become something else while the gateway remembers it as a bucket.
func TestBucketThatBecomesAnotherStreamIsRefused(t *testing.T) {
	t.Parallel()
	g, _ := warm(t)
	g.deleteBucket(t, "shop")
	if _, err := g.js.CreateStream(t.Context(), jetstream.StreamConfig{
		Name: "KV_shop", Subjects: []string{"orders.>"}, AllowDirect: true,
	}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the gateway sees that", func() bool {
		return g.get(t, "/buckets/shop/keys/a").status == 409
	})
	g.do(t, "PUT", "/buckets/shop/keys/a", "v").problem(t, 409, "bad-bucket")
}

// Reads of a mirror are answered by the mirror, whose messages keep the subjects of the origin.
// Writes go to the origin.
func TestMirrorServesReadsAndForwardsWrites(t *testing.T) {
	t.Parallel()
	g := start(t)
	origin := g.shop(t)
	put(t, origin, "a", "1")
	g.do(t, "PUT", "/buckets/copy", `{"mirror":{"name":"shop"},"history":10}`, jsonType).is(t, 201)
	wantMirrored := func(value string) {
		t.Helper()
		eventually(t, "the mirror has "+value, func() bool {
			a := g.get(t, "/buckets/copy/keys/a")
			return a.status == 200 && string(a.body) == value
		})
		revision := g.get(t, "/buckets/copy/keys/a").header.Get("KV-Revision")
		for _, query := range []string{"", "?revision=" + revision, "?min_revision=" + revision} {
			g.get(t, "/buckets/copy/keys/a"+query).is(t, 200).has(t, "KV-Consistency", "any")
		}
		g.get(t, "/buckets/copy/keys/a?revision=999").is(t, 404).has(t, "KV-Consistency", "any")
		entry := g.get(t, "/buckets/copy/entries/a").is(t, 200).object(t)
		if entry["key"] != "a" || entry["bucket"] != "copy" || entry["text"] != value {
			t.Errorf("entry %v", entry)
		}
		keys := stringsOf(g.get(t, "/buckets/copy/keys?filter=*").is(t, 200).object(t)["keys"])
		if fmt.Sprint(keys) != "[a]" {
			t.Errorf("keys %v", keys)
		}
	}
	wantMirrored("1")
	g.do(t, "PUT", "/buckets/copy/keys/a", "2").is(t, 200)
	wantNative(t, origin, "a", "2")
	wantMirrored("2")
	g.get(t, "/buckets/copy/history/a").is(t, 200)

	tag := g.get(t, "/buckets/shop/keys/a").is(t, 200).tag()
	g.do(t, "PUT", "/buckets/shop/keys/a", "3", "If-Match: "+tag).is(t, 200)
	wantMirrored("3")
	g.do(t, "DELETE", "/buckets/copy/keys/a", nil).is(t, 200)
	g.get(t, "/buckets/shop/keys/a").problem(t, 404, "key-deleted")
	eventually(t, "the mirror has the marker", func() bool {
		return g.get(t, "/buckets/copy/keys/a").status == 404
	})
}

// A write of a key that a mirror does not hold would be stored in the origin, and the key would be
// missing in the mirror for ever.
func TestMirrorRefusesWritesOutsideItsFilter(t *testing.T) {
	t.Parallel()
	g := start(t)
	origin := g.bucket(t, jetstream.KeyValueConfig{Bucket: "shop", LimitMarkerTTL: time.Hour})
	put(t, origin, "b.there", `{"n":1}`)
	g.changeStream(t, "shop", func(c *jetstream.StreamConfig) { c.AllowAtomicPublish = true })
	for name, mirror := range map[string]string{
		"filtered": `{"name":"shop","filter_subject":"$KV.shop.a.>"}`,
		"selected": `{"name":"KV_shop","subject_transforms":[` +
			`{"src":"$KV.shop.a.>","dest":"$KV.shop.a.>"},` +
			`{"src":"$KV.shop.c.*","dest":"$KV.shop.c.{{wildcard(1)}}"}]}`,
	} {
		path := "/buckets/" + name
		g.do(t, "PUT", path, `{"mirror":`+mirror+`}`, jsonType).is(t, 201)
		before := g.messages(t, "shop")
		for _, r := range []struct{ method, path, body, header string }{
			{"PUT", "/keys/b.x", "v", "X: y"},
			{"PUT", "/keys/a", "v", "X: y"},
			{"PUT", "/keys/b.x?ttl=1h", "v", "If-None-Match: *"},
			{"PUT", "/keys/b.there", "v", `If-Match: "1"`},
			{"PATCH", "/keys/b.there", `{"n":2}`, mergeType},
			{"DELETE", "/keys/b.there", "", "X: y"},
			{"DELETE", "/keys/b.there?purge=true", "", `If-Match: "1-zzz"`},
			{"POST", "/transactions", `{"operations":[{"op":"put","key":"a.y","text":"v"},` +
				`{"op":"put","key":"b.x","text":"v"}]}`, jsonType},
		} {
			a := g.do(t, r.method, path+r.path, r.body, r.header)
			document := a.problem(t, 409, "outside-mirror")
			if document["bucket"] != "shop" || stringsOf(document["holds"])[0] != "a.>" {
				t.Errorf("%s: %v", a.request, document)
			}
		}
		g.load(t, path+"/entries", `{"key":"b.x","text":"v"}`).
			wantFailed(t, map[int]string{1: "outside-mirror"})
		g.wantUnchanged(t, "shop", before)
		g.do(t, "PUT", path+"/keys/a.x", name).is(t, 200)
		g.load(t, path+"/entries", `{"key":"a.z","text":"v"}`).wantDone(t, 1, 0)
		eventually(t, "the mirror has it", func() bool {
			return string(g.get(t, path+"/keys/a.x").body) == name
		})
	}
	g.do(t, "PUT", "/buckets/selected/keys/c.x", "v").is(t, 200)
	g.do(t, "PUT", "/buckets/selected/keys/c.x.y", "v").problem(t, 409, "outside-mirror")
}

// A bucket that was created by hand, without direct gets, is served like any other.
func TestBucketWithoutDirectGetsIsServed(t *testing.T) {
	t.Parallel()
	g := start(t)
	if _, err := g.js.CreateStream(t.Context(), jetstream.StreamConfig{
		Name: "KV_plain", Subjects: []string{"$KV.plain.>"}, MaxMsgsPerSubject: 3,
	}); err != nil {
		t.Fatal(err)
	}
	g.get(t, "/buckets/plain").is(t, 200)
	g.do(t, "PUT", "/buckets/plain/keys/a", "1", "If-None-Match: *").is(t, 201)
	tag := g.do(t, "PUT", "/buckets/plain/keys/a", "2", jsonType).is(t, 200).tag()
	for _, query := range []string{"", "?consistency=any", "?revision=2", "?min_revision=2"} {
		g.get(t, "/buckets/plain/keys/a"+query).is(t, 200).hasBody(t, "2").has(t, "ETag", tag).
			has(t, "Content-Type", "application/json").
			has(t, "KV-Consistency", "leader")
	}
	g.get(t, "/buckets/plain/keys/never").problem(t, 404, "key-not-found")
	g.do(t, "DELETE", "/buckets/plain/keys/a", nil, "If-Match: "+tag).is(t, 200)
	g.get(t, "/buckets/plain/keys/a").problem(t, 404, "key-deleted")
	entries, _ := g.get(t, "/buckets/plain/history/a").is(t, 200).object(t)["entries"].([]any)
	if len(entries) != 3 {
		t.Errorf("history %v", entries)
	}
	g.do(t, "DELETE", "/buckets/plain/markers?older_than=0s", nil).is(t, 200)
	g.get(t, "/buckets/plain/keys/a").problem(t, 404, "key-not-found")
}
