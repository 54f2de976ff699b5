package kvclient_test

import (
	"strings"
	"testing"

	"kvgateway/internal/bound"
	"kvgateway/internal/kv"
	"kvgateway/internal/kvclient"
	"kvgateway/internal/natstest"
)

// A tail delivers entries in order, even those that are larger than what it usually asks for. Many
// tails together ask for no more than the connection may have under way.
func TestTailsShareTheirConnection(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t, natstest.Options{})
	bounds := bound.NewSet()
	c := connect(t, kvclient.Options{URL: s.URL(), Bounds: bounds})
	b := shop(t, c, history(64))
	var tails []*kvclient.Tail
	for range 30 {
		tail, err := b.Tail(t.Context(), 0)
		if err != nil {
			t.Fatal(err)
		}
		tails = append(tails, tail)
	}
	ahead := bounds.Find("nats-feeds")
	sizes := []int{10, 16 << 10, 15 << 10, 1_000_000, 1, 500_000, 900_000, 20_000, 1_000_000, 3}
	for _, size := range sizes {
		put(t, b, "k", strings.Repeat("x", size))
	}
	for i, tail := range tails {
		var got []int
		for len(got) < len(sizes) {
			arrival, ok := <-tail.C
			if !ok {
				t.Fatalf("tail %d ended after %d: %v", i, len(got), tail.Err())
			}
			for _, e := range arrival.Entries {
				want, rev := sizes[len(got)], kv.Revision(len(got)+1)
				if e.Size != want || e.Revision != rev {
					t.Fatalf("tail %d: %d bytes at %d, want %d", i, e.Size, e.Revision, want)
				}
				got = append(got, e.Size)
			}
		}
		if used := ahead.Used(); used > ahead.Limit() {
			t.Errorf("%d bytes may come, of %d", used, ahead.Limit())
		}
	}
	for _, tail := range tails {
		tail.Close()
	}
	natstest.Eventually(t, soon, "closed tails hold nothing", func() bool {
		return ahead.Used() == 0
	})
}
