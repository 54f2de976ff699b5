package handlers_test

import (
	"testing"
)

// What the feeds refuse for want of room is told as such, on streams and on long polls.
func TestFullFeedsRefuseStreamsAndLongPolls(t *testing.T) {
	t.Parallel()
	g := start(t, func(s *setup) { s.feeds.Feeds = 2 })
	for _, bucket := range []string{"one", "two", "three"} {
		g.bucketOf(t, bucket, "a")
	}
	tag := g.get(t, "/buckets/two/keys/a").is(t, 200).header.Get("ETag")
	g.watch(t, "/buckets/one/watch").until("sync")
	// The gateway's share for one client is half of the feeds: one.
	g.get(t, "/buckets/two/watch", asLines).problem(t, 429, "overloaded")
	g.get(t, "/watch?watch=two&watch=three", asLines).problem(t, 429, "overloaded")
	g.get(t, "/buckets/two/keys/a", "If-None-Match: "+tag, "Prefer: wait=1").problem(t, 429, "overloaded")
	g.watch(t, "/buckets/one/watch?filter=a").until("sync") // what is followed already takes no place
}
