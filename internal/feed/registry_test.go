package feed

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"kvgateway/internal/bound"
	"kvgateway/internal/kv"
)

// A feed lingers after its last user has left, unless another one comes.
func TestFeedLingersAfterItsLastUser(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub(Options{}.withDefaults())
		name, _ := kv.ParseBucketName("b")
		f := newFeed(h, name)
		ctx, cancel := context.WithCancel(t.Context())
		f.stopSource, f.place, f.restPlace = cancel, new(bound.Hold), new(bound.Hold)
		h.feeds[name] = f
		for range 3 {
			if again, _ := h.acquire(t.Context(), name); again != f {
				t.Fatal("another feed, while the first lingers")
			}
			h.release(f)
			time.Sleep(h.options.Linger - time.Second)
			synctest.Wait()
			if ctx.Err() != nil || len(h.allFeeds()) != 1 {
				t.Fatal("the feed ended before its time")
			}
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if ctx.Err() == nil || len(h.allFeeds()) != 0 {
			t.Error("the feed did not end")
		}
	})
}
