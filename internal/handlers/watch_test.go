package handlers_test

import (
	"encoding/base64"
	"fmt"
	"io"
	"net/url"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"kvgateway/internal/feed"
)

// These tests run with both forms of a stream's writer.

func TestWatchSendsSnapshotSyncAndChanges(t *testing.T) {
	inBothForms(t, func(t *testing.T, form func(*setup)) {
		g := start(t, form)
		kv := g.shop(t)
		put(t, kv, "orders.1", "a")
		put(t, kv, "stock.1", "b")
		put(t, kv, "other", "c")
		w := g.watch(t, "/buckets/shop/watch?filter=orders.*&filter=stock.%3E&heartbeat=1s")
		for name, want := range map[string]string{
			"Content-Type": "text/event-stream", "Cache-Control": "no-store, no-transform",
			"X-Accel-Buffering": "no",
		} {
			if got := w.header.Get(name); got != want {
				t.Errorf("%s: %q, want %q", name, got, want)
			}
		}
		if first := w.next(); first.retry == "" || first.event != "put" {
			t.Errorf("first block %+v", first)
		}
		w.wantEvents("put stock.1")
		sync := w.next()
		if sync.event != "sync" ||
			fmt.Sprint(sync.object(t)["keys"], sync.object(t)["exact"]) != "2 true" {
			t.Errorf("sync: %+v", sync)
		}
		put(t, kv, "other", "d")
		put(t, kv, "orders.1", "e")
		deleteKey(t, kv, "stock.1")
		// They are read before the purge, which may remove what was not delivered yet.
		w.wantEvents("put orders.1", "delete stock.1")
		purgeKey(t, kv, "orders.1")
		w.wantEvents("purge orders.1")
		last := put(t, kv, "other", "unseen")
		eventually(t, "a bookmark at the last revision", func() bool {
			b := w.next()
			return b.event == "bookmark" && b.comment == "heartbeat" &&
				strings.HasPrefix(b.id, fmt.Sprint(last)+"-")
		})
	})
}

// Values of any bytes arrive unchanged.
func TestWatchedValuesArriveUnchanged(t *testing.T) {
	inBothForms(t, func(t *testing.T, form func(*setup)) {
		g := start(t, form)
		g.shop(t)
		values := []string{
			"", "a\nb\r\nc\r", "\x00", "\xff\xfe", "data: x\n\n", `{"a" : 1.0}`,
			strings.Repeat("x", 100_000), "\u0085\u2028\u2029",
		}
		for i, value := range values {
			g.do(t, "PUT", fmt.Sprintf("/buckets/shop/keys/k%d", i), value).is(t, 200)
		}
		for _, query := range []string{"", "?values=base64"} {
			w := g.watch(t, "/buckets/shop/watch"+query)
			for i, value := range values {
				o := w.until("put").object(t)
				got, _ := o["text"].(string)
				if encoded, ok := o["base64"].(string); ok {
					decoded, err := base64.StdEncoding.DecodeString(encoded)
					if err != nil {
						t.Fatal(err)
					}
					got = string(decoded)
				}
				if got != value {
					t.Errorf("%q: value %d is %.50q, want %.50q", query, i, got, value)
				}
			}
			w.close()
		}
	})
}

func TestWatchResumesBehindItsLastID(t *testing.T) {
	inBothForms(t, func(t *testing.T, form func(*setup)) {
		g := start(t, form)
		kv := g.bucket(t, jetstream.KeyValueConfig{Bucket: "b"})
		for i := range 50 {
			put(t, kv, fmt.Sprintf("k%d", i), "v")
		}
		w := g.watch(t, "/buckets/b/watch")
		w.until("put")
		inSnapshot := w.until("put").id
		w.close()
		if !strings.HasPrefix(inSnapshot, "2.50-") {
			t.Errorf("id within the snapshot: %s", inSnapshot)
		}
		put(t, kv, "k10", "w")
		w = g.watch(t, "/buckets/b/watch", "Last-Event-ID: "+inSnapshot)
		w.wantEvents("put k2", "put k3")
		atSync := w.until("sync").id
		w.close()
		put(t, kv, "k0", "x")
		w = g.watch(t, "/buckets/b/watch?after=ignored", "Last-Event-ID: "+atSync)
		w.wantEvents("put k0", "sync")
		w.close()
		for _, query := range []string{"after=", "after=ignored&lastEventId=",
			"after=ignored&last_event_id=", "after=ignored&Last-Event-ID="} {
			w = g.watch(t, "/buckets/b/watch?"+query+url.QueryEscape(atSync))
			w.wantEvents("put k0", "sync")
			w.close()
		}
		for id, reason := range map[string]string{
			"99999" + atSync[strings.IndexByte(atSync, '-'):]: "ahead",
			"7-abc":    "epoch",
			"nonsense": "unknown-id",
			"12":       "unknown-id",
		} {
			w := g.watch(t, "/buckets/b/watch?after="+id)
			if got := w.until("reset").object(t)["reason"]; got != reason {
				t.Errorf("%s: reset for %v, want %s", id, got, reason)
			}
			w.until("sync")
			w.close()
		}
	})
}

// Nobody can vouch for what the stream had removed before its bucket had a feed.
func TestWatchResumedBeyondTheHorizonIsReset(t *testing.T) {
	inBothForms(t, func(t *testing.T, form func(*setup)) {
		g := start(t, form)
		kv := g.bucket(t, jetstream.KeyValueConfig{Bucket: "b"})
		put(t, kv, "a", "1")
		put(t, kv, "b", "2")
		put(t, kv, "a", "3")
		w := g.watch(t, "/buckets/b/watch")
		_, epoch, _ := strings.Cut(w.until("sync").id, "-")
		w = g.watch(t, "/buckets/b/watch", "Last-Event-ID: 1-"+epoch)
		if got := w.until("reset").object(t)["reason"]; got != "horizon" {
			t.Errorf("reset for %v", got)
		}
		w.wantEvents("put b", "put a", "sync")
	})
}

func TestWatchOptionsAreHonoured(t *testing.T) {
	inBothForms(t, func(t *testing.T, form func(*setup)) {
		g := start(t, form)
		kv := g.shop(t)
		put(t, kv, "a", "1")
		put(t, kv, "a", "2")
		deleteKey(t, kv, "b")
		for query, want := range map[string][]string{
			"":                       {"put a", "delete b", "sync"},
			"include_history=true":   {"put a", "put a", "delete b", "sync"},
			"ignore_deletes=true":    {"put a", "sync"},
			"resume_from_revision=2": {"put a", "delete b", "sync"},
			"resume_from_revision=4": {"sync"},
			"resume_from_revision=5": {"reset", "put a", "delete b", "sync"},
			"filter=zzz":             {"sync"},
			"heartbeat=1s&bookmarks=event&filter=zzz": {"sync", "bookmark"},
			"heartbeat=1s&filter=zzz":                 {"sync", "bookmark"},
		} {
			w := g.watch(t, "/buckets/shop/watch?"+query)
			w.wantEvents(want...)
			w.close()
		}
		w := g.watch(t, "/buckets/shop/watch?updates_only=true")
		if first := w.next(); first.event != "bookmark" || first.id == "" || first.retry == "" {
			t.Errorf("updates_only begins with %+v", first)
		}
		put(t, kv, "c", "3")
		w.wantEvents("put c")
		w = g.watch(t, "/buckets/shop/watch?meta_only=true&filter=a")
		if o := w.until("put").object(t); o["text"] != nil || o["size"] != 1.0 {
			t.Errorf("meta_only: %v", o)
		}
		w = g.watch(t, "/buckets/shop/watch?events=message&filter=a")
		if b := w.next(); b.event != "" || b.object(t)["event"] != "put" {
			t.Errorf("events=message: %+v", b)
		}
	})
}

func TestWatchAsLinesHasTheSameEvents(t *testing.T) {
	inBothForms(t, func(t *testing.T, form func(*setup)) {
		g := start(t, form)
		put(t, g.shop(t), "a", "1")
		w := g.watch(t, "/buckets/shop/watch?heartbeat=1s&bookmarks=id", asLines)
		if got := w.header.Get("Content-Type"); got != "application/x-ndjson" {
			t.Errorf("Content-Type %q", got)
		}
		for _, want := range []string{"put", "sync", "bookmark"} {
			b := w.next()
			if b.event != want || b.id == "" || b.object(t)["bucket"] != "shop" {
				t.Fatalf("%+v; want %s", b, want)
			}
		}
		id := w.lastID
		w.close()
		w = g.watch(t, "/buckets/shop/watch", asLines, "Last-Event-ID: "+id)
		if first := w.next(); first.event != "bookmark" || first.id != id {
			t.Errorf("resumed with %+v, want a bookmark with the id %s", first, id)
		}
	})
}

func TestWatchRequestsAreChecked(t *testing.T) {
	inBothForms(t, func(t *testing.T, form func(*setup)) {
		g := start(t, form)
		g.shop(t)
		for target, status := range map[string]int{
			"/buckets/none/watch":                                        404,
			"/buckets/shop/watch?filter=a*":                              400,
			"/buckets/shop/watch?heartbeat=10ms":                         400,
			"/buckets/shop/watch?include_history=true&updates_only=true": 400,
			"/buckets/shop/watch?x=1":                                    400,
			"/watch":                                                     400,
			"/watch?watch=none":                                          404,
			"/watch?watch=shop:a*":                                       400,
			"/buckets/shop/watch?resume_from_revision=0":                 400,
		} {
			g.get(t, target, "Accept: text/event-stream").is(t, status)
		}
		g.get(t, "/buckets/shop/watch", "Accept: image/png").is(t, 406)
	})
}

// While NATS is away a browser is told so in a stream, since it would never come back after a
// status. Other clients get the status.
func TestWatchWhileNATSIsAwayIsAProblem(t *testing.T) {
	inBothForms(t, func(t *testing.T, form func(*setup)) {
		g := start(t, form)
		g.shop(t)
		g.wire.stop()
		eventually(t, "the gateway has noticed", func() bool {
			return g.get(t, "/readyz").status == 503
		})
		w := g.watch(t, "/buckets/shop/watch")
		p := w.next()
		if w.status != 200 || len(p.retry) < 5 {
			t.Errorf("status %d, first block %+v", w.status, p)
		}
		if p.event != "problem" || p.object(t)["status"] != 503.0 {
			t.Errorf("problem: %+v", p)
		}
		checkMidway(t, p.object(t))
		says(t, p.object(t), "NATS cannot be reached.", "opens it again by itself", "`retry`")
		if _, more := <-w.blocks; more {
			t.Error("the stream goes on")
		}
		g.get(t, "/buckets/shop/watch?errors=status", "Accept: text/event-stream").is(t, 503).
			has(t, "Retry-After", "1")
		g.get(t, "/buckets/shop/watch").is(t, 503)
	})
}

func TestWatchOfAMissingBucketWaitsForIt(t *testing.T) {
	inBothForms(t, func(t *testing.T, form func(*setup)) {
		g := start(t, form)
		w := g.watch(t, "/buckets/b/watch", "Last-Event-ID: 7-abc")
		w.wantEvents("bucket-deleted")
		put(t, g.bucket(t, jetstream.KeyValueConfig{Bucket: "b"}), "a", "1")
		w.wantEvents("reset")
		w.until("sync")
		g.get(t, "/buckets/none/watch", "Last-Event-ID: 7-abc", asLines).is(t, 404)
	})
}

func TestWatchOfSeveralBucketsResumes(t *testing.T) {
	inBothForms(t, func(t *testing.T, form func(*setup)) {
		g := start(t, form)
		shop, config := g.shop(t), g.bucket(t, jetstream.KeyValueConfig{Bucket: "config"})
		put(t, shop, "orders.1", "a")
		put(t, config, "x", "b")
		w := g.watch(t, "/watch?watch=shop:orders.%3E&watch=config&watch=none")
		synced := 0
		gone := 0
		for synced < 2 || gone < 1 {
			switch b := w.next(); b.event {
			case "sync":
				synced++
			case "bucket-deleted":
				gone++
			}
		}
		if strings.Count(w.lastID, "=") != 3 || !strings.HasPrefix(w.lastID, "shop=") {
			t.Errorf("id %q", w.lastID)
		}
		id := w.lastID
		w.close()
		put(t, shop, "orders.2", "c")
		put(t, config, "y", "d")
		w = g.watch(t, "/watch?watch=shop:orders.%3E&watch=config", "Last-Event-ID: "+id)
		seen := map[string]bool{}
		for len(seen) < 2 {
			b := w.next()
			if b.event == "reset" {
				t.Fatalf("reset: %+v", b)
			}
			if b.event == "put" {
				seen[b.object(t)["key"].(string)] = true
			}
		}
		if !seen["orders.2"] || !seen["y"] {
			t.Errorf("seen %v", seen)
		}
	})
}

// One consumer serves all streams of a bucket.
func TestStreamsShareOneConsumer(t *testing.T) {
	inBothForms(t, func(t *testing.T, form func(*setup)) {
		g := start(t, form)
		kv := g.shop(t)
		for i := range 100 {
			put(t, kv, fmt.Sprintf("k%d", i), "v")
		}
		var streams []*eventStream
		for i := range 200 {
			target := fmt.Sprintf("/buckets/shop/watch?filter=k%d", i%100)
			streams = append(streams, g.watch(t, target))
		}
		for _, s := range streams {
			s.until("sync")
		}
		eventually(t, "one consumer", func() bool {
			info, err := g.stream(t, "shop").Info(t.Context())
			return err == nil && info.State.Consumers == 1
		})
		for i := range 100 {
			put(t, kv, fmt.Sprintf("k%d", i), "w")
		}
		for i, s := range streams {
			if got := s.until("put").object(t)["key"]; got != fmt.Sprintf("k%d", i%100) {
				t.Errorf("stream %d got %v", i, got)
			}
		}
	})
}

// A client that stops reading delays nobody, and gets everything when it reads again.
func TestSlowReaderDelaysNobody(t *testing.T) {
	inBothForms(t, func(t *testing.T, form func(*setup)) {
		g := start(t, form, func(s *setup) { s.feeds = feed.Options{LogBytes: 1 << 20} })
		kv := g.bucket(t, jetstream.KeyValueConfig{Bucket: "b"})
		conn := g.dial(t)
		fmt.Fprintf(conn,
			"GET /buckets/b/watch HTTP/1.1\r\nHost: %s\r\nAccept: text/event-stream\r\n\r\n",
			g.address)
		quick := g.watch(t, "/buckets/b/watch?values=none")
		quick.until("sync")
		value := strings.Repeat("x", 64<<10)
		for i := range 300 {
			put(t, kv, fmt.Sprintf("k%d", i), value)
		}
		for i := range 300 {
			if got := quick.until("put").object(t)["key"]; got != fmt.Sprintf("k%d", i) {
				t.Fatalf("the quick reader got %v, want k%d", got, i)
			}
		}
		last := put(t, kv, "last", "v")
		wanted := fmt.Sprintf(`"key":"last","revision":%d`, last)
		buffer, seen := make([]byte, 1<<20), ""
		eventually(t, "the slow reader gets the last", func() bool {
			n, err := conn.Read(buffer)
			if err != nil && err != io.EOF {
				t.Fatal(err)
			}
			seen = seen[max(0, len(seen)-200):] + string(buffer[:n])
			return strings.Contains(seen, wanted)
		})
	})
}
