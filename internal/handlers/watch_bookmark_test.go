package handlers_test

import (
	"bytes"
	"fmt"
	"testing"
)

// A bookmark says that everything up to its revision was sent. Within a snapshot that is not so: the last id moves, and nothing is said.
func TestNoBookmarkWithinASnapshot(t *testing.T) {
	t.Parallel()
	g := start(t)
	kv := g.shop(t)
	put(t, kv, "a", "1")
	last := put(t, kv, "b", "2")
	g.watch(t, "/buckets/shop/watch").until("sync")
	id := fmt.Sprintf("1.%d-%s", last, g.epochOf(t, "shop"))
	g.wire.onSending(func(data []byte) {
		if bytes.Contains(data, []byte("CONSUMER.CREATE.KV_shop.")) {
			g.wire.hold() // the reading of the snapshot has begun, and nothing comes
		}
	})
	w := g.watch(t, "/buckets/shop/watch?bookmarks=event&heartbeat=1s&filter=b", "Last-Event-ID: "+id)
	w.next() // retry, and the id
	for range 2 {
		if b := w.next(); b.event != "stale" && (b.event != "" || b.id != id) {
			t.Fatalf("within the snapshot came %+v, want only the id %s", b, id)
		}
	}
	g.wire.onSending(nil)
	g.wire.release()
	w.until("put")
	w.until("sync")
	w.until("bookmark")
}
