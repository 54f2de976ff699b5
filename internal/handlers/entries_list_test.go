package handlers_test

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// An entryPage is a page of entries in JSON.
type entryPage struct {
	Entries  []map[string]any
	Revision json.Number
	Snapshot bool
	Next     string
}

// entries reads a page of entries.
func (g *gateway) entries(t testing.TB, target string, header ...string) entryPage {
	t.Helper()
	var page entryPage
	g.get(t, target, header...).is(t, 200).decode(t, &page)
	return page
}

// keys returns the keys of the page, in its order.
func (p entryPage) keys() []string {
	keys := []string{}
	for _, e := range p.Entries {
		keys = append(keys, e["key"].(string))
	}
	return keys
}

func TestEntriesAreSelected(t *testing.T) {
	t.Parallel()
	g := start(t)
	g.bucketOf(t, "shop", someKeys...)
	last := g.messages(t, "shop")[1]
	for _, tc := range []struct {
		query string
		want  []string
	}{
		{"", slices.Sorted(slices.Values(someKeys))},
		{"filter=>", slices.Sorted(slices.Values(someKeys))},
		{"filter=orders.*", []string{"orders.10", "orders.2"}},
		{"filter=orders.*&filter=orders.10&filter=*.10", []string{"orders.10", "orders.2"}},
		{"prefix=orders.1", []string{"orders.10", "orders.10.lines"}},
		{"prefix=orders.&filter=*.*", []string{"orders.10", "orders.2"}},
		{"prefix=or", []string{"orders", "orders.10", "orders.10.lines", "orders.2"}},
		{"key=z&key=a%2F%2Fb&key=z", []string{"a//b", "z"}},
		{"key=z&filter=orders.*&key=orders.2", []string{"orders.10", "orders.2", "z"}},
		{"key=z&key=orders.2&prefix=orders", []string{"orders.2"}},
		{"key=none&key=gone&key=purged.gone&key=a", []string{"a"}},
		{"key=none", []string{}},
		{"key=gone", []string{}},
		{"filter=none.>", []string{}},
		{"filter=gone.>", []string{}},
	} {
		t.Run(tc.query, func(t *testing.T) {
			a := g.get(t, "/buckets/shop/entries?"+tc.query).is(t, 200).has(t, "Link", "").
				has(t, "KV-Consistency", "leader").has(t, "Cache-Control", "no-store")
			var page entryPage
			a.decode(t, &page)
			if diff := cmp.Diff(tc.want, page.keys()); diff != "" {
				t.Errorf("keys (-want +got)\n%s", diff)
			}
			if page.Revision != number(last) || !page.Snapshot || page.Next != "" ||
				page.Entries == nil {
				t.Errorf("%s", a.body)
			}
			for _, e := range page.Entries {
				single := g.get(t, "/buckets/shop/entries/"+url.PathEscape(e["key"].(string))).
					is(t, 200).object(t)
				if diff := cmp.Diff(single, e); diff != "" {
					t.Errorf("alone (-) and among others (+)\n%s", diff)
				}
			}
			// As lines the answer has all entries, or one page of them.
			x := g.export(t, "/buckets/shop/entries?"+tc.query)
			if len(x.entries) != len(tc.want) || x.end["revision"] != number(last) {
				t.Errorf("as lines: %d entries, %v", len(x.entries), x.end)
			}
			for limit := 1; limit <= 4; limit++ {
				target := fmt.Sprintf("/buckets/shop/entries?%s&limit=%d", tc.query, limit)
				keys := g.allPages(t, target, limit, func(page map[string]any) []string {
					var keys []string
					for _, e := range page["entries"].([]any) {
						keys = append(keys, e.(map[string]any)["key"].(string))
					}
					return keys
				})
				if len(keys) != len(tc.want) || len(keys) > 0 && !slices.Equal(keys, tc.want) {
					t.Errorf("limit=%d: %q", limit, keys)
				}
			}
		})
	}
}

func TestEntriesRequestsAreChecked(t *testing.T) {
	t.Parallel()
	g := start(t)
	g.bucketOf(t, "shop", "a", "b")
	keys := strings.Repeat("key=a&", 1024)
	page := g.entries(t, "/buckets/shop/entries?"+keys)
	if !slices.Equal(page.keys(), []string{"a"}) {
		t.Errorf("%v", page)
	}
	for query, code := range map[string]string{
		keys + "key=b":                  "invalid-parameter",
		strings.Repeat("filter=a&", 65): "invalid-parameter",
		"limit=0":                       "invalid-parameter",
		"limit=10001":                   "invalid-parameter",
		"prefix=*":                      "invalid-parameter",
		"values=x":                      "invalid-parameter",
		"consistency=x":                 "invalid-parameter",
		"min_revision=x":                "invalid-parameter",
		"key=":                          "invalid-parameter",
		"key=a.*":                       "invalid-key",
		"key=a&key=..":                  "invalid-key",
		"filter=a*":                     "invalid-filter",
		"cursor=x":                      "invalid-cursor",
		"delimiter=.":                   "unknown-parameter",
		"revision=1":                    "unknown-parameter",
	} {
		g.get(t, "/buckets/shop/entries?"+query).problem(t, 400, code)
	}
	g.get(t, "/buckets/shop/entries?key="+strings.Repeat("k", 1025)).problem(t, 414, "key-too-long")
	g.get(t, "/buckets/shop/entries", "Accept: text/plain").problem(t, 406, "not-acceptable")
	g.get(t, "/buckets/nowhere/entries").problem(t, 404, "bucket-not-found")
	g.get(t, "/buckets/nowhere/entries", asLines).problem(t, 404, "bucket-not-found")
	g.get(t, "/buckets/shop/entries?min_revision=1-zzz").problem(t, 409, "epoch-changed")
	g.get(t, "/buckets/shop/entries", "KV-Min-Revision: x").problem(t, 400, "invalid-header")
	g.get(t, "/buckets/shop/entries?min_revision=99", "Prefer: wait=0").
		problem(t, 504, "revision-not-reached")
	g.get(t, "/buckets/shop/entries?min_revision=2").is(t, 200)
	g.get(t, "/buckets/shop/entries?min_revision=2", asLines).is(t, 200)
	// A cursor is valid for its own selection only.
	next := g.entries(t, "/buckets/shop/entries?limit=1").Next
	g.get(t, "/buckets/shop/entries?limit=1&filter=>&cursor="+next).
		problem(t, 400, "invalid-cursor")
	g.get(t, "/buckets/shop/keys?limit=1&cursor="+next).problem(t, 400, "invalid-cursor")
	// The values have the same forms as in a single entry.
	e := g.entries(t, "/buckets/shop/entries?key=a&values=base64").Entries[0]
	if e["base64"] != "dg==" {
		t.Errorf("%v", e)
	}
	if e := g.entries(t, "/buckets/shop/entries?key=a&values=none").Entries[0]; e["text"] != nil ||
		e["size"] != json.Number("1") {
		t.Errorf("%v", e)
	}
	if e := g.export(t, "/buckets/shop/entries?values=none").entries["a"]; e["text"] != nil ||
		e["size"] != json.Number("1") {
		t.Errorf("%v", e)
	}
}

func TestEntriesOfAnEmptyBucket(t *testing.T) {
	t.Parallel()
	g := start(t)
	kv := g.shop(t)
	g.get(t, "/buckets/shop/entries").is(t, 200).
		hasBody(t, `{"entries":[],"revision":0,"snapshot":true,"hidden":0}`+"\n")
	g.get(t, "/buckets/shop/entries", asLines).is(t, 200).
		hasBody(t, `{"end":true,"revision":0,"count":0,"hidden":0}`+"\n")
	put(t, kv, "a", "v")
	if err := g.stream(t, "shop").Purge(t.Context()); err != nil {
		t.Fatal(err)
	}
	g.get(t, "/buckets/shop/entries?key=a").is(t, 200).
		hasBody(t, `{"entries":[],"revision":1,"snapshot":true,"hidden":0}`+"\n")
}

// Up to 1,024 keys are read at one instant, and more are not.
func TestEntriesOfManyKeysAreNoSnapshot(t *testing.T) {
	t.Parallel()
	g := start(t)
	kv := g.bucket(t, jetstream.KeyValueConfig{Bucket: "b", Storage: jetstream.MemoryStorage})
	g.load(t, "/buckets/b/entries", manyLines(1024)).wantDone(t, 1024, 0)
	if page := g.entries(t, "/buckets/b/entries"); !page.Snapshot || len(page.Entries) != 1024 ||
		page.Next != "" || page.Revision != "1024" {
		t.Errorf("%d entries, snapshot %v at %s, next %q",
			len(page.Entries), page.Snapshot, page.Revision, page.Next)
	}
	put(t, kv, "one.more", "v")
	page := g.entries(t, "/buckets/b/entries")
	if page.Snapshot || len(page.Entries) != 1024 || page.Next == "" || page.Revision != "1025" {
		t.Errorf("%d entries, snapshot %v at %s, next %q",
			len(page.Entries), page.Snapshot, page.Revision, page.Next)
	}
	if page = g.entries(t, "/buckets/b/entries?limit=10000"); page.Snapshot ||
		len(page.Entries) != 1025 || page.Next != "" {
		t.Errorf("%d entries, snapshot %v", len(page.Entries), page.Snapshot)
	}
	if page = g.entries(t, "/buckets/b/entries?filter=k.*"); !page.Snapshot ||
		len(page.Entries) != 1024 {
		t.Errorf("%d entries, snapshot %v", len(page.Entries), page.Snapshot)
	}
	var keys strings.Builder
	for i := range 1024 {
		fmt.Fprintf(&keys, "key=k.%d&", i)
	}
	if page = g.entries(t, "/buckets/b/entries?"+keys.String()+"filter=one.*"); page.Snapshot ||
		len(page.Entries) != 1024 || page.Next == "" {
		t.Errorf("%d entries, snapshot %v", len(page.Entries), page.Snapshot)
	}
}

// Values that exceed one answer of NATS together are still read at one instant. Values that exceed
// what is held in memory come in pages.
func TestEntriesOfLargeValuesComeInPages(t *testing.T) {
	if testing.Short() {
		t.Skip("moves 150 MB, as a page of entries has up to 34 MB")
	}
	t.Parallel()
	g := start(t)
	kv := g.bucket(t, jetstream.KeyValueConfig{Bucket: "b", Storage: jetstream.MemoryStorage})
	large := strings.Repeat("v", 1<<20-100)
	for i := range 30 {
		put(t, kv, fmt.Sprintf("k%02d", i), large)
	}
	page := g.entries(t, "/buckets/b/entries")
	if !page.Snapshot || len(page.Entries) != 30 ||
		len(page.Entries[29]["text"].(string)) != len(large) {
		t.Errorf("%d entries, snapshot %v", len(page.Entries), page.Snapshot)
	}
	for i := range 20 {
		put(t, kv, fmt.Sprintf("l%02d", i), large)
	}
	page = g.entries(t, "/buckets/b/entries")
	if page.Snapshot || len(page.Entries) == 0 || len(page.Entries) > 34 || page.Next == "" {
		t.Errorf("%d entries, snapshot %v, next %q", len(page.Entries), page.Snapshot, page.Next)
	}
	keys := page.keys()
	for page.Next != "" {
		page = g.entries(t, "/buckets/b/entries?cursor="+page.Next)
		keys = append(keys, page.keys()...)
	}
	if len(keys) != 50 || !slices.IsSorted(keys) {
		t.Errorf("%d keys in pages", len(keys))
	}
	if x := g.export(t, "/buckets/b/entries"); len(x.entries) != 50 {
		t.Errorf("%d entries as lines", len(x.entries))
	}
}

// Messages that other tools store outside the grammar of keys are not shown, and do not break the
// reading of other entries.
func TestEntriesSurviveWhatOtherToolsStore(t *testing.T) {
	t.Parallel()
	g := start(t)
	g.shop(t)
	g.publish(t, "shop", "status", "v", nats.Header{"Status": {"404"}})
	g.publish(t, "shop", "end", "", nats.Header{"Status": {"204"}, "Description": {"EOB"}})
	g.publish(t, "shop", "sequence", "v", nats.Header{
		"Nats-Sequence": {"999"}, "Nats-Num-Pending": {"7"},
	})
	g.publish(t, "shop", "é", "hidden", nil)
	want := []string{"end", "sequence", "status"}
	for _, target := range []string{
		"/buckets/shop/entries", "/buckets/shop/entries?key=status&key=end&key=sequence",
		"/buckets/shop/entries?limit=3",
	} {
		page := g.entries(t, target)
		if !slices.Equal(page.keys(), want) || !page.Snapshot ||
			page.Entries[1]["revision"] != json.Number("3") {
			t.Errorf("%s: %v", target, page)
		}
	}
	if page := g.entries(t, "/buckets/shop/entries?key=none"); len(page.Entries) != 0 {
		// Here the last message of the stream is outside the grammar of keys.
		t.Errorf("%v", page)
	}
	if x := g.export(t, "/buckets/shop/entries"); len(x.entries) != 3 {
		t.Errorf("%v", x.entries)
	}
}

// A bucket without direct gets and a mirror can be read, too. The answer names the consistency that
// this has.
func TestEntriesNameTheirConsistency(t *testing.T) {
	t.Parallel()
	g := start(t)
	kv := g.shop(t)
	for i := range 20 {
		put(t, kv, fmt.Sprintf("k%02d", i), "v")
	}
	put(t, kv, "gone", "v")
	deleteKey(t, kv, "gone")
	g.bucket(t, jetstream.KeyValueConfig{
		Bucket: "copy", Mirror: &jetstream.StreamSource{Name: "shop"},
	})
	eventually(t, "the mirror has caught up", func() bool {
		return g.messages(t, "copy")[1] == g.messages(t, "shop")[1]
	})
	page := g.entries(t, "/buckets/copy/entries")
	if len(page.Entries) != 20 || page.Snapshot {
		t.Errorf("of the mirror: %d, snapshot %v", len(page.Entries), page.Snapshot)
	}
	g.get(t, "/buckets/copy/entries?key=k01&key=none").is(t, 200).has(t, "KV-Consistency", "any")
	g.get(t, "/buckets/copy/entries?key=none").is(t, 200).has(t, "KV-Consistency", "any")
	g.get(t, "/buckets/copy/entries", asLines).is(t, 200).has(t, "KV-Consistency", "any")
	// The mirror answers some of the origin's direct gets. Such an answer is not the leader's.
	for i := range 100 {
		key := fmt.Sprintf("new%d", i)
		put(t, kv, key, "v")
		a := g.get(t, "/buckets/shop/entries?key=none&key="+key).is(t, 200).
			has(t, "KV-Consistency", "leader")
		var page entryPage
		if a.decode(t, &page); len(page.Entries) != 1 {
			t.Fatalf("own write %s is not there: %s", key, a.body)
		}
		lax := g.get(t, "/buckets/shop/entries?consistency=any&key=k01")
		snapshot := strings.Contains(string(lax.body), `"snapshot":true`)
		if consistency := lax.header.Get("KV-Consistency"); snapshot != (consistency == "leader") {
			t.Fatalf("%s: %s", consistency, lax.body)
		}
	}
	g.changeStream(t, "shop", func(c *jetstream.StreamConfig) { c.AllowDirect = false })
	eventually(t, "the gateway has noticed", func() bool {
		return !g.entries(t, "/buckets/shop/entries?key=k01&key=none").Snapshot
	})
	page = g.entries(t, "/buckets/shop/entries?key=k01&key=none&key=gone")
	if len(page.Entries) != 1 {
		t.Errorf("%v", page)
	}
	if page := g.entries(t, "/buckets/shop/entries"); len(page.Entries) != 120 || page.Snapshot {
		t.Errorf("without direct gets: %d", len(page.Entries))
	}
}

func TestEntriesReportTheirExpiry(t *testing.T) {
	t.Parallel()
	g := start(t)
	g.bucket(t, jetstream.KeyValueConfig{Bucket: "b", LimitMarkerTTL: time.Second})
	g.load(t, "/buckets/b/entries?ttl=1h", `{"key":"a","text":"v"}`).wantDone(t, 1, 0)
	for _, e := range []map[string]any{
		g.entries(t, "/buckets/b/entries").Entries[0],
		g.export(t, "/buckets/b/entries").entries["a"],
	} {
		expires, err := time.Parse(time.RFC3339Nano, fmt.Sprint(e["expires"]))
		if left := time.Until(expires); err != nil || left > time.Hour || left < 59*time.Minute {
			t.Errorf("expires %v", e["expires"])
		}
	}
}
