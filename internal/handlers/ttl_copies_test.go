package handlers_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// A mirror, and a bucket with sources, keeps the time to live that an entry had in its origin, but
// acts on it only if its own stream allows message TTLs. What is reported must be what will happen
// in the copy.
func TestCopyOfAnEntryReportsItsOwnEnd(t *testing.T) {
	t.Parallel()
	g := start(t)
	g.do(t, "PUT", "/buckets/origin", `{"limit_marker_ttl":"1h"}`, jsonType).is(t, 201)
	copies := map[string]struct {
		config string
		ends   bool
	}{
		"mirror":  {`{"mirror":{"name":"origin"}}`, false},
		"sourced": {`{"sources":[{"name":"origin"}]}`, false},
		// Its stream is changed below, so that it allows message TTLs.
		"mirror-ages":  {`{"mirror":{"name":"origin"}}`, true},
		"sourced-ages": {`{"sources":[{"name":"origin"}],"limit_marker_ttl":"1h"}`, true},
		"mirror-max":   {`{"mirror":{"name":"origin"},"ttl":"2h"}`, true},
		"sourced-max":  {`{"sources":[{"name":"origin"}],"ttl":"2h"}`, true},
	}
	for name, c := range copies {
		g.do(t, "PUT", "/buckets/"+name, c.config, jsonType).is(t, 201)
	}
	g.changeStream(t, "mirror-ages", func(c *jetstream.StreamConfig) { c.AllowMsgTTL = true })
	g.do(t, "PUT", "/buckets/origin/keys/lasts?ttl=1h", "v").is(t, 200)
	g.do(t, "PUT", "/buckets/origin/keys/ends?ttl=1s", "v").is(t, 200)
	for name, c := range copies {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			of := "/buckets/" + name
			eventually(t, "the entries come", func() bool {
				return g.get(t, of+"/keys/lasts").status == 200
			})
			reported := func(a *answer) bool {
				return strings.Contains(string(a.is(t, 200).body), `"expires"`)
			}
			if a := g.get(t, of+"/keys/lasts").
				is(t, 200); (a.header.Get("KV-Expires") != "") != c.ends {
				t.Errorf("KV-Expires %q", a.header.Get("KV-Expires"))
			}
			for _, target := range []string{
				"/entries/lasts", "/entries", "/entries?key=lasts", "/history/lasts",
			} {
				if a := g.get(t, of+target); reported(a) != c.ends {
					t.Errorf("%s: %s", target, a.body)
				}
			}
			if a := g.get(t, of+"/entries", asLines); reported(a) != c.ends {
				t.Errorf("export: %s", a.body)
			}
		})
	}
}

// In a copy that does not act on times to live, an entry outlives the one of its origin. It is
// listed, exported, imported and patched like any other.
func TestEntryOutlivesItsOriginInACopy(t *testing.T) {
	t.Parallel()
	g := start(t)
	g.do(t, "PUT", "/buckets/origin", `{}`, jsonType).is(t, 201)
	// Message TTLs are allowed, and the server leaves no markers.
	g.changeStream(t, "origin", func(c *jetstream.StreamConfig) { c.AllowMsgTTL = true })
	g.do(t, "PUT", "/buckets/copy", `{"sources":[{"name":"origin"}]}`, jsonType).is(t, 201)
	g.do(t, "PUT", "/buckets/plain", `{}`, jsonType).is(t, 201)
	g.publish(t, "origin", "a", `{"n":1}`, nats.Header{
		"Nats-TTL": {"1s"}, "Content-Type": {"application/json"},
	})
	eventually(t, "the entry comes", func() bool {
		return g.get(t, "/buckets/copy/keys/a").status == 200
	})
	eventually(t, "the origin's ends", func() bool {
		return g.get(t, "/buckets/origin/keys/a").status == 404
	})

	if a := g.get(t, "/buckets/copy/keys/a").is(t, 200); a.header.Get("KV-Expires") != "" {
		t.Errorf("KV-Expires %q", a.header.Get("KV-Expires"))
	}
	if a := g.get(t, "/buckets/copy/keys").is(t, 200); fmt.Sprint(a.object(t)["keys"]) != "[a]" {
		t.Errorf("keys: %s", a.body)
	}
	lines := string(g.get(t, "/buckets/copy/entries", asLines).is(t, 200).body)
	g.load(t, "/buckets/plain/entries", lines).wantDone(t, 1, 0)
	g.get(t, "/buckets/plain/keys/a").is(t, 200)
	stream := g.watch(t, "/buckets/copy/watch")
	if e := stream.next(); e.event != "put" || e.object(t)["expires"] != nil {
		t.Errorf("event %s: %s", e.event, e.data)
	}
	g.do(t, "PATCH", "/buckets/copy/keys/a", `{"n":2}`, mergeType).is(t, 200)
	g.get(t, "/buckets/copy/keys/a").is(t, 200).hasBody(t, `{"n":2}`)
}
