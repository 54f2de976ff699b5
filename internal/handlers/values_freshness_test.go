package handlers_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// A mirror that the gateway does not know of answers direct gets of its origin too, and may be
// behind it.
func TestLeaderReadsAreNotAnsweredByAMirror(t *testing.T) {
	t.Parallel()
	g := start(t)
	kv := g.shop(t)
	for i := range 3 {
		g.bucket(t, jetstream.KeyValueConfig{
			Bucket: fmt.Sprintf("copy%d", i), Mirror: &jetstream.StreamSource{Name: "shop"},
		})
	}
	for i := range 200 {
		want := fmt.Sprint(i)
		if i%2 == 0 {
			put(t, kv, "a", want)
		} else {
			g.do(t, "PUT", "/buckets/shop/keys/a", want).is(t, 200)
		}
		g.get(t, "/buckets/shop/keys/a").is(t, 200).hasBody(t, want).
			has(t, "KV-Consistency", "leader")
	}
	eventually(t, "one of the mirrors answers, and the answer says so", func() bool {
		return g.get(t, "/buckets/shop/keys/a?consistency=any").is(t, 200).
			header.Get("KV-Consistency") == "any"
	})
	// A miss in a mirror does not count as the leader's, either.
	for i := range 50 {
		key := fmt.Sprintf("fresh%d", i)
		put(t, kv, key, "v")
		g.get(t, "/buckets/shop/keys/"+key).is(t, 200)
		g.get(t, "/buckets/shop/keys/"+key+"?consistency=any").is(t, 200)
	}
}

func TestConsistencyIsReportedEachTime(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	put(t, f.kv, "first", "v")
	for _, s := range states {
		p := f.keyIn(t, s)
		for _, place := range []string{"keys/", "entries/"} {
			for _, query := range []string{
				"", "?consistency=leader", "?consistency=any", "?min_revision=1",
			} {
				a := f.get(t, "/buckets/shop/"+place+p.key+query)
				if got := a.header.Get("KV-Consistency"); got != "leader" {
					t.Errorf("%s: KV-Consistency %q; the one stream there is has answered",
						a.request, got)
				}
			}
			for _, query := range []string{
				"consistency=CACHED", "consistency=", "consistency=LEADER",
				"consistency=any&consistency=any",
			} {
				f.get(t, "/buckets/shop/"+place+p.key+"?"+query).
					problem(t, 400, "invalid-parameter")
			}
		}
	}
}

// The contract has the header KV-Consistency that every answer has.
func TestConsistencyIsInTheContract(t *testing.T) {
	t.Parallel()
	doc := contract(t)
	for _, path := range []string{
		"/buckets/{bucket}/keys/{key}", "/buckets/{bucket}/entries/{key}",
	} {
		for method, operation := range doc.Paths.Value(path).Operations() {
			for _, status := range []int{200, 206, 304, 404, 412, 416} {
				response := operation.Responses.Status(status)
				if response != nil && (method == "GET" || method == "HEAD") &&
					response.Value.Headers["KV-Consistency"] == nil {
					t.Errorf("%s %s: %d without KV-Consistency", method, path, status)
				}
			}
		}
	}
}

func TestMinRevisionReachedIsAnswered(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	put(t, f.kv, "first", "v")
	for _, s := range states {
		p := f.keyIn(t, s)
		last := f.messages(t, "shop")[1]
		want := map[state]int{never: 404, value: 200, deleted: 404, purged: 404}[s]
		for _, min := range []string{
			"0", "1", fmt.Sprint(last), "0-" + f.epoch, fmt.Sprintf("%d-%s", last, f.epoch),
			`"0"`, `"1"`, `W/"1"`, fmt.Sprintf(`"%d-%s"`, last, f.epoch),
			fmt.Sprintf(`W/"%d-%s-br"`, last, f.epoch),
			fmt.Sprintf(`"%d-%s--lz4"`, last, f.epoch),
			fmt.Sprintf(`%d-%s-gzip`, last, f.epoch), `"0-gzip"`,
		} {
			for _, place := range []string{"keys/", "entries/"} {
				path := "/buckets/shop/" + place + p.key
				query := "min_revision=" + url.QueryEscape(min)
				f.get(t, path+"?"+query).is(t, want)
				f.get(t, path+"?consistency=any&"+query).is(t, want)
				f.get(t, path, "KV-Min-Revision: "+min).is(t, want)
			}
		}
	}
}

func TestMinRevisionMalformedIsRefused(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	p := f.keyIn(t, value)
	for _, min := range []string{
		"", "x", "-1", "1-", "1-K", "1-a-", "1-a-b c", `"1`, `1"`, `"1-a.b"`, "1.7c0q",
		"9007199254740992", "1-abcdefghijklmn", "+1", "1.0",
	} {
		f.get(t, p.path()+"?min_revision="+url.QueryEscape(min)).
			problem(t, 400, "invalid-parameter")
		document := f.get(t, p.path(), "KV-Min-Revision: "+min).
			problem(t, 400, "invalid-header")
		if document["header"] != "KV-Min-Revision" {
			t.Errorf("header %v", document["header"])
		}
	}
	f.get(t, p.path()+"?min_revision=1", "KV-Min-Revision: 1").problem(t, 400, "invalid-header")
	f.get(t, p.path(), "KV-Min-Revision: 1", "KV-Min-Revision: 1").problem(t, 400, "invalid-header")
}

func TestMinRevisionOfAnotherEpochIsRefused(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for _, s := range states {
		p := f.keyIn(t, s)
		for _, min := range []string{"0-zzz9", "1-zzz9", "999999-zzz9"} {
			document := f.get(t, p.path()+"?min_revision="+min).problem(t, 409, "epoch-changed")
			if document["epoch"] != f.epoch {
				t.Errorf("epoch %v, want %s", document["epoch"], f.epoch)
			}
			f.get(t, p.path(), "KV-Min-Revision: "+min).problem(t, 409, "epoch-changed")
		}
	}
}

// A reader that knows of a revision waits until the bucket has reached it, and then sees what was
// written with it.
func TestMinRevisionIsWaitedFor(t *testing.T) {
	t.Parallel()
	g := start(t)
	kv := g.shop(t)
	for _, tc := range []struct{ name, query, header string }{
		{"query", "?min_revision=%d", "X: y"}, {"header", "", "KV-Min-Revision: %d"},
		{"any", "?consistency=any&min_revision=%d", "X: y"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			last := put(t, kv, "a", "old")
			fill := func(s string) string { return strings.Replace(s, "%d", fmt.Sprint(last+2), 1) }
			asked := make(chan struct{}, 100)
			g.wire.onSending(func(data []byte) {
				if strings.Contains(string(data), "STREAM.INFO.KV_shop") {
					asked <- struct{}{}
				}
			})
			defer g.wire.onSending(nil)
			answered := make(chan *answer)
			go func() {
				answered <- g.get(t, "/buckets/shop/keys/a"+fill(tc.query), fill(tc.header))
			}()
			// The gateway asks for the last revision again and again.
			for range 3 {
				<-asked
			}
			put(t, kv, "b", "another key")
			<-asked
			put(t, kv, "a", "new")
			(<-answered).is(t, 200).hasBody(t, "new").has(t, "KV-Revision", fmt.Sprint(last+2))
		})
	}
}

func TestMinRevisionNotReachedTimesOut(t *testing.T) {
	t.Parallel()
	g := start(t, func(s *setup) { s.client.RequestTimeout = 500 * time.Millisecond })
	last := put(t, g.shop(t), "a", "old")
	for _, path := range []string{
		"/buckets/shop/keys/a", "/buckets/shop/entries/a", "/buckets/shop/keys/never",
	} {
		for _, min := range []uint64{last + 1, 1<<53 - 1} {
			began := time.Now()
			g.get(t, fmt.Sprintf("%s?min_revision=%d", path, min)).
				problem(t, 504, "revision-not-reached")
			if took := time.Since(began); took < 450*time.Millisecond {
				t.Errorf("%s: given up after %s", path, took)
			}
		}
	}
	// The connection to NATS serves the next request.
	g.get(t, "/buckets/shop/keys/a").is(t, 200)
}

// Prefer: wait gives the time in whole seconds, of which at most 60 are granted.
func TestMinRevisionWaitsAsLongAsPreferred(t *testing.T) {
	t.Parallel()
	g := start(t, func(s *setup) { s.client.RequestTimeout = time.Second })
	kv := g.shop(t)
	last := put(t, kv, "a", "old")
	path := fmt.Sprintf("/buckets/shop/keys/a?min_revision=%d", last+1)

	answered := make(chan *answer)
	began := time.Now()
	go func() { answered <- g.get(t, path, "Prefer: wait=30") }()
	select {
	case a := <-answered:
		t.Fatalf("given up after %s, which is before the preferred 30 s: %d %s",
			time.Since(began), a.status, a.body)
	case <-time.After(1500 * time.Millisecond):
	}
	put(t, kv, "a", "new")
	(<-answered).is(t, 200).hasBody(t, "new").has(t, "Preference-Applied", "wait=30")

	g.get(t, path, "Prefer: wait=600").is(t, 200).has(t, "Preference-Applied", "wait=60")
	g.get(t, path, "Prefer: wait=10s").is(t, 200).has(t, "Preference-Applied", "wait=10")
	g.get(t, path, `Prefer: return=minimal, wait="600s"`).is(t, 200).
		has(t, "Preference-Applied", "wait=60")
	for _, unreadable := range []string{"wait=s", "wait=1ss", "wait=1m", "wait=-1s", "wait=1.5s"} {
		g.get(t, path, "Prefer: "+unreadable).is(t, 200).has(t, "Preference-Applied", "")
	}
	g.get(t, path, "Prefer: respond-async, WAIT = 7 ; x=y").is(t, 200).
		has(t, "Preference-Applied", "wait=7")
}

func TestMinRevisionNeedNotWait(t *testing.T) {
	t.Parallel()
	// The gateway's own limit is 5 s.
	g := start(t)
	last := put(t, g.shop(t), "a", "old")
	began := time.Now()
	g.get(t, fmt.Sprintf("/buckets/shop/keys/a?min_revision=%d", last+1), "Prefer: wait=0").
		problem(t, 504, "revision-not-reached")
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("Prefer: wait=0 took %s", took)
	}
}
