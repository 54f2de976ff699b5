package handlers_test

import (
	"fmt"
	"strings"
	"testing"
)

// The limits hold wherever filters are accepted. A single route without them would be enough for an
// attacker to keep a stream's lock for half a minute.
func TestFilterTokensAreBoundedOnEveryRoute(t *testing.T) {
	t.Parallel()
	g := start(t)
	g.bucketOf(t, "shop", "a")
	g.bucketOf(t, "depot", "a")
	deep := "*" + strings.Repeat(".a", 32) // 33 tokens
	wide := "*" + strings.Repeat(".a", 31)
	many := "filter=" + strings.Join(numbered(wide, 17), "&filter=")
	for _, filters := range []string{"filter=" + deep, many, many + "&filter=" + deep} {
		for _, target := range []string{
			"GET /buckets/shop/keys?", "GET /buckets/shop/entries?", "GET /buckets/shop/markers?",
			"GET /buckets/shop/watch?", "DELETE /buckets/shop/keys?",
			"DELETE /buckets/shop/markers?",
			"DELETE /buckets/shop/keys?dry_run=true&", "GET /buckets/shop/entries?key=a&",
		} {
			method, path, _ := strings.Cut(target, " ")
			document := g.do(t, method, path+filters, nil).problem(t, 400, "invalid-filter")
			if detail := fmt.Sprint(document["detail"]); !strings.Contains(detail, "tokens") {
				t.Errorf("%s: %s", target, detail)
			}
		}
	}
	watches := "watch=shop:" + strings.Join(numbered(wide, 9), "&watch=shop:") +
		"&watch=depot:" + strings.Join(numbered(wide, 8), "&watch=depot:")
	g.get(t, "/watch?"+watches).problem(t, 400, "invalid-filter")
	g.get(t, "/watch?watch=shop:"+deep).problem(t, 400, "invalid-filter")
}

func TestLongestKeyIsAFilter(t *testing.T) {
	t.Parallel()
	g := start(t)
	key := "k" + strings.Repeat(".k", 511)
	g.bucketOf(t, "shop", key, "a")
	g.get(t, "/buckets/shop/keys?filter="+key).is(t, 200)
	g.get(t, "/buckets/shop/keys?filter=a&filter="+key).problem(t, 400, "invalid-filter")
	tag := g.get(t, "/buckets/shop/keys/"+key).is(t, 200).header.Get("ETag")
	g.get(t, "/buckets/shop/keys/"+key, "If-None-Match: "+tag, "Prefer: wait=1").is(t, 304)
	g.get(t, "/buckets/shop/keys?prefix="+key).is(t, 200)
}

// numbered returns copies of a text, each with a number behind it.
func numbered(s string, count int) []string {
	all := make([]string, count)
	for i := range all {
		all[i] = fmt.Sprintf("%s%d", s, i)
	}
	return all
}
