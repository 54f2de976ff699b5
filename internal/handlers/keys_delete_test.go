package handlers_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
)

func TestDeletionByFilterRemovesMatchingKeys(t *testing.T) {
	t.Parallel()
	g := start(t)
	kv := g.bucketOf(t, "shop", someKeys...)
	before := g.messages(t, "shop")
	g.do(t, "DELETE", "/buckets/shop/keys?filter=orders.>&dry_run=true", nil).is(t, 200).
		hasBody(t, `{"deleted":3,"skipped":[],"hidden":0,"dry_run":true}`+"\n")
	if g.messages(t, "shop") != before {
		t.Error("a dry run stored something")
	}
	g.do(t, "DELETE", "/buckets/shop/keys?filter=orders.>&limit=1", nil).is(t, 200).
		hasBody(t, `{"deleted":1,"skipped":[],"hidden":0}`+"\n")
	g.get(t, "/buckets/shop/keys/orders.10").problem(t, 404, "key-deleted")
	g.do(t, "DELETE", "/buckets/shop/keys?filter=orders.>&filter=orders.*", nil).is(t, 200).
		hasBody(t, `{"deleted":2,"skipped":[],"hidden":0}`+"\n")
	g.do(t, "DELETE", "/buckets/shop/keys?filter=orders.>", nil).is(t, 200).
		hasBody(t, `{"deleted":0,"skipped":[],"hidden":0}`+"\n")
	history, err := kv.History(t.Context(), "orders.2")
	if err != nil || len(history) != 2 || history[1].Operation() != jetstream.KeyValueDelete {
		t.Errorf("history %v, %v", history, err)
	}
	g.do(t, "DELETE", "/buckets/shop/keys?filter=a.b&purge=true", nil).is(t, 200).
		hasBody(t, `{"deleted":1,"skipped":[],"hidden":0}`+"\n")
	if history, err := kv.History(t.Context(), "a.b"); err != nil || len(history) != 1 ||
		history[0].Operation() != jetstream.KeyValuePurge {
		t.Errorf("history %v, %v", history, err)
	}
	g.do(t, "DELETE", "/buckets/shop/keys?filter=%3E", nil).is(t, 200).
		hasBody(t, fmt.Sprintf(`{"deleted":%d,"skipped":[],"hidden":0}`+"\n", len(someKeys)-4))
	if left := g.get(t, "/buckets/shop/keys").object(t); len(stringsOf(left["keys"])) != 0 {
		t.Errorf("left %v", left)
	}
}

func TestDeletionByFilterRequestsAreChecked(t *testing.T) {
	t.Parallel()
	g := start(t)
	put(t, g.shop(t), "a", "v")
	for query, code := range map[string]string{
		"":                   "invalid-parameter",
		"purge=true":         "invalid-parameter",
		"filter=":            "invalid-parameter",
		"filter=a*":          "invalid-filter",
		"filter=a&limit=0":   "invalid-parameter",
		"filter=a&dry_run=1": "invalid-parameter",
		"filter=a&prefix=a":  "unknown-parameter",
		"key=a":              "unknown-parameter",
	} {
		g.do(t, "DELETE", "/buckets/shop/keys?"+query, nil).problem(t, 400, code)
	}
	g.do(t, "DELETE", "/buckets/shop/keys?filter=>", nil, "Sec-Fetch-Site: cross-site").
		problem(t, 403, "cross-site")
	g.do(t, "DELETE", "/buckets/shop/keys?filter=>", nil, "If-Match: *").
		problem(t, 400, "invalid-header")
	g.do(t, "DELETE", "/buckets/nowhere/keys?filter=>", nil).problem(t, 404, "bucket-not-found")
	g.get(t, "/buckets/shop/keys/a").is(t, 200)
}

// A key that changes after it was listed is not deleted.
func TestDeletionByFilterSkipsChangedKeys(t *testing.T) {
	t.Parallel()
	g := start(t)
	kv := g.bucket(t, jetstream.KeyValueConfig{Bucket: "shop", Storage: jetstream.MemoryStorage})
	var keys []string
	for i := range 50 {
		keys = append(keys, fmt.Sprintf("k%02d", i))
		put(t, kv, keys[i], "old")
	}
	var once atomic.Bool
	g.wire.onSending(func(data []byte) {
		if bytes.Contains(data, []byte("HPUB $KV.shop.k00 ")) && once.CompareAndSwap(false, true) {
			put(t, kv, "k00", "new")
			put(t, kv, "k01", "new")
			if err := kv.Delete(t.Context(), "k49"); err != nil {
				t.Error(err)
			}
		}
	})
	a := g.do(t, "DELETE", "/buckets/shop/keys?filter=>", nil).is(t, 200)
	g.wire.onSending(nil)
	got := a.object(t)
	if skipped := stringsOf(got["skipped"]); !slices.Equal(skipped, []string{
		"k00", "k01", "k49",
	}) ||
		got["deleted"] != json.Number("47") {
		t.Errorf("%s", a.body)
	}
	wantNative(t, kv, "k00", "new")
	wantNative(t, kv, "k01", "new")
	g.get(t, "/buckets/shop/keys/k02").problem(t, 404, "key-deleted")
}

// A deletion that breaks off reports how far it came. Sent again, it continues.
func TestDeletionByFilterCutShortReportsProgress(t *testing.T) {
	t.Parallel()
	g := start(t)
	g.bucket(t, jetstream.KeyValueConfig{Bucket: "b"})
	n := many() / 2
	g.load(t, "/buckets/b/entries", manyLines(n)).wantDone(t, n, 0)
	answers := make(chan *answer)
	go func() { answers <- g.do(t, "DELETE", "/buckets/b/keys?filter=>", nil) }()
	eventually(t, "something is deleted", func() bool {
		return g.messages(t, "b")[1] > uint64(n+1000)
	})
	g.wire.stop()
	cut := <-answers
	document := cut.object(t)
	deleted, unknown := int(asUint(t, document["deleted"])), int(asUint(t, document["unknown"]))
	if unknown > 0 {
		cut.problem(t, 504, "outcome-unknown")
	} else { // The server had acknowledged everything that was sent.
		cut.problem(t, 503, "nats-unavailable")
	}
	g.restartNATS(t)
	eventually(t, "the bucket is back", func() bool { return g.get(t, "/buckets/b").status == 200 })
	a := g.do(t, "DELETE", "/buckets/b/keys?filter=>", nil).is(t, 200)
	rest := int(asUint(t, a.object(t)["deleted"]))
	if gone := n - rest; gone < deleted || gone > deleted+unknown {
		t.Errorf("%d were gone; reported were %d, and %d as unknown",
			gone, deleted, unknown)
	}
	g.get(t, "/buckets/b/entries").is(t, 200)
}

// A deletion that is refused on the way says so, and how far it came: here the bucket is full, and
// markers fit only in the place of revisions that they push out.
func TestDeletionByFilterRefusedHalfWayReportsProgress(t *testing.T) {
	t.Parallel()
	g := start(t)
	kv := g.bucket(t, jetstream.KeyValueConfig{Bucket: "b", History: 2, MaxBytes: 300_000})
	value := strings.Repeat("v", 1000)
	for i := range 10 {
		put(t, kv, fmt.Sprintf("a%d", i/2), value)
	}
	n := 5
	for size := 1000; size > 0; size /= 4 {
		for ; g.do(t, "PUT", fmt.Sprintf("/buckets/b/keys/z%04d", n), value[:size]).
			status == 200; n++ {
		}
	}
	for query, want := range map[string]string{"": "DELETE the bucket's", "?purge=true": "marker"} {
		document := g.do(t, "DELETE", "/buckets/b/keys/z0005"+query, nil).
			problem(t, 507, "bucket-full")
		if !strings.Contains(fmt.Sprint(document["detail"]), want) || document["deleted"] != nil {
			t.Errorf("%v", document)
		}
	}
	document := g.do(t, "DELETE", "/buckets/b/keys?filter=>", nil).problem(t, 507, "bucket-full")
	deleted := int(asUint(t, document["deleted"]))
	rest := stringsOf(g.get(t, "/buckets/b/keys").is(t, 200).object(t)["keys"])
	if deleted < 5 || deleted+len(rest) != n || fmt.Sprint(document["unknown"]) != "0" ||
		!strings.Contains(fmt.Sprint(document["detail"]), "marker") {
		t.Errorf("%d of %d are left: %v", len(rest), n, document)
	}
	says(t, document, "Not all keys were deleted.", "The rest was not done: The bucket has reached")
	// What the problem advises makes room.
	g.do(t, "DELETE", "/buckets/b/markers?older_than=0s", nil).is(t, 200)
	g.do(t, "DELETE", "/buckets/b/keys/"+rest[0], nil).is(t, 200)
}
