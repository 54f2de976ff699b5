package handlers_test

import (
	"testing"
)

// A refusal of the feeds for lack of room is reported as such, to streams and to long polls.
func TestFullFeedsRefuseStreamsAndLongPolls(t *testing.T) {
	t.Parallel()
	g := start(t, func(s *setup) { s.feeds.Feeds = 2 })
	for _, bucket := range []string{"one", "two", "three"} {
		g.bucketOf(t, bucket, "a")
	}
	tag := g.get(t, "/buckets/two/keys/a").is(t, 200).header.Get("ETag")
	g.watch(t, "/buckets/one/watch").until("sync")
	// One client's share is half of the feeds, which is one.
	g.get(t, "/buckets/two/watch", asLines).problem(t, 429, "overloaded")
	g.get(t, "/watch?watch=two&watch=three", asLines).problem(t, 429, "overloaded")
	g.get(t, "/buckets/two/keys/a", "If-None-Match: "+tag, "Prefer: wait=1").
		problem(t, 429, "overloaded")
	// A bucket that has a feed already needs no further one.
	g.watch(t, "/buckets/one/watch?filter=a").until("sync")
}
