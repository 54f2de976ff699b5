package handlers_test

import (
	"bytes"
	"context"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// awaitSubscription waits until there is one subscription.
func (g *gateway) awaitSubscription(t *testing.T) {
	t.Helper()
	eventually(t, "a subscription", func() bool {
		return g.metric(t, "kvgw_subscriptions", nil) == 1
	})
}

// A long poll is answered when its key changes, or when its time is over.
func TestLongPollIsAnsweredByItsChange(t *testing.T) {
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
	deleteKey(t, kv, "a")
	marker := (<-held).is(t, 404).header.Get("Etag")
	(<-poll(marker, "1")).is(t, 404).has(t, "Preference-Applied", "wait=1")
	held = poll(marker, "60")
	g.awaitSubscription(t)
	put(t, kv, "a", "3")
	(<-held).is(t, 200)
	held = make(chan *answer, 1)
	go func() {
		held <- g.get(t, "/buckets/shop/keys/new", `If-None-Match: "0"`, "Prefer: wait=60")
	}()
	g.awaitSubscription(t)
	put(t, kv, "new", "4")
	(<-held).is(t, 200)
	held = poll(g.get(t, target).header.Get("Etag"), "60")
	g.awaitSubscription(t)
	g.deleteBucket(t, "shop")
	(<-held).is(t, 404)
}

// A proxy that encodes answers appends the coding to their tags. A poll with such a tag is held:
// otherwise it would be answered at once, and so would the next one.
func TestLongPollHoldsTagsWithACoding(t *testing.T) {
	t.Parallel()
	g := start(t)
	kv := g.shop(t)
	put(t, kv, "a", "1")
	tags := map[string]string{"new": "0"}
	for key, status := range map[string]int{"a": 304, "new": 404} {
		target := "/buckets/shop/keys/" + key
		if key == "a" {
			tags[key] = strings.Trim(g.get(t, target).is(t, 200).header.Get("Etag"), `"`)
		}
		for _, coding := range []string{"-gzip", "-br", "--zstd", "-compress"} {
			tag := `"` + tags[key] + coding + `"`
			g.get(t, target, "If-None-Match: "+tag, "Prefer: wait=1s").is(t, status).
				has(t, "Preference-Applied", "wait=1")
		}
	}
}

// Long polls of one key share their reads: the number of reads after a change does not grow with
// the number of long polls.
func TestLongPollsOfOneKeyShareTheirReads(t *testing.T) {
	t.Parallel()
	g := start(t)
	kv := g.shop(t)
	put(t, kv, "a", "1")
	const target, polls = "/buckets/shop/keys/a", 200
	tag := g.get(t, target).is(t, 200).header.Get("Etag")
	answers := make(chan *answer, polls)
	for range polls {
		go func() { answers <- g.get(t, target, "If-None-Match: "+tag, "Prefer: wait=60") }()
	}
	eventually(t, "the subscriptions", func() bool {
		return g.metric(t, "kvgw_subscriptions", nil) == polls
	})
	value := strings.Repeat("2", 100_000)
	sent := g.wire.requests(func() {
		put(t, kv, "a", value)
		for range polls {
			a := (<-answers).is(t, 200).has(t, "Kv-Consistency", "leader")
			if string(a.body) != value {
				t.Errorf("answered %.20q", a.body)
			}
		}
	})
	if sent > polls/5 {
		t.Errorf("%d requests to NATS for %d long polls", sent, polls)
	}
	t.Logf("%d requests to NATS", sent)
}

// The client whose request began a shared read may leave. The others still get their answers.
func TestLongPollThatIsCancelledDoesNotEndOthers(t *testing.T) {
	t.Parallel()
	g := start(t)
	kv := g.shop(t)
	put(t, kv, "a", "1")
	const target = "/buckets/shop/keys/a"
	tag := g.get(t, target).is(t, 200).header.Get("Etag")
	var reads atomic.Int32
	g.wire.onSending(func(data []byte) {
		if bytes.Contains(data, []byte("DIRECT.GET")) && reads.Add(1) == 1 {
			g.wire.hold()
		}
	})
	ctx, cancel := context.WithCancel(t.Context())
	left := make(chan error, 1)
	go func() {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+g.address+target, nil)
		if err != nil {
			left <- err
			return
		}
		r.Header.Set("If-None-Match", `"999"`)
		r.Header.Set("Prefer", "wait=60")
		answer, err := http.DefaultClient.Do(r)
		if err == nil {
			answer.Body.Close()
		}
		left <- err
	}()
	eventually(t, "a read", func() bool { return reads.Load() == 1 })
	stays := make(chan *answer, 1)
	go func() { stays <- g.get(t, target, `If-None-Match: "999"`, "Prefer: wait=60") }()
	cancel()
	if err := <-left; err == nil {
		t.Error("the request that was cancelled has an answer")
	}
	g.wire.onSending(nil)
	g.wire.release()
	(<-stays).is(t, 200).has(t, "Etag", tag)
}
