package handlers_test

import (
	"testing"

	"kvgateway/internal/kvclient"
	"kvgateway/internal/natstest"
)

// createdAgain is a gateway whose bucket "shop" has just been created again, and has b, and whose feed has yet to learn of it. It looks by
// itself at intervals of up to 1.5 s, and here nothing wakes it before.
func createdAgain(t *testing.T) *gateway {
	t.Helper()
	g := start(t)
	put(t, g.shop(t), "a", "1")
	w := g.watch(t, "/buckets/shop/watch")
	w.until("sync")
	g.client.Observe(func(kvclient.Advisory) {}) // none reaches the feeds
	if err := g.js.DeleteKeyValue(t.Context(), "shop"); err != nil {
		t.Fatal(err)
	}
	w.until("bucket-deleted")
	natstest.Eventually(t, patience, "the feed looks seldom", func() bool { return g.metric(t, "kvgw_feed_restarts_total", nil) > 5 })
	put(t, g.shop(t), "b", "2")
	g.get(t, "/buckets/shop").is(t, 200)
	return g
}

func TestWatchOfABucketJustCreatedAgain(t *testing.T) {
	t.Parallel()
	fresh := createdAgain(t).watch(t, "/buckets/shop/watch")
	if fresh.status != 200 {
		t.Fatalf("status %d", fresh.status)
	}
	fresh.until("put")
	fresh.until("sync")
}

func TestLongPollOfABucketJustCreatedAgain(t *testing.T) {
	t.Parallel()
	g := createdAgain(t)
	etag := g.get(t, "/buckets/shop/keys/b").is(t, 200).header.Get("ETag")
	g.get(t, "/buckets/shop/keys/b", "If-None-Match: "+etag, "Prefer: wait=1").is(t, 304)
}
