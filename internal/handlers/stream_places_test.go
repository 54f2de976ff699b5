package handlers_test

import (
	"strconv"
	"strings"
	"testing"
)

// No more streams than the limit are open. A browser is told so in a stream, since it would not
// come back after a status.
func TestStreamBeyondTheLimitIsRefused(t *testing.T) {
	t.Parallel()
	g := start(t, func(s *setup) { s.handlers.MaxStreams = 2 })
	g.shop(t)
	first := g.watch(t, "/buckets/shop/watch")
	first.until("sync")
	g.watch(t, "/watch?watch=shop").until("sync")
	refused := g.watch(t, "/buckets/shop/watch")
	p := refused.next()
	wait, err := strconv.Atoi(p.retry)
	if refused.status != 200 || err != nil || wait < 10_000 {
		t.Errorf("status %d, retry %d", refused.status, wait)
	}
	if p.event != "problem" || p.object(t)["type"] != "/problems/too-many-streams" {
		t.Errorf("got %+v", p)
	}
	if _, more := <-refused.blocks; more {
		t.Error("the refused stream goes on")
	}
	for _, target := range []string{"/buckets/shop/watch", "/watch?watch=shop"} {
		g.get(t, target, asLines).problem(t, 503, "too-many-streams")
		g.get(t, target+querySeparator(target)+"errors=status", "Accept: text/event-stream").
			has(t, "Retry-After", "1").problem(t, 503, "too-many-streams")
	}
	open := g.metric(t, "kvgw_streams", nil)
	refusals := g.metric(t, "kvgw_streams_refused_total", nil)
	if open != 2 || refusals != 5 {
		t.Errorf("%v streams are open and %v were refused", open, refusals)
	}
	first.close()
	eventually(t, "a place", func() bool { return g.metric(t, "kvgw_streams", nil) == 1 })
	g.watch(t, "/buckets/shop/watch").until("sync")
}

// querySeparator returns what precedes a further parameter of a target.
func querySeparator(target string) string {
	if target[:3] == "/wa" {
		return "&"
	}
	return "?"
}

// Long polls count as streams.
func TestTooManyLongPolls(t *testing.T) {
	t.Parallel()
	g := start(t, func(s *setup) { s.handlers.MaxStreams = 4 })
	kv := g.shop(t)
	put(t, kv, "a", "v")
	tag := g.get(t, "/buckets/shop/keys/a").is(t, 200).tag()
	wait := []string{"If-None-Match: " + tag, "Prefer: wait=60"}
	hold := func(s *session) {
		begin(t, s.conn, "GET /buckets/shop/keys/a HTTP/1.1\r\nHost: localhost\r\n"+
			strings.Join(wait, "\r\n")+"\r\n\r\n")
	}
	open := func(n float64) func() bool {
		return func() bool { return g.metric(t, "kvgw_streams", nil) == n }
	}
	for range 3 {
		hold(g.session(t))
	}
	eventually(t, "three long polls", open(3))
	g.get(t, "/buckets/shop/keys/a", wait...).has(t, "Retry-After", "1").
		problem(t, 429, "overloaded")
	hold(g.sessionFrom(t, otherAddress))
	eventually(t, "four long polls", open(4))
	for _, target := range []string{"/buckets/shop/keys/a", "/buckets/shop/entries/a"} {
		g.get(t, target, wait...).has(t, "Retry-After", "1").has(t, "Preference-Applied", "").
			problem(t, 503, "too-many-streams")
	}
	g.do(t, "HEAD", "/buckets/shop/keys/a", nil, wait...).is(t, 503)
	g.get(t, "/buckets/shop/watch", asLines).problem(t, 503, "too-many-streams")
	g.get(t, "/buckets/shop/keys/a").is(t, 200)
	put(t, kv, "a", "new")
	eventually(t, "the long polls are answered", open(0))
}

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
