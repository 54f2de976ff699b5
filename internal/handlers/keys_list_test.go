package handlers_test

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go/jetstream"
)

// bucketOf creates a bucket with these keys, and with others that are deleted or purged.
func (g *gateway) bucketOf(t testing.TB, bucket string, keys ...string) jetstream.KeyValue {
	t.Helper()
	kv := g.bucket(t, jetstream.KeyValueConfig{
		Bucket: bucket, History: 3, Storage: jetstream.MemoryStorage,
	})
	for _, key := range keys {
		put(t, kv, key, "v")
	}
	for _, gone := range []string{"gone", "gone.a", "orders.gone"} {
		put(t, kv, gone, "v")
		deleteKey(t, kv, gone)
		put(t, kv, "purged."+gone, "v")
		purgeKey(t, kv, "purged."+gone)
	}
	return kv
}

// someKeys are the keys of the bucket that the tests of lists read.
var someKeys = []string{
	"orders.2", "orders.10", "orders", "orders.10.lines", "Orders.1", "a/b", "a/c/d", "a", "a.b",
	"a.b.c", "z", "-", "stock.1", "=", "a//b",
}

func TestKeyListSelectsByFilterAndPrefix(t *testing.T) {
	t.Parallel()
	g := start(t)
	g.bucketOf(t, "shop", someKeys...)
	last := g.messages(t, "shop")[1]
	for _, tc := range []struct {
		query string
		want  []string
	}{
		{"", slices.Sorted(slices.Values(someKeys))},
		{"filter=>", slices.Sorted(slices.Values(someKeys))},
		{"filter=*", []string{"-", "=", "a", "a//b", "a/b", "a/c/d", "orders", "z"}},
		{"filter=orders.*", []string{"orders.10", "orders.2"}},
		{"filter=orders.>", []string{"orders.10", "orders.10.lines", "orders.2"}},
		{"filter=*.*", []string{"Orders.1", "a.b", "orders.10", "orders.2", "stock.1"}},
		{"filter=orders", []string{"orders"}},
		{"filter=a/b", []string{"a/b"}},
		{"filter=a%2Fb&filter=a%2F%2Fb", []string{"a//b", "a/b"}},
		{"filter=none", []string{}},
		{"filter=gone", []string{}},
		{"filter=gone.>", []string{}},
		{"filter=orders.*&filter=stock.*", []string{"orders.10", "orders.2", "stock.1"}},
		// one filter contains another
		{"filter=orders.*&filter=orders.10&filter=orders.>",
			[]string{"orders.10", "orders.10.lines", "orders.2"}},
		{"filter=orders.*&filter=*.10", []string{"orders.10", "orders.2"}}, // overlapping filters
		{"filter=*.b.c&filter=a.*.c&filter=a.b.*", []string{"a.b.c"}},
		{"filter=orders.2&filter=orders.2", []string{"orders.2"}},
		{"prefix=orders.", []string{"orders.10", "orders.10.lines", "orders.2"}},
		{"prefix=orders.1", []string{"orders.10", "orders.10.lines"}},
		{"prefix=or", []string{"orders", "orders.10", "orders.10.lines", "orders.2"}},
		{"prefix=a/", []string{"a//b", "a/b", "a/c/d"}},
		{"prefix=a.b.c", []string{"a.b.c"}},
		{"prefix=a.b.c.", []string{}},
		{"prefix=.", []string{}},
		{"prefix=a..", []string{}},
		{"prefix=orders.&filter=*.*", []string{"orders.10", "orders.2"}},
		{"prefix=stock.&filter=orders.*", []string{}},
		{"prefix=gone", []string{}},
	} {
		t.Run(tc.query, func(t *testing.T) {
			a := g.get(t, "/buckets/shop/keys?"+tc.query).is(t, 200).has(t, "Link", "")
			list := a.object(t)
			if diff := cmp.Diff(tc.want, stringsOf(list["keys"])); diff != "" {
				t.Errorf("keys (-want +got)\n%s", diff)
			}
			if list["keys"] == nil || list["prefixes"] != nil || list["next"] != nil ||
				list["revision"] != number(last) {
				t.Errorf("%s", a.body)
			}
			text := strings.Join(append(tc.want, ""), "\n")
			g.get(t, "/buckets/shop/keys?"+tc.query, "Accept: text/plain").is(t, 200).
				hasBody(t, text).has(t, "Content-Type", "text/plain; charset=utf-8")
			got := g.listedLines(t, "/buckets/shop/keys?"+tc.query)
			if !slices.Equal(got, tc.want) {
				t.Errorf("NDJSON %q", got)
			}
		})
	}
}

// listedLines reads a list in NDJSON. A "+" precedes prefixes.
func (g *gateway) listedLines(t testing.TB, target string) []string {
	t.Helper()
	a := g.get(t, target, asLines).is(t, 200).has(t, "Content-Type", "application/x-ndjson")
	var found []string
	ended := false
	for line := range strings.Lines(string(a.body)) {
		var item struct {
			Key, Prefix *string
			End         bool
			Count       int
		}
		if json.Unmarshal([]byte(line), &item) == nil && item.End && item.Count == len(found) {
			ended = true
			continue
		}
		if err := json.Unmarshal([]byte(line), &item); err != nil ||
			!strings.HasSuffix(line, "\n") || (item.Key == nil) == (item.Prefix == nil) {
			t.Fatalf("%s: line %q: %v", a.request, line, err)
		}
		if item.Key != nil {
			found = append(found, *item.Key)
		} else {
			found = append(found, "+"+*item.Prefix)
		}
	}
	if !ended {
		t.Errorf("%s: the last line is missing: %.300s", a.request, a.body)
	}
	return found
}

func TestKeyListOfAnEmptyBucketIsEmpty(t *testing.T) {
	t.Parallel()
	g := start(t)
	g.shop(t)
	list := g.get(t, "/buckets/shop/keys").is(t, 200).object(t)
	if list["revision"] != json.Number("0") || len(stringsOf(list["keys"])) != 0 ||
		list["keys"] == nil {
		t.Errorf("%v", list)
	}
	g.get(t, "/buckets/shop/keys", "Accept: text/plain").is(t, 200).hasBody(t, "")
	g.get(t, "/buckets/shop/keys", asLines).is(t, 200).
		hasBody(t, `{"end":true,"revision":0,"count":0,"hidden":0}`+"\n")
	g.get(t, "/buckets/shop/keys?delimiter=.").is(t, 200)
}

func TestDelimiterFoldsKeys(t *testing.T) {
	t.Parallel()
	g := start(t)
	g.bucketOf(t, "shop", someKeys...)
	for _, tc := range []struct {
		query          string
		keys, prefixes []string
	}{
		{"delimiter=.", []string{"-", "=", "a", "a//b", "a/b", "a/c/d", "orders", "z"},
			[]string{"Orders.", "a.", "orders.", "stock."}},
		{"delimiter=/", []string{"-", "=", "Orders.1", "a", "a.b", "a.b.c", "orders", "orders.10",
			"orders.10.lines", "orders.2", "stock.1", "z"}, []string{"a/"}},
		{"delimiter=.&prefix=orders.", []string{"orders.10", "orders.2"}, []string{"orders.10."}},
		{"delimiter=.&prefix=orders", []string{"orders"}, []string{"orders."}},
		{"delimiter=/&prefix=a/", []string{"a/b"}, []string{"a//", "a/c/"}},
		{"delimiter=.&filter=orders.>", []string{}, []string{"orders."}},
		{"delimiter=.&prefix=none", []string{}, nil},
		{"delimiter=o&prefix=",
			[]string{"-", "=", "Orders.1", "a", "a.b", "a.b.c", "a//b", "a/b", "a/c/d", "z"},
			[]string{"o", "sto"}},
		{"delimiter=%3D", []string{"-", "Orders.1", "a", "a.b", "a.b.c", "a//b", "a/b", "a/c/d",
			"orders", "orders.10", "orders.10.lines", "orders.2", "stock.1", "z"}, []string{"="}},
	} {
		t.Run(tc.query, func(t *testing.T) {
			list := g.get(t, "/buckets/shop/keys?"+tc.query).is(t, 200).object(t)
			if diff := cmp.Diff(tc.keys, stringsOf(list["keys"])); diff != "" {
				t.Errorf("keys (-want +got)\n%s", diff)
			}
			if got := stringsOf(list["prefixes"]); !slices.Equal(got, tc.prefixes) {
				t.Errorf("prefixes %q, want %q", got, tc.prefixes)
			}
			// Prefixes are folded across pages, each once and in the same order.
			whole := g.listedLines(t, "/buckets/shop/keys?"+tc.query)
			for limit := 1; limit <= 5; limit++ {
				var keys, prefixes []string
				target := fmt.Sprintf("/buckets/shop/keys?%s&limit=%d", tc.query, limit)
				g.allPages(t, target, limit, func(page map[string]any) []string {
					keys = append(keys, stringsOf(page["keys"])...)
					prefixes = append(prefixes, stringsOf(page["prefixes"])...)
					return append(stringsOf(page["keys"]), stringsOf(page["prefixes"])...)
				})
				if !slices.Equal(keys, tc.keys) || !slices.Equal(prefixes, tc.prefixes) ||
					len(whole) != len(keys)+len(prefixes) {
					t.Errorf("limit=%d: keys %q, prefixes %q", limit, keys, prefixes)
				}
			}
		})
	}
}

func TestKeyPagesJoinToTheWholeList(t *testing.T) {
	t.Parallel()
	g := start(t)
	var keys []string
	for i := range 300 {
		keys = append(keys, fmt.Sprintf("%c%d.%d", 'a'+i%7, i%13, i))
	}
	g.bucketOf(t, "shop", keys...)
	slices.Sort(keys)
	keysOf := func(page map[string]any) []string { return stringsOf(page["keys"]) }
	for _, limit := range []int{7, 100, 299, 300, 301, 10_000} {
		target := fmt.Sprintf("/buckets/shop/keys?limit=%d", limit)
		if got := g.allPages(t, target, limit, keysOf); !slices.Equal(got, keys) {
			t.Errorf("limit=%d: %d keys, or in another order", limit, len(got))
		}
	}
	got := g.allPages(t, "/buckets/shop/keys?limit=13&filter=*.*&prefix=c", 13, keysOf)
	want := slices.DeleteFunc(slices.Clone(keys), func(key string) bool {
		return !strings.HasPrefix(key, "c")
	})
	if !slices.Equal(got, want) {
		t.Errorf("with a filter and a prefix: %d keys, want %d", len(got), len(want))
	}
	for accept, ends := range map[string]int{"application/x-ndjson": 1, "text/plain": 0} {
		if a := g.get(t, "/buckets/shop/keys", "Accept: "+accept).is(t, 200).
			has(t, "Link", ""); strings.Count(string(a.body), "\n") != 300+ends {
			t.Errorf("%s: %d lines, want all", accept, strings.Count(string(a.body), "\n"))
		}
		// The parameters limit and cursor hold for lines, too, and Link leads to the next page.
		a := g.get(t, "/buckets/shop/keys?limit=10", "Accept: "+accept).is(t, 200)
		if strings.Count(string(a.body), "\n") != 10+ends ||
			!strings.Contains(a.header.Get("Link"), "cursor=") {
			t.Errorf("%s: %d lines, Link %q",
				accept, strings.Count(string(a.body), "\n"), a.header.Get("Link"))
		}
	}
}

// A cursor is a position in the order of names. It continues there, whatever has happened to the
// key meanwhile.
func TestCursorIsAPositionAmongNames(t *testing.T) {
	t.Parallel()
	g := start(t)
	kv := g.bucketOf(t, "shop", "a", "b", "c", "d")
	g.bucketOf(t, "other", "a", "b", "c", "d")
	next := func(target string) string {
		t.Helper()
		n, _ := g.get(t, target).is(t, 200).object(t)["next"].(string)
		if n == "" {
			t.Fatalf("%s has no next", target)
		}
		return url.QueryEscape(n)
	}
	cursor := next("/buckets/shop/keys?limit=2")
	deleteKey(t, kv, "b")
	put(t, kv, "b1", "v")
	put(t, kv, "a1", "v")
	got := stringsOf(g.get(t, "/buckets/shop/keys?cursor="+cursor).is(t, 200).object(t)["keys"])
	if !slices.Equal(got, []string{"b1", "c", "d"}) {
		t.Errorf("after b: %q", got)
	}
	// In another list it is refused.
	for _, target := range []string{
		"/buckets/other/keys?x", "/buckets/shop/keys?filter=*", "/buckets/shop/keys?prefix=a",
		"/buckets/shop/keys?delimiter=.",
		"/buckets/shop/markers?x", "/buckets?x", "/buckets/shop/keys?filter=>",
	} {
		g.get(t, strings.TrimSuffix(target, "x")+"&cursor="+cursor).
			problem(t, 400, "invalid-cursor")
	}
	markers := next("/buckets/shop/markers?limit=1")
	g.get(t, "/buckets/shop/keys?cursor="+markers).problem(t, 400, "invalid-cursor")
	g.get(t, "/buckets/shop/markers?cursor="+markers).is(t, 200)
	for _, forged := range []string{
		"x", "!", "AAAA", "%00", "YQ", cursor[:len(cursor)-1], strings.ToLower(cursor) + "=",
		"é", "null",
	} {
		g.get(t, "/buckets/shop/keys?cursor="+forged).problem(t, 400, "invalid-cursor")
	}
}

// A list that is read while others write is complete: it has each key that is there all the time
// once, and in order.
func TestListingUnderWritersIsComplete(t *testing.T) {
	t.Parallel()
	g := start(t)
	// The bucket keeps one revision of a key, so that a value that is overwritten is gone.
	kv := g.bucket(t, jetstream.KeyValueConfig{Bucket: "b", Storage: jetstream.MemoryStorage})
	var keys []string
	for i := range 200 {
		keys = append(keys, fmt.Sprintf("k%03d", i))
		put(t, kv, keys[i], "0")
	}
	stop := make(chan struct{})
	var writers sync.WaitGroup
	for w := range 3 {
		writers.Go(func() {
			for i := w; ; i += 7 {
				select {
				case <-stop:
					return
				default:
					_, err := kv.PutString(t.Context(), keys[i%len(keys)], fmt.Sprint(i))
					if err != nil {
						t.Error(err)
						return
					}
				}
			}
		})
	}
	for range 15 {
		if got := g.listedLines(t, "/buckets/b/keys"); !slices.Equal(got, keys) {
			missing := slices.DeleteFunc(slices.Clone(keys), func(key string) bool {
				return slices.Contains(got, key)
			})
			t.Errorf("%d of %d keys; missing %q", len(got), len(keys), missing)
		}
	}
	close(stop)
	writers.Wait()
}
