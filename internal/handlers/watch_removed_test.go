package handlers_test

import (
	"fmt"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
)

// With removals=event a key that another tool purged is told as removed, on both watches, and the
// stream goes on. A stream that has not asked for it is reset, unless it does not select the key.
func TestRemovedKeysAreTold(t *testing.T) {
	inBothForms(t, func(t *testing.T, form func(*setup)) {
		g := start(t, form, func(s *setup) { s.feeds.Memory = 16 << 20 })
		native := g.bucket(t, jetstream.KeyValueConfig{Bucket: "b"})
		gone := put(t, native, "a.1", "1")
		put(t, native, "b.1", "2")
		told := map[string]*eventStream{}
		for _, target := range []string{
			"/buckets/b/watch?removals=event&heartbeat=1s",
			"/watch?watch=b&removals=event&heartbeat=1s",
		} {
			told[target] = g.watch(t, target)
			told[target].until("sync")
		}
		untold := g.watch(t, "/buckets/b/watch")
		untold.until("sync")
		other := g.watch(t, "/buckets/b/watch?filter=b.*&removals=event")
		other.until("sync")
		eventually(t, "the bucket is in memory", func() bool {
			return g.metric(t, "kvgw_copies", nil) == 1
		})
		stream, err := g.js.Stream(t.Context(), "KV_b")
		if err != nil {
			t.Fatal(err)
		}
		if err := stream.Purge(t.Context(), jetstream.WithPurgeSubject("$KV.b.a.1")); err != nil {
			t.Fatal(err)
		}
		want := fmt.Sprintf(`{"bucket":"b","removed":[{"key":"a.1","revision":%d}]}`, gone)
		for target, w := range told {
			if b := w.until("removed"); b.data != want || b.id != "" {
				t.Errorf("%s: %+v, want %s", target, b, want)
			}
		}
		if b := untold.until("reset"); b.object(t)["reason"] != "purged" {
			t.Errorf("reset: %s", b.data)
		}
		put(t, native, "b.1", "3")
		for target, w := range told {
			b := w.next()
			for ; b.event == "bookmark"; b = w.next() {
			}
			if b.event != "put" {
				t.Errorf("%s: %+v came after the removal", target, b)
			}
		}
		if b := other.next(); b.event != "put" {
			t.Errorf("%+v came to a stream that does not select the key", b)
		}
	})
}
