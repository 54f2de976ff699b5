package handlers_test

import (
	"fmt"
	"hash/fnv"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// withCopies keeps copies of buckets in memory.
func withCopies(s *setup) { s.feeds.Memory = 64 << 20 }

// digestOf returns the digest of keys with these revisions.
func digestOf(revisions map[string]uint64) string {
	var sum uint64
	for key, revision := range revisions {
		h := fnv.New64a()
		fmt.Fprintf(h, "%s\n%d", key, revision)
		sum += h.Sum64()
	}
	return fmt.Sprintf("%d-%016x", len(revisions), sum)
}

// With digest=true, bookmarks and syncs that are exact have the digest of what the filters of the
// stream select, without what expires.
func TestStreamTellsItsDigest(t *testing.T) {
	t.Parallel()
	g := start(t, withCopies)
	g.bucket(t, jetstream.KeyValueConfig{Bucket: "shop", LimitMarkerTTL: time.Minute})
	g.putEach(t, "shop", "a.x=1", "a.y=2", "ab=3", "b=4", "a.z=5")
	if a := g.do(t, "PUT", "/buckets/shop/keys/a.e?ttl=1h", "6"); a.status != 200 {
		t.Fatalf("an entry that expires: %d %s", a.status, a.body)
	}
	const query = "/buckets/shop/watch?filter=a.%3E&filter=a.x&heartbeat=1s"
	w, plain := g.watch(t, query+"&digest=true"), g.watch(t, query)
	untilDigest(t, w, digestOf(map[string]uint64{"a.x": 1, "a.y": 2, "a.z": 5}))
	g.do(t, "DELETE", "/buckets/shop/keys/a.x", nil)
	g.do(t, "PUT", "/buckets/shop/keys/a.y?ttl=1h", "7")
	g.putEach(t, "shop", "a.z=8", "ab=9", "a.e=10")
	want := digestOf(map[string]uint64{"a.z": 9, "a.e": 11})
	untilDigest(t, w, want)

	late := g.watch(t, query+"&digest=true")
	if got := late.until("sync").object(t)["digest"]; got != want {
		t.Errorf("a stream that joins later has the digest %v at its sync, want %s", got, want)
	}
	for range 3 {
		if got := plain.until("bookmark").object(t)["digest"]; got != nil {
			t.Errorf("a stream that did not ask for a digest has %v", got)
		}
	}
}

// untilDigest reads a stream until it tells a digest. Before the last change has come it may tell
// others.
func untilDigest(t *testing.T, w *eventStream, want string) {
	t.Helper()
	var got any
	eventually(t, "the digest "+want, func() bool {
		got = w.until("bookmark").object(t)["digest"]
		return got == want
	})
}

// Without copies in memory there is no digest, and the stream is as without the parameter.
func TestStreamWithoutMemoryHasNoDigest(t *testing.T) {
	t.Parallel()
	g := start(t)
	put(t, g.shop(t), "a", "1")
	w := g.watch(t, "/buckets/shop/watch?heartbeat=1s&digest=true")
	for _, event := range []string{"sync", "bookmark"} {
		if o := w.until(event).object(t); o["exact"] != true || o["digest"] != nil {
			t.Errorf("%s has %v", event, o)
		}
	}
}
