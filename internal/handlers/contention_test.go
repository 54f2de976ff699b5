package handlers_test

import (
	"fmt"
	"sync"
	"testing"
)

// All of many clients that change one key at once are served. A client that has lost a race does
// not lose eight in a row to the others that retry.
func TestManyWritersOfOneKey(t *testing.T) {
	t.Parallel()
	const writers, each = 32, 10
	g, kv := warm(t)
	put(t, kv, "patched", `{}`)
	put(t, kv, "put", "v")
	for name, write := range map[string]func(i, j int) *answer{
		"patch": func(i, j int) *answer {
			return g.do(t, "PATCH", "/buckets/shop/keys/patched", fmt.Sprintf(`{"m%d":%d}`, i, j),
				mergeType)
		},
		"put": func(i, j int) *answer {
			return g.do(t, "PUT", "/buckets/shop/keys/put", fmt.Sprint(i, " ", j), "If-Match: *")
		},
	} {
		var wait sync.WaitGroup
		for i := range writers {
			wait.Go(func() {
				for j := range each {
					if a := write(i, j); a.status != 200 {
						t.Errorf("%s: %d %s", name, a.status, a.body)
					}
				}
			})
		}
		wait.Wait()
	}
	if got := g.get(t, "/buckets/shop/keys/patched").object(t); len(got) != writers {
		t.Errorf("%d members, want %d", len(got), writers)
	}
}
