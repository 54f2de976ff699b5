package handlers_test

import (
	"bytes"
	"fmt"
	"net/url"
	"strings"
	"testing"
)

// A client that calls back for every block gets an event with data each time: neither the retry of
// the first block nor the comment of a heartbeat has an empty line of its own. The harness checks
// the events of all blocks against the contract.
func TestEveryBlockIsAnEvent(t *testing.T) {
	inBothForms(t, func(t *testing.T, form func(*setup)) {
		g := start(t, form)
		kv := g.shop(t)
		put(t, kv, "a", "1")
		config := g.shopNamed(t, "config")
		put(t, config, "x", "1")
		atSync := g.idAtSync(t, "/buckets/shop/watch")
		resumed := "&after=" + url.QueryEscape(atSync)
		wanted := map[string]string{
			"/buckets/shop/watch?heartbeat=1s":                                "put",
			"/buckets/shop/watch?heartbeat=1s" + resumed:                      "bookmark",
			"/buckets/shop/watch?heartbeat=1s&updates_only=true":              "bookmark",
			"/buckets/shop/watch?heartbeat=1s&after=nonsense":                 "reset",
			"/buckets/shop/watch?heartbeat=1s&events=message":                 "put",
			"/buckets/shop/watch?heartbeat=1s&events=message" + resumed:       "bookmark",
			"/watch?watch=shop&watch=config&heartbeat=1s":                     "",
			"/watch?watch=shop&watch=config&heartbeat=1s&updates_only=true":   "",
			"/watch?watch=none&watch=config&heartbeat=1s&after=none%3D7-abc":  "",
			"/watch?watch=shop&watch=config&heartbeat=1s&events=message":      "",
			"/buckets/none/watch?heartbeat=1s&after=7-abc":                    "bucket-deleted",
			"/buckets/none/watch?heartbeat=1s&after=7-abc&events=message":     "bucket-deleted",
			"/buckets/shop/watch?heartbeat=1s&filter=zzz&ignore_deletes=true": "sync",
		}
		streams := make(map[string]*eventStream)
		for target := range wanted {
			streams[target] = g.watch(t, target)
		}
		for target, want := range wanted {
			checkBlocks(t, streams[target], target, want)
		}
	})
}

// checkBlocks checks that a stream of a target begins with an event, if it is of one bucket, and
// that its heartbeats come with bookmarks.
func checkBlocks(t *testing.T, w *eventStream, target, begin string) {
	t.Helper()
	nameOf := func(b block) any {
		if strings.Contains(target, "events=message") {
			return b.object(t)["event"]
		}
		return b.event
	}
	first := w.next()
	if oneBucket := !strings.HasPrefix(target, "/watch"); first.retry == "" ||
		oneBucket && nameOf(first) != begin {
		t.Errorf("%s begins with %+v, want %s", target, first, begin)
	}
	for beats := 0; beats < 2; {
		b := w.next()
		if b.retry != "" {
			t.Errorf("%s: another retry in %+v", target, b)
		}
		if b.comment != "" {
			beats++
			if b.id == "" || nameOf(b) != "bookmark" || b.comment != "heartbeat" {
				t.Errorf("%s: a heartbeat with %+v", target, b)
			}
		}
	}
}

// A client that asks for bare ids gets blocks without an event, of which a browser's page hears
// nothing.
func TestBookmarksAsIDsAreBare(t *testing.T) {
	inBothForms(t, func(t *testing.T, form func(*setup)) {
		g := start(t, form)
		kv := g.shop(t)
		put(t, kv, "a", "1")
		put(t, g.shopNamed(t, "config"), "x", "1")
		w := g.watch(t, "/buckets/shop/watch?heartbeat=1s&bookmarks=id")
		w.wantEvents("put a", "sync")
		id := w.lastID
		b := w.next()
		if b != (block{id: id, comment: "heartbeat"}) {
			t.Errorf("a heartbeat with %+v, want the id %s alone", b, id)
		}
		w.close()
		w = g.watch(t, "/buckets/shop/watch?bookmarks=id", "Last-Event-ID: "+id)
		if b := w.next(); b != (block{id: id, retry: b.retry}) || b.retry == "" {
			t.Errorf("resumed with %+v, want the id %s alone", b, id)
		}
		w = g.watch(t, "/watch?watch=shop&watch=config&updates_only=true&bookmarks=id")
		if b := w.next(); b.event != "" || strings.Count(b.id, "=") != 2 {
			t.Errorf("several begin with %+v", b)
		}
	})
}

// The first block of a stream of several buckets has the positions of all of them. A client that is
// cut off behind it has missed nothing of any.
func TestFirstBookmarkHasAllPositions(t *testing.T) {
	inBothForms(t, func(t *testing.T, form func(*setup)) {
		g := start(t, form)
		shop, config := g.shop(t), g.shopNamed(t, "config")
		for _, accept := range []string{"Accept: text/event-stream", asLines} {
			const target = "/watch?watch=shop&watch=config&updates_only=true"
			w := g.watch(t, target, accept)
			first := w.next()
			if first.event != "bookmark" || strings.Count(first.id, "=") != 2 ||
				first.object(t)["bucket"] != "shop" {
				t.Fatalf("the first block is %+v", first)
			}
			w.close()
			put(t, shop, "a", "missed")
			put(t, config, "b", "missed")
			w = g.watch(t, target, accept, "Last-Event-ID: "+first.id)
			seen := map[string]bool{}
			for len(seen) < 2 {
				switch b := w.next(); b.event {
				case "put":
					seen[fmt.Sprint(b.object(t)["bucket"])] = true
				case "reset":
					t.Fatalf("the stream was reset: %+v", b)
				}
			}
			w.close()
		}
	})
}

// While no position is known a heartbeat is a comment alone, which is no block. In lines, where
// there are no comments, it is an event without an id.
func TestHeartbeatWithoutPositionMovesNothing(t *testing.T) {
	inBothForms(t, func(t *testing.T, form func(*setup)) {
		g := start(t, form)
		put(t, g.shop(t), "a", "1")
		g.watch(t, "/buckets/shop/watch").until("sync")
		g.wire.onSending(func(data []byte) {
			if bytes.Contains(data, []byte("STREAM.INFO.KV_shop")) ||
				bytes.Contains(data, []byte("CONSUMER.CREATE.KV_shop.")) {
				g.wire.hold() // The snapshot does not begin.
			}
		})
		events := g.watch(t, "/buckets/shop/watch?heartbeat=1s&filter=a")
		lines := g.watch(t, "/buckets/shop/watch?heartbeat=1s&filter=a", asLines)
		for range 2 {
			b := lines.next()
			for b.event == "stale" {
				b = lines.next()
			}
			if b.event != "heartbeat" || b.id != "" {
				t.Fatalf("before the snapshot came %+v", b)
			}
		}
		atLeast := int64(len("retry: 1000\n: heartbeat\n: heartbeat\n"))
		eventually(t, "two heartbeats", func() bool { return events.received.Load() >= atLeast })
		g.wire.onSending(nil)
		g.wire.release()
		first := events.next()
		for first.event == "stale" || first.event == "live" {
			first = events.next()
		}
		if first.event != "put" {
			t.Errorf("the first block is %+v", first)
		}
		lines.until("put")
	})
}
