package handlers_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// threeCallers is the file of two callers with tokens and of one without.
const threeCallers = `
roles:
  all: [{ bucket: "*", can: [admin] }]
anonymous: [all]
tokens:
  - { name: ann, sha256: %s, roles: [all] }
  - { name: bob, sha256: %s, roles: [all] }
`

// bearerOf is the header of a caller with a token.
func bearerOf(name string) string { return "Authorization: Bearer " + tokenOf(name) }

// until429 sends requests until one is refused, and returns how many were not. It gives up after so
// many.
func until429(t *testing.T, g *gateway, most int, header ...string) (count int) {
	t.Helper()
	s := g.session(t)
	defer s.conn.Close()
	for ; count < most; count++ {
		a := s.do(t, "GET", "/buckets/shop/keys/a", nil, header...)
		if a.status == 429 {
			a.problem(t, 429, "overloaded")
			if a.header.Get("Retry-After") == "" ||
				!strings.Contains(string(a.body), "request-rate") {
				t.Errorf("the refusal has %v %s", a.header, a.body)
			}
			return count
		}
	}
	return count
}

func TestRateIsOfTheCaller(t *testing.T) {
	t.Parallel()
	const rate = 20
	g := start(t, withAuth(t, threeCallers, "ann", "bob"),
		func(s *setup) { s.handlers.Rate = rate })
	kv := g.shop(t)
	put(t, kv, "a", "v")
	stream := g.watch(t, "/buckets/shop/watch", bearerOf("ann"))
	if n := until429(t, g, 10_000, bearerOf("ann")); n < rate-1 || n == 10_000 {
		t.Errorf("refused after %d requests", n)
	}
	// The next of these would be refused if they counted for the same caller.
	g.get(t, "/buckets/shop/keys/a", bearerOf("bob")).is(t, 200)
	g.get(t, "/buckets/shop/keys/a").is(t, 200)
	put(t, kv, "later", "v")
	for stream.next().object(t)["key"] != "later" {
	}
	if n := until429(t, g, 10_000); n < rate-1 || n == 10_000 {
		t.Errorf("without a credential, refused after %d requests", n)
	}
	// An unknown credential counts for the address, which has used up its rate.
	if n := until429(t, g, 10_000, bearerOf("eve")); n > rate/2 {
		t.Errorf("with an unknown credential, refused after %d requests", n)
	}
	g.get(t, "/livez").is(t, 200)
}

func TestRateIsToldInEachAnswer(t *testing.T) {
	t.Parallel()
	g := start(t, func(s *setup) { s.handlers.Rate = 1000 })
	put(t, g.shop(t), "a", "v")
	told := func(header http.Header) (left int) {
		t.Helper()
		if policy := header.Get("RateLimit-Policy"); policy != `"default";q=1000;w=1` {
			t.Errorf("RateLimit-Policy is %q", policy)
		}
		text := header.Get("RateLimit")
		if _, err := fmt.Sscanf(text, `"default";r=%d;t=1`, &left); err != nil || left >= 1000 {
			t.Errorf("RateLimit is %q", text)
		}
		return left
	}
	first := told(g.get(t, "/buckets/shop/keys/a").is(t, 200).header)
	told(g.get(t, "/buckets/shop/keys/none").is(t, 404).header)
	told(g.get(t, "/buckets/shop/keys/a", "If-None-Match: *").is(t, 304).header)
	told(g.do(t, "PUT", "/buckets/shop/keys/b", "v").is(t, 200).header)
	told(g.get(t, "/buckets/shop/keys").is(t, 200).header)
	stream := g.watch(t, "/buckets/shop/watch")
	told(stream.header)
	if first < 900 {
		t.Errorf("%d are left after the first request", first)
	}
	if got := g.get(t, "/livez").header.Get("RateLimit"); got != "" {
		t.Errorf("/livez answers with RateLimit %q", got)
	}
	if got := start(t).get(t, "/buckets").header.Get("RateLimit"); got != "" {
		t.Errorf("without a rate, RateLimit is %q", got)
	}
}

func TestStreamsAreOfTheCaller(t *testing.T) {
	t.Parallel()
	g := start(t, withAuth(t, threeCallers, "ann", "bob"),
		func(s *setup) { s.handlers.StreamsPerCaller = 2 })
	g.shop(t)
	for _, caller := range [][]string{{bearerOf("ann")}, {bearerOf("bob")}, nil} {
		for range 2 {
			if s := g.watch(t, "/buckets/shop/watch", caller...); s.status != 200 {
				t.Errorf("a stream of %q: %d", caller, s.status)
			}
		}
		a := g.get(t, "/buckets/shop/watch", caller...).problem(t, 429, "overloaded")
		if a["bound"] != "caller-streams" {
			t.Errorf("refused with %v", a)
		}
	}
}

// Nobody gets around the rate of an address by naming NATS users that do not exist: a credential
// counts as a caller once NATS has accepted it.
func TestRateOfUnknownNATSUsersIsOfTheAddress(t *testing.T) {
	t.Parallel()
	const rate = 2
	users := []natsUser{{Name: "ann", Account: "team"}}
	g, s := startPassing(t, users, func(s *setup) { s.handlers.Rate = rate })
	put(t, bucketAs(t, s, "ann", "shop"), "a", "v")
	g.get(t, "/buckets/shop/keys/a", basicAs("ann")).is(t, 200)
	session := g.session(t)
	ofRate := 0
	const times = 30 // as many as an address may fail at once
	for i := range times {
		user := basicAs(fmt.Sprint("user-", i))
		a := session.do(t, "GET", "/buckets/shop/keys/a", nil, user)
		if a.status != 401 && a.status != 429 {
			t.Fatalf("user %d: status %d: %s", i, a.status, a.body)
		}
		if strings.Contains(string(a.body), "request-rate") {
			ofRate++
		}
	}
	if ofRate < times/3 {
		t.Errorf("the rate has refused %d requests of %d", ofRate, times)
	}
	g.get(t, "/buckets/shop/keys/a", basicAs("ann")).is(t, 200)
}
