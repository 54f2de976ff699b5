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

// Several clients create the same key at once, over HTTP and natively. Exactly one of them
// succeeds.
func TestOneCreatorWins(t *testing.T) {
	t.Parallel()
	g := start(t)
	kv := g.shop(t)
	for round := range 10 {
		key := fmt.Sprintf("k%d", round)
		// In every other round the key has a marker.
		if round%2 == 1 {
			put(t, kv, key, "v")
			deleteKey(t, kv, key)
		}
		won := make(chan string, 16)
		var creators sync.WaitGroup
		for c := range 4 {
			creators.Go(func() {
				if a := g.do(t, "PUT", "/buckets/shop/keys/"+key, fmt.Sprint("http", c),
					"If-None-Match: *"); a.status == 201 {
					won <- fmt.Sprint("http", c)
				} else {
					a.problem(t, 412, "key-exists")
				}
			})
			creators.Go(func() {
				if _, err := kv.Create(t.Context(), key, fmt.Append(nil, "native", c)); err == nil {
					won <- fmt.Sprint("native", c)
				}
			})
		}
		creators.Wait()
		close(won)
		var winners []string
		for winner := range won {
			winners = append(winners, winner)
		}
		if len(winners) != 1 {
			t.Fatalf("%s: %q succeeded", key, winners)
		}
		wantNative(t, kv, key, winners[0])
	}
}

func TestContentionEndsAfterEightTries(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ method, query, header string }{
		{"PUT", "", "If-Match: *"}, {"PUT", "", `If-None-Match: "999"`}, {"DELETE", "", "X: y"},
		{"DELETE", "?purge=true", "If-Match: *"},
	} {
		for _, times := range []int{1, 7, 1000} {
			t.Run(fmt.Sprintf("%s %s/%d", tc.method, tc.header, times), func(t *testing.T) {
				t.Parallel()
				g, kv := warm(t)
				tries := g.outrun(t, "a", times, func() { put(t, kv, "a", "faster") })
				a := g.do(t, tc.method, "/buckets/shop/keys/a"+tc.query, bodyFor(tc.method),
					tc.header)
				if times < 8 {
					a.is(t, 200)
					return
				}
				a.problem(t, 503, "write-contention")
				if got := tries.Load(); got != 8 {
					t.Errorf("%d tries, want 8", got)
				}
				wantNative(t, kv, "a", "faster")
			})
		}
	}
}

// Another writer stores and deletes values between the steps of a creation.
func TestCreationSurvivesMarkersThatComeAndGo(t *testing.T) {
	t.Parallel()
	g, kv := warm(t)
	deleteKey(t, kv, "a")
	anew := func() {
		put(t, kv, "a", "brief")
		if err := kv.Delete(t.Context(), "a"); err != nil {
			t.Error(err)
		}
	}
	g.outrun(t, "a", 3, anew)
	g.do(t, "PUT", "/buckets/shop/keys/a", "mine", "If-None-Match: *").is(t, 201)
	wantNative(t, kv, "a", "mine")

	g.outrun(t, "b", 1, func() { put(t, kv, "b", "faster") })
	g.do(t, "PUT", "/buckets/shop/keys/b", "mine", "If-None-Match: *").problem(t, 412, "key-exists")
	wantNative(t, kv, "b", "faster")
}

// HTTP clients and native ones increment one counter with compare-and-set, and no increment is
// lost.
func TestCompareAndSetLosesNoIncrement(t *testing.T) {
	t.Parallel()
	g := start(t)
	kv := g.shop(t)
	put(t, kv, "n", "0")
	const each = 15
	var workers sync.WaitGroup
	for range 3 {
		workers.Go(func() {
			for done := 0; done < each; {
				a := g.get(t, "/buckets/shop/keys/n").is(t, 200)
				if b := g.do(t, "PUT", "/buckets/shop/keys/n", increment(string(a.body)),
					"If-Match: "+a.tag()); b.status == 200 {
					done++
				} else {
					b.problem(t, 412, "revision-mismatch")
				}
			}
		})
		workers.Go(func() {
			for done := 0; done < each; {
				entry, err := kv.Get(t.Context(), "n")
				if err != nil {
					t.Error(err)
					return
				}
				if _, err := kv.Update(t.Context(), "n", []byte(increment(string(entry.Value()))),
					entry.Revision()); err == nil {
					done++
				}
			}
		})
	}
	workers.Wait()
	wantNative(t, kv, "n", fmt.Sprint(6*each))
}

// increment returns the number that follows the one in the text.
func increment(s string) string {
	var n int
	fmt.Sscan(s, &n)
	return fmt.Sprint(n + 1)
}
