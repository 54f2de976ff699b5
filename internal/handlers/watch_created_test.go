package handlers_test

import (
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"kvgateway/internal/kvclient"
)

// A loss is a way in which a bucket goes and comes back.
type loss struct {
	// lose lets the bucket go, and restore brings it back, both natively.
	lose, restore func(t *testing.T, g *gateway)
}

// losses delete and create the bucket "shop" again, or let its stream be no bucket for a while.
var losses = map[string]loss{
	"created again": {
		lose: func(t *testing.T, g *gateway) {
			g.deleteBucket(t, "shop")
		},
		restore: func(t *testing.T, g *gateway) { g.shop(t) },
	},
	"a bucket again": {
		lose: func(t *testing.T, g *gateway) {
			g.changeStream(t, "shop", func(c *jetstream.StreamConfig) {
				c.Subjects = append(c.Subjects, "other.>")
			})
		},
		restore: func(t *testing.T, g *gateway) {
			g.changeStream(t, "shop", func(c *jetstream.StreamConfig) {
				c.Subjects = c.Subjects[:1]
			})
		},
	},
}

// backAgain returns a gateway whose bucket "shop" has just come back with the key b, while its feed
// does not know of that yet. Such a feed rests. It wakes when it looks for its bucket, every 1.5 s,
// or when somebody subscribes. Nothing else wakes it here.
func backAgain(t *testing.T, l loss) *gateway {
	t.Helper()
	g := start(t)
	put(t, g.shop(t), "a", "1")
	w := g.watch(t, "/buckets/shop/watch")
	w.until("sync")
	// No advisory reaches the feeds.
	g.client.Observe(func(kvclient.Advisory) {})
	l.lose(t, g)
	w.until("bucket-deleted")
	eventually(t, "the feed rests", func() bool { return g.metric(t, "kvgw_feeds", nil) == 0 })
	l.restore(t, g)
	kv, err := g.js.KeyValue(t.Context(), "shop")
	if err != nil {
		t.Fatal(err)
	}
	put(t, kv, "b", "2")
	g.get(t, "/buckets/shop").is(t, 200)
	return g
}

func TestWatchOfABucketJustBackAgainBegins(t *testing.T) {
	for name, l := range losses {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fresh := backAgain(t, l).watch(t, "/buckets/shop/watch")
			if fresh.status != 200 {
				t.Fatalf("status %d", fresh.status)
			}
			fresh.until("put")
			fresh.until("sync")
		})
	}
}

func TestLongPollOfABucketJustBackAgainIsHeld(t *testing.T) {
	for name, l := range losses {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := backAgain(t, l)
			etag := g.get(t, "/buckets/shop/keys/b").is(t, 200).header.Get("ETag")
			g.get(t, "/buckets/shop/keys/b", "If-None-Match: "+etag, "Prefer: wait=1").is(t, 304)
		})
	}
}
