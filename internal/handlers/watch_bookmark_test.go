package handlers_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

// A bookmark says that everything up to its revision was sent. Within a snapshot that is true only
// of what was sent of the snapshot, and the state is not exact.
func TestBookmarkWithinSnapshotIsThatOfWhatWasSent(t *testing.T) {
	t.Parallel()
	g := start(t)
	kv := g.shop(t)
	put(t, kv, "a", "1")
	last := put(t, kv, "b", "2")
	g.watch(t, "/buckets/shop/watch").until("sync")
	id := fmt.Sprintf("1.%d-%s", last, g.epochOf(t, "shop"))
	g.wire.onSending(func(data []byte) {
		if bytes.Contains(data, []byte("CONSUMER.CREATE.KV_shop.")) {
			// The reading of the snapshot has begun, and nothing comes.
			g.wire.hold()
		}
	})
	w := g.watch(t, "/buckets/shop/watch?bookmarks=event&heartbeat=1s&filter=b",
		"Last-Event-ID: "+id)
	for bookmarks := 0; bookmarks < 2; {
		b := w.next()
		if b.event == "stale" {
			continue
		}
		reported := b.object(t)
		if b.event != "bookmark" || !strings.HasPrefix(b.id, id) || reported["revision"] != 1.0 ||
			reported["exact"] != false {
			t.Fatalf("within the snapshot came %+v, want a bookmark with the id %s", b, id)
		}
		bookmarks++
	}
	g.wire.onSending(nil)
	g.wire.release()
	w.until("put")
	w.until("sync")
	w.until("bookmark")
}

// While a bucket is missing there is a bookmark with each heartbeat, too. The EventSource of a
// browser shows nothing else to its page, which would take the connection for broken.
func TestMissingBucketHasBookmarks(t *testing.T) {
	t.Parallel()
	g := start(t)
	put(t, g.shop(t), "a", "1")
	w := g.watch(t, "/buckets/shop/watch?bookmarks=event&heartbeat=1s")
	w.until("sync")
	g.deleteBucket(t, "shop")
	w.until("bucket-deleted")
	b := w.until("bookmark")
	reported := b.object(t)
	if !strings.HasPrefix(b.id, "0-0~") || reported["revision"] != 0.0 ||
		reported["exact"] != false {
		t.Errorf("id %s, data %v", b.id, reported)
	}
	// Bookmarks come even while NATS is away.
	g.wire.stop()
	for range 3 {
		w.until("bookmark")
	}
	g.wire.restart(t)
	eventually(t, "the bucket is there again", func() bool {
		return g.do(t, "PUT", "/buckets/shop", nil).status == 201
	})
	w.until("reset")
	// The bucket is empty now. A put before this could be in the snapshot or behind it.
	w.until("sync")
	g.do(t, "PUT", "/buckets/shop/keys/b", "2")
	w.until("put")
}
