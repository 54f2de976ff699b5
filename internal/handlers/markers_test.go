package handlers_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
)

// markerKeys returns the keys on a page of markers.
func markerKeys(page map[string]any) (keys []string) {
	list, _ := page["markers"].([]any)
	for _, marker := range list {
		keys = append(keys, marker.(map[string]any)["key"].(string))
	}
	return keys
}

func TestMarkerListIsComplete(t *testing.T) {
	t.Parallel()
	g := start(t)
	kv := g.shop(t)
	var want []string
	for i := range 30 {
		key := fmt.Sprintf("%c.%d", 'a'+i%3, i)
		put(t, kv, key, "v")
		switch i % 3 {
		case 0:
			continue
		case 1:
			deleteKey(t, kv, key)
		case 2:
			purgeKey(t, kv, key)
		}
		want = append(want, key)
	}
	slices.Sort(want)
	list := g.get(t, "/buckets/shop/markers").is(t, 200).object(t)
	if got := markerKeys(list); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	for _, item := range list["markers"].([]any) {
		marker := item.(map[string]any)
		key := marker["key"].(string)
		entry := g.stored(t, "shop", g.lastRevision(t, "shop", key))
		operation := map[string]string{
			"DEL": "delete", "PURGE": "purge",
		}[entry.Header.Get("KV-Operation")]
		if marker["bucket"] != "shop" || marker["operation"] != operation ||
			marker["size"] != json.Number("0") || marker["epoch"] != g.epochOf(t, "shop") ||
			marker["revision"] != number(g.lastRevision(t, "shop", key)) ||
			marker["value"] != nil || marker["text"] != nil || marker["base64"] != nil {
			t.Errorf("marker %v", marker)
		}
	}
	for _, limit := range []int{1, 7, 19, 20, 21} {
		target := fmt.Sprintf("/buckets/shop/markers?limit=%d", limit)
		if got := g.allPages(t, target, limit, markerKeys); !slices.Equal(got, want) {
			t.Errorf("limit=%d: %q", limit, got)
		}
	}
	b := slices.DeleteFunc(slices.Clone(want), func(key string) bool { return key[0] != 'b' })
	got := g.allPages(t, "/buckets/shop/markers?limit=3&filter=b.*&filter=b.>", 3, markerKeys)
	if !slices.Equal(got, b) {
		t.Errorf("filtered: %q, want %q", got, b)
	}
	for query, code := range map[string]string{
		"filter=b*": "invalid-filter",
		"limit=0":   "invalid-parameter",
		"cursor=x":  "invalid-cursor",
		"prefix=b":  "unknown-parameter",
	} {
		g.get(t, "/buckets/shop/markers?"+query).problem(t, 400, code)
	}
	g.get(t, "/buckets/nowhere/markers").problem(t, 404, "bucket-not-found")
}

// shopWithDeleted creates the bucket "shop" with the value "stays" and with these keys, which have
// a history and are deleted.
func (g *gateway) shopWithDeleted(t *testing.T, keys ...string) jetstream.KeyValue {
	t.Helper()
	kv := g.shop(t)
	put(t, kv, "stays", "v")
	for _, key := range keys {
		put(t, kv, key, "1")
		put(t, kv, key, "2")
		deleteKey(t, kv, key)
	}
	return kv
}

func TestMarkerRemovalHonoursAgeAndFilter(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		query         string
		removed, kept int
		left          map[string]uint64 // the number of messages that are left of each key
	}{
		{"older_than=0s", 3, 0, map[string]uint64{"a.1": 0, "a.2": 0, "b": 0}},
		{"older_than=0", 3, 0, map[string]uint64{"a.1": 0, "a.2": 0, "b": 0}},
		// Young markers stay, but the revisions before them are removed.
		{"", 0, 3, map[string]uint64{"a.1": 1, "a.2": 1, "b": 1}},
		{"older_than=30m", 0, 3, map[string]uint64{"a.1": 1, "a.2": 1, "b": 1}},
		{"older_than=1ns", 3, 0, map[string]uint64{"a.1": 0, "a.2": 0, "b": 0}},
		{"older_than=0s&filter=a.*", 2, 0, map[string]uint64{"a.1": 0, "a.2": 0, "b": 3}},
		{"older_than=0s&filter=a.*&filter=a.1&filter=none", 2, 0,
			map[string]uint64{"a.1": 0, "a.2": 0, "b": 3}},
		{"filter=b", 0, 1, map[string]uint64{"a.1": 3, "a.2": 3, "b": 1}},
		{"filter=none", 0, 0, map[string]uint64{"a.1": 3, "a.2": 3, "b": 3}},
	} {
		t.Run(tc.query, func(t *testing.T) {
			t.Parallel()
			g := start(t)
			kv := g.shopWithDeleted(t, "a.1", "a.2", "b")
			done := g.do(t, "DELETE", "/buckets/shop/markers?"+tc.query, nil).is(t, 200).object(t)
			if done["removed"] != json.Number(fmt.Sprint(tc.removed)) ||
				done["kept"] != json.Number(fmt.Sprint(tc.kept)) {
				t.Errorf("%v, want %d removed and %d kept", done, tc.removed, tc.kept)
			}
			for key, want := range tc.left {
				if got := g.retained(t, "shop", key); got != want {
					t.Errorf("%s: %d messages are left, want %d", key, got, want)
				}
				if want == 0 {
					g.get(t, "/buckets/shop/keys/"+key).problem(t, 404, "key-not-found")
				} else {
					g.get(t, "/buckets/shop/keys/"+key).problem(t, 404, "key-deleted")
				}
			}
			wantNative(t, kv, "stays", "v")
		})
	}
}

func TestMarkerRemovalParametersAreChecked(t *testing.T) {
	t.Parallel()
	g := start(t)
	g.shopWithDeleted(t, "a")
	before := g.messages(t, "shop")
	for query, code := range map[string]string{
		"older_than=x":                "invalid-parameter",
		"older_than=-1s":              "invalid-parameter",
		"older_than=30":               "invalid-parameter",
		"older_than=1d":               "invalid-parameter",
		"older_than=":                 "invalid-parameter",
		"older_than=99999999999h":     "invalid-parameter",
		"older_than=0s&older_than=1s": "invalid-parameter",
		"filter=a*":                   "invalid-filter",
		"filter=":                     "invalid-parameter",
		"limit=1":                     "unknown-parameter",
		"cursor=x":                    "unknown-parameter",
	} {
		g.do(t, "DELETE", "/buckets/shop/markers?"+query, nil).problem(t, 400, code)
	}
	g.wantUnchanged(t, "shop", before)
	g.do(t, "DELETE", "/buckets/nowhere/markers", nil).problem(t, 404, "bucket-not-found")
}

// A value that is stored over a marker while markers are removed is not lost. The native
// PurgeDeletes can lose it.
func TestValueStoredOverAMarkerIsNotLost(t *testing.T) {
	t.Parallel()
	g := start(t)
	kv := g.shopWithDeleted(t, "a", "b")
	g.wire.onSending(func(data []byte) {
		if bytes.Contains(data, []byte("STREAM.PURGE.KV_shop")) {
			g.wire.onSending(nil)
			put(t, kv, "a", "new")
			put(t, kv, "b", "new")
		}
	})
	g.do(t, "DELETE", "/buckets/shop/markers?older_than=0s", nil).is(t, 200)
	wantNative(t, kv, "a", "new")
	wantNative(t, kv, "b", "new")
	g.get(t, "/buckets/shop/keys/a").is(t, 200).hasBody(t, "new")
}

// A purge of markers that is refused on the way says so, and how far it came.
func TestPurgeOfMarkersRefusedHalfWayReportsProgress(t *testing.T) {
	t.Parallel()
	g := start(t)
	kv := g.shop(t)
	for _, key := range []string{"a", "b", "c", "d"} {
		put(t, kv, key, "v")
		deleteKey(t, kv, key)
	}
	var purges atomic.Int64
	g.wire.onSending(func(data []byte) {
		if bytes.Contains(data, []byte("STREAM.PURGE")) && purges.Add(1) == 3 {
			g.deleteBucket(t, "shop")
		}
	})
	document := g.do(t, "DELETE", "/buckets/shop/markers?older_than=0s", nil).
		problem(t, 404, "bucket-not-found")
	if fmt.Sprint(document["removed"]) != "2" || fmt.Sprint(document["kept"]) != "0" {
		t.Errorf("%v", document)
	}
}
