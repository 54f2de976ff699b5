package handlers_test

import (
	"fmt"
	"strings"
	"testing"
)

func TestReadConditionsAreEvaluated(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	p := f.keyIn(t, value)
	for _, tc := range []struct {
		header []string
		status int
	}{
		{[]string{`If-None-Match: "TAG"`}, 304},
		{[]string{`If-None-Match: "LAST"`}, 304},
		{[]string{`If-None-Match: LAST`}, 304},
		{[]string{`If-None-Match: W/"TAG"`}, 304},
		{[]string{`If-None-Match: "TAG-gzip"`}, 304},
		{[]string{`If-None-Match: "TAG--gzip"`}, 304},
		{[]string{`If-None-Match: W/"TAG-br"`}, 304},
		{[]string{`If-None-Match: "TAG-zstd"`}, 304},
		{[]string{`If-None-Match: W/"TAG-gzip"`}, 304},
		{[]string{`If-None-Match: "TAG-x-lz4.3"`}, 304},
		{[]string{`If-None-Match: "TAG--dcb"`}, 304},
		{[]string{`If-None-Match: "LAST-gzip"`}, 304},
		{[]string{`If-None-Match: "LAST--lz4"`}, 304},
		{[]string{`If-None-Match: *`}, 304},
		{[]string{`If-None-Match: "OTHER", "TAG"`}, 304},
		{[]string{`If-None-Match: "of-another-server", W/"x,y", "TAG"`}, 304},
		{[]string{`If-None-Match: "OTHER"`, `If-None-Match: "TAG"`}, 304},
		{[]string{`If-None-Match: "TAG"`, `Range: bytes=0-0`}, 304},
		{[]string{`If-None-Match: "TAG"`, `If-Match: "TAG"`}, 304},
		{[]string{`If-None-Match: "TAG"`, `If-Match: "OTHER"`}, 412},
		{[]string{`If-None-Match: "OTHER"`}, 200},
		{[]string{`If-None-Match: "FOREIGN"`}, 200},
		{[]string{`If-None-Match: "0"`}, 200},
		{[]string{`If-None-Match: "of-another-server"`}, 200},
		// If-Modified-Since is ignored beside If-None-Match (RFC 9110 §13.1.3).
		{[]string{`If-None-Match: "OTHER"`, `If-Modified-Since: Sun, 22 Nov 2099 18:03:11 GMT`},
			200},
		{[]string{`If-None-Match: "`}, 400},
		{[]string{`If-None-Match: abc`}, 400},
		{[]string{`If-None-Match:`}, 400},
		{[]string{`If-Match: "TAG"`}, 200},
		{[]string{`If-Match: LAST`}, 200},
		{[]string{`If-Match: W/"TAG-gzip"`}, 200},
		{[]string{`If-Match: "TAG-lz4"`}, 200},
		{[]string{`If-Match: *`}, 200},
		{[]string{`If-Match: "OTHER", "TAG"`}, 200},
		{[]string{`If-Match: "OTHER"`}, 412},
		{[]string{`If-Match: "FOREIGN"`}, 412},
		{[]string{`If-Match: "0"`}, 412},
		{[]string{`If-Match: "OTHER-lz4"`}, 412},
		{[]string{`If-Match: "FOREIGN-lz4"`}, 412},
		{[]string{`If-Match: "of-another-server"`}, 412},
		{[]string{`If-Match: x`}, 400},
	} {
		for _, place := range []string{"keys/", "entries/"} {
			a := f.get(t, "/buckets/shop/"+place+p.key, p.fillAll(tc.header)...).is(t, tc.status)
			switch tc.status {
			case 304:
				a.hasBody(t, "").has(t, "ETag", p.tag()).has(t, "KV-Revision", fmt.Sprint(p.last)).
					has(t, "Content-Type", "").
					has(t, "KV-Consistency", "leader").
					has(t, "Cache-Control", "private, no-cache, no-transform")
			case 412:
				a.has(t, "ETag", p.tag())
				document := a.problem(t, 412, "revision-mismatch")
				if fmt.Sprint(document["current_revision"]) != fmt.Sprint(p.last) {
					t.Errorf("%s: current_revision %v", a.request, document["current_revision"])
				}
			case 400:
				a.problem(t, 400, "invalid-header")
			}
		}
	}
}

// A key without a value is 404 whatever the condition (RFC 9110 §13.2.1). A malformed condition is
// 400 even there.
func TestMissingKeyIs404WhateverTheCondition(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for _, s := range []state{never, deleted, purged} {
		p := f.keyIn(t, s)
		for _, header := range []string{
			`If-None-Match: "TAG"`, `If-None-Match: "0"`, `If-None-Match: *`, `If-Match: *`,
			`If-Match: "OTHER"`,
		} {
			f.get(t, p.path(), p.fill(header)).is(t, 404).has(t, "ETag", p.tag())
		}
		f.get(t, p.path(), `If-None-Match: "`).problem(t, 400, "invalid-header")
	}
}

func TestRevisionParameterReadsEarlierRevisions(t *testing.T) {
	t.Parallel()
	g := start(t)
	kv := g.shop(t)
	first := put(t, kv, "a", "first")
	other := put(t, kv, "b", "other")
	second := put(t, kv, "a", "second")
	deleteKey(t, kv, "a")
	marker := g.lastRevision(t, "shop", "a")
	for _, place := range []string{"keys", "entries"} {
		at := func(revision any) *answer {
			return g.get(t, fmt.Sprintf("/buckets/shop/%s/a?revision=%v", place, revision))
		}
		for revision, value := range map[uint64]string{first: "first", second: "second"} {
			a := at(revision).is(t, 200).has(t, "KV-Revision", fmt.Sprint(revision)).
				has(t, "KV-Consistency", "leader")
			if !strings.Contains(string(a.body), value) {
				t.Errorf("%s: %s", a.request, a.body)
			}
			g.get(t, fmt.Sprintf("/buckets/shop/%s/a?revision=%d", place, revision),
				"If-None-Match: "+a.tag()).is(t, 304)
		}
		at(marker).has(t, "KV-Operation", "delete").has(t, "KV-Revision", fmt.Sprint(marker)).
			problem(t, 404, "key-deleted")
		at(other).problem(t, 404, "revision-not-found")
		at(marker+1).problem(t, 404, "revision-not-found")
		at("9007199254740991").problem(t, 404, "revision-not-found")
		for _, bad := range []string{
			"0", "-1", "x", "", "1.5", "1e0", "9007199254740992", "99999999999999999999", "+1",
			"%201", "1&revision=2", "1-k3f9x", "0x1",
		} {
			at(bad).problem(t, 400, "invalid-parameter")
		}
	}
	g.get(t, fmt.Sprintf("/buckets/shop/keys/a?revision=%d&min_revision=1", first)).
		problem(t, 400, "invalid-parameter")
	g.get(t, fmt.Sprintf("/buckets/shop/keys/a?revision=%d", first), "KV-Min-Revision: 1").
		is(t, 400)

	purgeKey(t, kv, "a")
	g.get(t, fmt.Sprintf("/buckets/shop/keys/a?revision=%d", first)).
		problem(t, 404, "revision-not-found")
}
