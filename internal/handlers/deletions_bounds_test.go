package handlers_test

import (
	"bytes"
	"context"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"kvgateway/internal/bound"
	"kvgateway/internal/handlers"
)

// A deletion by filter, and a purge of markers, holds a place and room for what it has to do as
// long as it is under way, and no place or room of listings. When its client goes away, it ends.
func TestDeletionsHoldWhatTheyDo(t *testing.T) {
	t.Parallel()
	for target, swallowed := range map[string]string{
		"/buckets/shop/keys?filter=a.>":        "$KV.shop.a.1",
		"/buckets/shop/markers?older_than=0s":  "STREAM.PURGE",
		"/buckets/shop/markers?older_than=30m": "STREAM.PURGE",
	} {
		t.Run(target, func(t *testing.T) {
			t.Parallel()
			bounds := bound.NewSet()
			g := start(t, func(s *setup) { s.client.Bounds, s.handlers.Bounds = bounds, bounds })
			kv := g.shopWithDeleted(t, "b.1", "b.2")
			put(t, kv, "a.1", "v")
			places, room := bounds.Find("imports"), bounds.Find("deletion-bytes")
			g.wire.swallow(swallowed)
			ctx, leave := context.WithCancel(t.Context())
			defer leave()
			r, err := http.NewRequestWithContext(ctx, "DELETE", "http://"+g.address+target, nil)
			if err != nil {
				t.Fatal(err)
			}
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				if resp, err := http.DefaultClient.Do(r); err == nil {
					resp.Body.Close()
				}
			}()
			eventually(t, "it holds a place and room", func() bool {
				return places.Used() == 1 && room.Used() > 0
			})
			if n := bounds.Find("listing-bytes").Used() + bounds.Find("listings").Used(); n != 0 {
				t.Errorf("it holds %d of what listings have", n)
			}
			leave()
			<-ended
			eventually(t, "it holds nothing when its client is gone", func() bool {
				return places.Used() == 0 && room.Used() == 0
			})
		})
	}
}

// A purge of markers ends at the age of deletions.
func TestPurgeOfMarkersEndsAtItsAge(t *testing.T) {
	t.Parallel()
	bounds := bound.NewSet()
	g := start(t, func(s *setup) {
		s.client.Bounds, s.handlers.Bounds = bounds, bounds
		s.handlers.Bodies = handlers.BodyTimes{Age: 300 * time.Millisecond}
	})
	kv := g.bucket(t, jetstream.KeyValueConfig{Bucket: "shop", Storage: jetstream.MemoryStorage})
	for _, key := range []string{"a", "b", "c", "d", "e", "f"} {
		put(t, kv, key, "v")
		deleteKey(t, kv, key)
	}
	var purges atomic.Int64
	g.wire.onSending(func(data []byte) {
		if bytes.Contains(data, []byte("STREAM.PURGE")) {
			purges.Add(1)
			time.Sleep(100 * time.Millisecond)
		}
	})
	g.do(t, "DELETE", "/buckets/shop/markers?older_than=0s", nil).
		problem(t, 504, "outcome-unknown")
	if n := purges.Load(); n == 0 || n == 6 {
		t.Errorf("%d of 6 markers were purged", n)
	}
	if bounds.Find("deletion-age").Refused() != 1 || bounds.Find("deletion-bytes").Used() != 0 {
		t.Error("its end is not counted, or it still holds room")
	}
}

// A purge of markers waits for a place among those of imports and deletions.
func TestPurgeOfMarkersWaitsForAPlace(t *testing.T) {
	t.Parallel()
	bounds := bound.NewSet()
	g := start(t, func(s *setup) { s.client.Bounds, s.handlers.Bounds = bounds, bounds })
	g.shopWithDeleted(t, "a")
	places := bounds.Find("imports")
	var held [16]bound.Hold
	for i := range held {
		if err := places.Take(t.Context(), &held[i], "", 1, nil); err != nil {
			t.Fatal(err)
		}
	}
	began := time.Now()
	g.do(t, "DELETE", "/buckets/shop/markers?older_than=0s", nil).problem(t, 503, "busy")
	if took := time.Since(began); took < 4*time.Second {
		t.Errorf("it waited for %v", took)
	}
	held[0].Release()
	g.do(t, "DELETE", "/buckets/shop/markers?older_than=0s", nil).is(t, 200)
}
