package handlers_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

func TestHistoryEqualsTheNativeOne(t *testing.T) {
	t.Parallel()
	g := start(t)
	kv := g.shop(t)
	put(t, kv, "a.b", "of another key")
	put(t, kv, "a", "1")
	put(t, kv, "other", "x")
	g.do(t, "PUT", "/buckets/shop/keys/a", `{"n":2}`, jsonType).is(t, 200)
	deleteKey(t, kv, "a")
	put(t, kv, "a", "4")
	entries := func(target string) []map[string]any {
		t.Helper()
		var history struct{ Entries []map[string]any }
		g.get(t, target).is(t, 200).has(t, "Content-Type", "application/json").decode(t, &history)
		return history.Entries
	}
	natively, err := kv.History(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	for _, query := range []string{"", "?values=none", "?values=base64", "?values=json"} {
		found := entries("/buckets/shop/history/a" + query)
		if len(found) != len(natively) || len(found) != 4 {
			t.Fatalf("history%s: %d entries, natively %d", query, len(found), len(natively))
		}
		for i, entry := range found {
			native := natively[i]
			operation := map[jetstream.KeyValueOp]string{
				jetstream.KeyValuePut: "put", jetstream.KeyValueDelete: "delete",
				jetstream.KeyValuePurge: "purge",
			}[native.Operation()]
			if entry["key"] != "a" || entry["revision"] != number(native.Revision()) ||
				entry["operation"] != operation ||
				entry["size"] != json.Number(fmt.Sprint(len(native.Value()))) ||
				entry["created"] != native.Created().UTC().Format(time.RFC3339Nano) {
				t.Errorf("history%s: %v, natively %v", query, entry, native)
			}
			g.wantOneForm(t, &answer{request: query}, entry, operation == "put" &&
				query != "?values=none")
		}
	}
	if found := entries("/buckets/shop/history/a"); found[0]["text"] != "1" ||
		found[1]["value"] == nil || found[3]["text"] != "4" {
		t.Errorf("history %v", found)
	}

	purgeKey(t, kv, "a")
	if found := entries("/buckets/shop/history/a"); len(found) != 1 ||
		found[0]["operation"] != "purge" {
		t.Errorf("after a purge: %v", found)
	}
	for i := range 12 {
		put(t, kv, "many", fmt.Sprint(i))
	}
	if found := entries("/buckets/shop/history/many"); len(found) != 10 ||
		found[0]["text"] != "2" || found[9]["text"] != "11" {
		t.Errorf("of 12 in a bucket that keeps 10: %v", found)
	}
	g.get(t, "/buckets/shop/history/a?revision=1").problem(t, 400, "unknown-parameter")
}
