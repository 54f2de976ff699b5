package handlers_test

import (
	"testing"
	"time"

	"kvgateway/internal/natstest"
)

// awaitSubscription waits until somebody follows a feed.
func (g *gateway) awaitSubscription(t *testing.T) {
	t.Helper()
	natstest.Eventually(t, patience, "a subscription", func() bool { return g.metric(t, "kvgw_subscriptions", nil) == 1 })
}

// A long poll is answered by the change that it waits for, or when its time is over.
func TestLongPoll(t *testing.T) {
	t.Parallel()
	g := start(t)
	kv := g.shop(t)
	put(t, kv, "a", "1")
	const target = "/buckets/shop/keys/a"
	tag := g.get(t, target).is(t, 200).header.Get("Etag")
	poll := func(tag, wait string) chan *answer {
		answered := make(chan *answer, 1)
		go func() { answered <- g.get(t, target, "If-None-Match: "+tag, "Prefer: wait="+wait) }()
		return answered
	}
	g.get(t, target, `If-None-Match: "99"`, "Prefer: wait=60").is(t, 200)
	began := time.Now()
	(<-poll(tag, "1")).is(t, 304).has(t, "Preference-Applied", "wait=1")
	if took := time.Since(began); took < time.Second {
		t.Errorf("held for %v", took)
	}
	held := poll(tag, "60")
	g.awaitSubscription(t)
	put(t, kv, "b", "another key")
	put(t, kv, "a", "2")
	a := (<-held).is(t, 200)
	if string(a.body) != "2" {
		t.Errorf("answered %q", a.body)
	}
	held = poll(a.header.Get("Etag"), "60")
	g.awaitSubscription(t)
	if err := kv.Delete(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	marker := (<-held).is(t, 404).header.Get("Etag")
	(<-poll(marker, "1")).is(t, 404).has(t, "Preference-Applied", "wait=1")
	held = poll(marker, "60")
	g.awaitSubscription(t)
	put(t, kv, "a", "3")
	(<-held).is(t, 200)
	held = make(chan *answer, 1)
	go func() { held <- g.get(t, "/buckets/shop/keys/new", `If-None-Match: "0"`, "Prefer: wait=60") }()
	g.awaitSubscription(t)
	put(t, kv, "new", "4")
	(<-held).is(t, 200)
	held = poll(g.get(t, target).header.Get("Etag"), "60")
	g.awaitSubscription(t)
	if err := g.js.DeleteKeyValue(t.Context(), "shop"); err != nil {
		t.Fatal(err)
	}
	(<-held).is(t, 404)
}
