package handlers_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"kvgateway/internal/feed"
	"kvgateway/internal/kv"
)

// withMemory makes a gateway keep the buckets that it watches in memory, and fails the test if a
// copy disagrees with NATS.
func withMemory(t testing.TB) func(*setup) {
	return func(s *setup) {
		s.feeds = feed.Options{
			Memory:      16 << 20,
			CheckCopies: 200 * time.Millisecond,
			Bounds:      s.feeds.Bounds,
			CopyMismatch: func(_ kv.BucketName, key string) {
				t.Errorf("the copy disagrees with NATS in %q", key)
			},
		}
	}
}

// awaitCached waits until reads of the bucket shop are answered from memory, at a revision.
func (g *gateway) awaitCached(t testing.TB, revision uint64, headers ...string) {
	t.Helper()
	eventually(t, "the bucket is in memory", func() bool {
		target := fmt.Sprint("/buckets/shop/keys/none?consistency=cached&min_revision=", revision)
		return g.get(t, target, headers...).header.Get("KV-Consistency") == "cached"
	})
}

// What a read is answered from memory is what NATS answers, in its status, its headers and its
// body, for keys of every state and all forms of a read.
func TestCachedReadsAreThoseOfTheLeader(t *testing.T) {
	t.Parallel()
	f := newFixture(t, withMemory(t))
	f.watch(t, "/buckets/shop/watch")
	put(t, f.kv, "first", "v")
	for _, s := range states {
		p := f.keyIn(t, s)
		f.awaitCached(t, p.last)
		for _, place := range []string{"keys/", "entries/"} {
			for _, method := range []string{"GET", "HEAD"} {
				for _, headers := range [][]string{
					nil, {"If-None-Match: LAST"}, {"If-None-Match: OTHER"}, {"If-Match: OTHER"},
					{"Range: bytes=1-2"}, {"If-None-Match: OTHER", "Prefer: wait=30"},
				} {
					if place == "entries/" && method == "HEAD" {
						continue
					}
					headers = p.fillAll(headers)
					target := "/buckets/shop/" + place + p.key + "?consistency="
					leader := f.do(t, method, target+"leader", nil, headers...)
					cached := f.do(t, method, target+"cached", nil, headers...)
					sameAnswer(t, leader, cached)
				}
			}
		}
	}
}

// sameAnswer fails the test unless the second answer is from memory and otherwise the first.
func sameAnswer(t *testing.T, leader, cached *answer) {
	t.Helper()
	if got := cached.header.Get("KV-Consistency"); got != "cached" {
		t.Fatalf("%s: KV-Consistency %q, status %d", cached.request, got, cached.status)
	}
	if age, err := strconv.Atoi(cached.header.Get("Age")); err != nil || age > 10 {
		t.Errorf("%s: Age %q", cached.request, cached.header.Get("Age"))
	}
	if leader.header.Get("Age") != "" {
		t.Errorf("%s: Age %q", leader.request, leader.header.Get("Age"))
	}
	for _, name := range []string{"ETag", "KV-Revision", "KV-Created", "KV-Operation",
		"Last-Modified", "Content-Type", "Content-Length", "Content-Range", "Cache-Control",
		"Content-Security-Policy", "Preference-Applied"} {
		got, want := cached.header.Get(name), leader.header.Get(name)
		if got != want && !(leader.status >= 400 && name == "Content-Length") {
			t.Errorf("%s: %s %q, want %q", cached.request, name, got, want)
		}
	}
	if cached.status != leader.status {
		t.Errorf("%s: status %d, want %d", cached.request, cached.status, leader.status)
	}
	if leader.status < 400 && string(cached.body) != string(leader.body) {
		t.Errorf("%s: body %s, want %s", cached.request, cached.body, leader.body)
	}
}

// Without a copy, NATS answers, and the answer says so; only-if-cached forbids that.
func TestCachedReadWithoutACopy(t *testing.T) {
	t.Parallel()
	f := newFixture(t, withMemory(t))
	put(t, f.kv, "a", "v")
	f.get(t, "/buckets/shop/keys/a?consistency=cached").is(t, 200).hasBody(t, "v").
		has(t, "KV-Consistency", "leader").has(t, "Age", "")
	only := "Cache-Control: only-if-cached"
	for _, target := range []string{"keys/a", "entries/a", "keys/none"} {
		f.get(t, "/buckets/shop/"+target+"?consistency=cached", only).
			problem(t, 504, "not-in-memory")
	}
	f.get(t, "/buckets/none/keys/a?consistency=cached").problem(t, 404, "bucket-not-found")
	f.get(t, "/buckets/shop/keys/a", only).is(t, 200).has(t, "KV-Consistency", "leader")
	f.get(t, "/buckets/shop/keys/a?consistency=cached", "Cache-Control: max-age=x").
		problem(t, 400, "invalid-header")

	f.watch(t, "/buckets/shop/watch")
	f.awaitCached(t, 1)
	f.get(t, "/buckets/shop/keys/a?consistency=cached", only).is(t, 200).
		has(t, "KV-Consistency", "cached")
	f.get(t, "/buckets/shop/keys/a?consistency=cached&revision=1", only).is(t, 200)
	for _, age := range []string{"2147483648", "99999999999999999999"} {
		f.get(t, "/buckets/shop/keys/a?consistency=cached", only+", max-age="+age).is(t, 200)
	}
	for _, terms := range []string{"no-cache", "max-age=60, no-cache", "max-age=\"0\", No-Cache"} {
		f.get(t, "/buckets/shop/keys/a?consistency=cached", "Cache-Control: "+terms).is(t, 200).
			has(t, "KV-Consistency", "leader")
		f.get(t, "/buckets/shop/keys/a?consistency=cached",
			"Cache-Control: "+terms+", only-if-cached").problem(t, 504, "not-in-memory")
	}
	f.get(t, "/buckets/shop/keys/a?consistency=cached&min_revision=99", only).
		problem(t, 504, "not-in-memory")
	put(t, f.kv, "a", "w")
	f.awaitCached(t, 2)
	f.get(t, "/buckets/shop/keys/a?consistency=cached&revision=1", only).
		problem(t, 504, "not-in-memory")
	f.get(t, "/buckets/shop/keys/a?consistency=cached&revision=1").is(t, 200).hasBody(t, "v").
		has(t, "KV-Consistency", "leader")
}

// While NATS is away, what is in memory is answered on, and its age grows; who does not take it so
// old is told that NATS is away.
func TestCachedReadsGoOnWithoutNATS(t *testing.T) {
	t.Parallel()
	f := newFixture(t, withMemory(t))
	put(t, f.kv, "a", "v")
	f.watch(t, "/buckets/shop/watch")
	f.awaitCached(t, 1)
	f.stopNATS(t)
	// A binding is kept for 5 s, so that only later a read from memory would show that it needs
	// none.
	eventually(t, "the age grows", func() bool {
		a := f.get(t, "/buckets/shop/keys/a?consistency=cached").is(t, 200).hasBody(t, "v").
			has(t, "KV-Consistency", "cached")
		age, _ := strconv.Atoi(a.header.Get("Age"))
		return age >= 7
	})
	f.get(t, "/buckets/shop/keys/a?consistency=cached", "Cache-Control: max-age=3").
		problem(t, 503, "nats-unavailable")
	f.get(t, "/buckets/shop/keys/a?consistency=cached",
		"Cache-Control: max-age=3, only-if-cached").problem(t, 504, "not-in-memory")
	f.get(t, "/buckets/shop/keys/a?consistency=cached", "Cache-Control: max-age=3600").is(t, 200)
	f.restartNATS(t)
	eventually(t, "the bucket is current again", func() bool {
		a := f.get(t, "/buckets/shop/keys/a?consistency=cached", "Cache-Control: max-age=1")
		return a.status == 200 && a.header.Get("KV-Consistency") == "cached"
	})
}

// A read from memory is never older than the minimal revision, whoever writes.
func TestCachedReadsReachTheMinimalRevision(t *testing.T) {
	t.Parallel()
	f := newFixture(t, withMemory(t))
	f.watch(t, "/buckets/shop/watch")
	f.awaitCached(t, 0)
	served := make(map[string]int)
	for i := range 300 {
		want := fmt.Sprint(i)
		written := f.do(t, "PUT", "/buckets/shop/keys/a", want).is(t, 200)
		revision := fmt.Sprint(i + 1)
		for _, least := range []string{written.header.Get("ETag"), revision} {
			a := f.get(t, "/buckets/shop/keys/a?consistency=cached", "KV-Min-Revision: "+least).
				is(t, 200).hasBody(t, want)
			served[a.header.Get("KV-Consistency")]++
		}
	}
	t.Log(served)
	if served["cached"] == 0 {
		t.Error("none was answered from memory")
	}
	f.get(t, "/buckets/shop/keys/a?consistency=cached&min_revision=1-zzz9").
		problem(t, 409, "epoch-changed")
}

// A long poll whose client has what is in memory waits for a change, and is told it.
func TestCachedLongPollWaits(t *testing.T) {
	t.Parallel()
	f := newFixture(t, withMemory(t))
	f.watch(t, "/buckets/shop/watch")
	put(t, f.kv, "a", "v")
	f.awaitCached(t, 1)
	tag := f.get(t, "/buckets/shop/keys/a?consistency=cached").is(t, 200).header.Get("ETag")
	answers := make(chan *answer, 1)
	go func() {
		answers <- f.get(t, "/buckets/shop/keys/a?consistency=cached", "If-None-Match: "+tag,
			"Prefer: wait=30")
	}()
	eventually(t, "the long poll waits", func() bool {
		return f.metric(t, "kvgw_subscriptions", nil) == 2
	})
	put(t, f.kv, "a", "w")
	(<-answers).is(t, 200).hasBody(t, "w")
}

// The right to get a key is asked for before the memory is looked at, and a refusal tells nothing.
func TestCachedReadsNeedTheRight(t *testing.T) {
	t.Parallel()
	g := start(t, withAuth(t, teams, "ann", "bob", "sue", "op"), withMemory(t))
	shop := g.shop(t)
	put(t, shop, "team.a.1", "v")
	put(t, shop, "stock", "v")
	g.watch(t, "/buckets/shop/watch", as("op"))
	g.awaitCached(t, 2, as("op"))
	g.get(t, "/buckets/shop/keys/team.a.1?consistency=cached", as("op")).is(t, 200)
	refusals := make(map[string]bool)
	for _, key := range []string{"stock", "none"} {
		for _, terms := range []string{"max-age=60", "only-if-cached"} {
			a := g.get(t, "/buckets/shop/keys/"+key+"?consistency=cached", as("ann"),
				"Cache-Control: "+terms)
			a.problem(t, 403, "forbidden")
			if a.header.Get("Age") != "" || a.header.Get("KV-Consistency") != "" {
				t.Errorf("the refusal has %v", a.header)
			}
			refusals[strings.ReplaceAll(a.header.Get("WWW-Authenticate"), key, "K")] = true
		}
	}
	if len(refusals) != 1 {
		t.Errorf("the refusals differ: %v", refusals)
	}
}

// Callers of two NATS accounts never see what the other's feeds have in memory, of buckets of one
// name.
func TestPassedThroughMemoriesAreApart(t *testing.T) {
	t.Parallel()
	g, s := startPassing(t, tenants, withMemory(t))
	users := []string{"ann", "bob"}
	for i, user := range users {
		b := bucketAs(t, s, user, "shop")
		put(t, b, "a", "of "+user)
		put(t, b, user, "v")
		only := "Cache-Control: only-if-cached"
		g.get(t, "/buckets/shop/keys/a?consistency=cached", basicAs(user), only).
			problem(t, 504, "not-in-memory") // though the other's is in memory
		g.watch(t, "/buckets/shop/watch", basicAs(user))
		g.awaitCached(t, 2, basicAs(user))
		for _, seen := range users[:i+1] {
			other := users[1-slices.Index(users, seen)]
			g.get(t, "/buckets/shop/keys/a?consistency=cached", basicAs(seen), only).is(t, 200).
				hasBody(t, "of "+seen)
			g.get(t, "/buckets/shop/keys/"+other+"?consistency=cached", basicAs(seen), only).
				problem(t, 404, "key-not-found")
		}
	}
}
