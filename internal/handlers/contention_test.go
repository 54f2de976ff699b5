package handlers_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
)

// Many clients that change one key at once are served. A client that has lost a race does not lose
// eight in a row to the others that retry. It can still lose them to clients that begin, which is
// rare: one in a hundred may be refused, where a half was before the retries took turns.
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
		var refused atomic.Int64
		for i := range writers {
			wait.Go(func() {
				for j := range each {
					switch a := write(i, j); a.status {
					case 200:
					case 503: // It was defeated at all of its attempts.
						refused.Add(1)
					default:
						t.Errorf("%s: %d %s", name, a.status, a.body)
					}
				}
			})
		}
		wait.Wait()
		if n := refused.Load(); n > writers*each/100 {
			t.Errorf("%s: %d of %d were refused", name, n, writers*each)
		}
	}
	if got := g.get(t, "/buckets/shop/keys/patched").object(t); len(got) != writers {
		t.Errorf("%d members, want %d", len(got), writers)
	}
}
