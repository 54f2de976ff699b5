package handlers_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// HTTP clients patch a list, sending each patch twice, while a native client updates it. In the end
// the list has each item once.
func TestRetriesBesideNativeWritersStoreOnce(t *testing.T) {
	t.Parallel()
	for _, history := range []uint8{1, 5} {
		g := start(t)
		kv := g.expiring(t, history, time.Second)
		put(t, kv, "list", `[]`)
		const each = 12
		var writers sync.WaitGroup
		for w := range 3 {
			writers.Go(func() {
				for i := range each {
					g.appendTwice(t, fmt.Sprintf("http.%d.%d", w, i), []string{"", "?ttl=1h"}[i%2])
				}
			})
		}
		writers.Go(func() {
			for i := range each {
				appendNatively(t, kv, fmt.Sprint("native.", i))
			}
		})
		writers.Wait()
		var list []string
		g.get(t, "/buckets/shop/keys/list").is(t, 200).decode(t, &list)
		seen := make(map[string]bool)
		for _, id := range list {
			if seen[id] {
				t.Errorf("history %d: %s is there twice", history, id)
			}
			seen[id] = true
		}
		if len(seen) != 4*each {
			t.Errorf("history %d: %d of %d are there: %v", history, len(seen), 4*each, list)
		}
	}
}

// appendTwice sends the same patch, which appends an id to the list, twice. Each is repeated as
// long as other writers are faster.
func (g *gateway) appendTwice(t *testing.T, id, query string) {
	revisions := make(map[string]bool)
	for range 2 {
		a := &answer{status: http.StatusServiceUnavailable}
		for try := 0; a.status == http.StatusServiceUnavailable && try < 50; try++ {
			a = g.do(t, "PATCH", "/buckets/shop/keys/list"+query,
				`[{"op":"add","path":"/-","value":"`+id+`"}]`, jsonPatchType,
				"Idempotency-Key: "+id)
		}
		if a.status != http.StatusOK {
			t.Errorf("%s: %d %s", id, a.status, a.body)
			return
		}
		revisions[a.header.Get("KV-Revision")] = true
	}
	if len(revisions) != 1 {
		t.Errorf("%s made the revisions %v", id, revisions)
	}
}

// appendNatively appends an id to the list with a native compare-and-set, which it repeats until it
// succeeds.
func appendNatively(t *testing.T, kv jetstream.KeyValue, id string) {
	for {
		e, err := kv.Get(t.Context(), "list")
		if err != nil {
			t.Error(err)
			return
		}
		var list []string
		if err := json.Unmarshal(e.Value(), &list); err != nil {
			t.Error(err)
			return
		}
		value, err := json.Marshal(append(list, id))
		if err != nil {
			t.Error(err)
			return
		}
		if _, err := kv.Update(t.Context(), "list", value, e.Revision()); err == nil {
			return
		}
	}
}
