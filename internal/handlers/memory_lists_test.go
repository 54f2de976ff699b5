package handlers_test

import (
	"bytes"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"kvgateway/internal/kvclient"
	"kvgateway/internal/natstest"
)

// startPair runs two gateways before one nats-server, of which the first has the bucket shop in
// memory, and the second has nothing in memory.
func startPair(
	t *testing.T, config jetstream.KeyValueConfig, configure ...func(*setup),
) (memory, server *gateway, kv jetstream.KeyValue) {
	t.Helper()
	return startPairAt(t, natstest.Start(t, natstest.Options{}), config, configure...)
}

// startPairAt is startPair before a server that runs.
func startPairAt(
	t *testing.T, nats *natstest.Server, config jetstream.KeyValueConfig,
	configure ...func(*setup),
) (memory, server *gateway, kv jetstream.KeyValue) {
	t.Helper()
	config.Bucket = "shop"
	kv = natstest.CreateBucket(t, nats.JetStream(t), config)
	at := func(s *setup) {
		s.client = kvclient.Options{URL: nats.URL(), Name: "test", Logger: s.client.Logger}
	}
	memory = start(t, append(configure, at, withMemory(t))...)
	server = start(t, append(configure, at)...)
	return memory, server, kv
}

// untilListed watches the bucket shop and waits until lists are answered from memory.
func (g *gateway) untilListed(t testing.TB, headers ...string) {
	t.Helper()
	g.watch(t, "/buckets/shop/watch?updates_only=true&filter=none", headers...)
	eventually(t, "lists are answered from memory", func() bool {
		before := g.fromMemory(t)
		g.get(t, "/buckets/shop/keys", headers...)
		return g.fromMemory(t) > before
	})
}

// listed are the keys of a bucket that is listed in all ways. The keys of "ab" are beside those
// below "a", at both ends of their range, and must not be taken for them.
var listed = []string{
	"a.x", "a.x.y", "a.y", "a-x", "a/x", "ab.x", "a", "ab", "aa.x", "b.x", "b.x.y.z", "A.x", "c",
	"a.y.z", "a=b.c", "b._", "b.-", "_.a", "zz.top",
}

// fillListed stores the keys, some of which are markers, expire, or have types, by way of the
// gateway.
func fillListed(t *testing.T, g *gateway, kv jetstream.KeyValue) {
	t.Helper()
	types := []string{"application/json", "text/plain", "application/octet-stream"}
	values := []string{`{"n": 1.0}`, "text with \u2028 and \"", "\xff\x00"}
	for i, key := range listed {
		target := "/buckets/shop/keys/" + key
		if i%5 == 3 {
			target += "?ttl=1h"
		}
		g.do(t, "PUT", target, values[i%3], "Content-Type: "+types[i%3]).is(t, 200)
	}
	for i := range 60 {
		put(t, kv, fmt.Sprintf("n.%02d.v", i), "old")
		put(t, kv, fmt.Sprintf("n.%02d.v", i), fmt.Sprint("new", i))
	}
	for i := range 20 {
		deleteKey(t, kv, fmt.Sprintf("n.%02d.v", 3*i))
	}
	purgeKey(t, kv, "b._")
	put(t, kv, "soon", "over")
	g.do(t, "PUT", "/buckets/shop/keys/soon?ttl=1s", "over").is(t, 200)
}

// lists are the requests that are compared, each with its media type.
func lists() (targets [][2]string) {
	narrowed := []string{
		"", "prefix=a", "prefix=a.", "prefix=a.x", "prefix=n.1", "prefix=zz.topped",
		"filter=a.>", "filter=a.*", "filter=*.x", "filter=a&filter=ab.x", "filter=>&filter=a.>",
		"filter=a.>&prefix=a.x", "filter=nothing", "filter=n.*.v&filter=a.>&filter=a.x",
		"filter=*.*.>", "filter=b.>&prefix=ab",
	}
	for _, n := range narrowed {
		for _, limit := range []string{"", "&limit=1", "&limit=7", "&limit=1000"} {
			for _, of := range []string{"keys?", "keys?delimiter=.&", "keys?delimiter=x&",
				"entries?", "entries?values=none&", "entries?values=base64&", "markers?"} {
				if strings.HasPrefix(of, "markers") && strings.Contains(n, "prefix") {
					continue
				}
				target := "/buckets/shop/" + of + n + limit
				targets = append(targets, [2]string{target, "application/json"})
				if !strings.HasPrefix(of, "markers") {
					targets = append(targets, [2]string{target, "application/x-ndjson"})
				}
				if strings.HasPrefix(of, "keys") {
					targets = append(targets, [2]string{target, "text/plain"})
				}
			}
		}
	}
	for _, chosen := range []string{
		"key=a&key=ab.x&key=none", "key=n.00.v&key=c", "key=a&filter=a.>", "key=a.x&prefix=a.",
		"key=c&limit=1&key=a", "key=a&filter=>", "key=a&filter=>&prefix=b",
	} {
		target := "/buckets/shop/entries?" + chosen
		targets = append(targets, [2]string{target, "application/json"},
			[2]string{target, "application/x-ndjson"})
	}
	return targets
}

// cursors matches what two answers of the same list have that differs: cursors, since those of
// memory name a state, and whether the answer is of one, which those of the server mostly are not.
var cursors = regexp.MustCompile(`,"next":"[^"]*"|,"snapshot":(true|false)`)

// form returns what two answers of the same list must have in common. Lines of entries come in no
// order.
func form(a *answer) string {
	body := a.body
	hasNext := bytes.Contains(body, []byte(`,"next":"`))
	body = cursors.ReplaceAll(body, nil)
	if strings.HasPrefix(a.header.Get("Content-Type"), "application/x-ndjson") {
		lines := bytes.SplitAfter(body, []byte("\n"))
		slices.SortFunc(lines, bytes.Compare)
		body = bytes.Join(lines, nil)
	}
	header := a.header.Clone()
	_, hasLink := header["Link"]
	for _, name := range []string{"Date", "X-Request-Id", "Link", "Content-Length"} {
		header.Del(name)
	}
	return fmt.Sprint(a.status, header, hasNext, hasLink, string(body))
}

// nextOf returns the target of the next page, "" if there is none.
func nextOf(t *testing.T, a *answer) string {
	t.Helper()
	link := a.header.Get("Link")
	if link == "" {
		return ""
	}
	return strings.TrimSuffix(strings.TrimPrefix(link, "<"), `>; rel="next"`)
}

// What a list says from memory is what NATS says, byte for byte, for all filters, prefixes,
// delimiters and limits, page by page, with markers, times to live and all kinds of values.
func TestListsFromMemoryAreThoseOfTheServer(t *testing.T) {
	t.Parallel()
	memory, server, kv := startPair(t,
		jetstream.KeyValueConfig{LimitMarkerTTL: time.Hour})
	fillListed(t, server, kv)
	memory.untilListed(t)
	eventually(t, "a value has expired", func() bool {
		return server.get(t, "/buckets/shop/keys/soon").status == 404
	})
	eventually(t, "memory has heard of it", func() bool {
		return memory.get(t, "/buckets/shop/keys/soon?consistency=cached").status == 404
	})
	before, asked := memory.fromMemory(t), 0
	for i, list := range lists() {
		if testing.Short() && i%5 != 0 {
			continue
		}
		accept := "Accept: " + list[1]
		got, want := list[0], list[0]
		for page := 0; got != "" && page < 5; page++ {
			m, s := memory.get(t, got, accept), server.get(t, want, accept)
			if form(m) != form(s) {
				t.Fatalf("%s %s: from memory\n%s\nbut the server says\n%s",
					got, list[1], form(m), form(s))
			}
			if page == 0 {
				asked++
			}
			got, want = nextOf(t, m), nextOf(t, s)
		}
	}
	if read := memory.fromMemory(t) - before; int(read) < asked*9/10 { // some may be late
		t.Errorf("%v of %d lists were answered from memory", read, asked)
	}
}

// A caller sees no more of a list from memory than of one from NATS.
func TestListsFromMemoryAreNarrowed(t *testing.T) {
	t.Parallel()
	rules := withAuth(t, `
roles:
  all: [{ bucket: shop, can: [admin] }]
  some: [{ bucket: shop, keys: ["a.>", "n.*.v"], can: [read] }]
  one: [{ bucket: shop, keys: ["ab.x"], can: [read] }]
tokens:
  - { name: all, sha256: %s, roles: [all] }
  - { name: some, sha256: %s, roles: [some] }
  - { name: one, sha256: %s, roles: [one] }
`, "all", "some", "one")
	memory, server, kv := startPair(t, jetstream.KeyValueConfig{}, rules)
	for _, key := range listed {
		put(t, kv, key, "v")
	}
	put(t, kv, "n.1.v", "v")
	deleteKey(t, kv, "n.1.v")
	memory.untilListed(t, as("all"))
	before := memory.fromMemory(t)
	for _, caller := range []string{"some", "one"} {
		for _, of := range []string{"keys?", "entries?", "keys?delimiter=.&", "markers?"} {
			for _, n := range []string{"", "prefix=a", "filter=>", "filter=a.*&filter=ab.*",
				"filter=c", "limit=2"} {
				for _, accept := range []string{"application/json", "application/x-ndjson"} {
					target := "/buckets/shop/" + of + n
					m := memory.get(t, target, as(caller), "Accept: "+accept)
					s := server.get(t, target, as(caller), "Accept: "+accept)
					if m.status == 200 && form(m) != form(s) || m.status != s.status {
						t.Errorf("%s by %s: from memory\n%s\nbut the server says\n%s",
							target, caller, form(m), form(s))
					}
				}
			}
		}
	}
	if memory.fromMemory(t) == before {
		t.Error("nothing was answered from memory")
	}
}

// All pages of a list are of one revision, also those at another gateway that has it, whatever is
// stored meanwhile. A page that cannot be of it says so.
func TestPagesFromMemoryAreOfOneRevision(t *testing.T) {
	t.Parallel()
	nats := natstest.Start(t, natstest.Options{})
	kv := natstest.CreateBucket(t, nats.JetStream(t), jetstream.KeyValueConfig{Bucket: "shop"})
	at := func(s *setup) {
		s.client = kvclient.Options{URL: nats.URL(), Name: "test", Logger: s.client.Logger}
		s.feeds.LogChanges = 50
	}
	for i := range 30 {
		put(t, kv, fmt.Sprintf("k%02d", i), "v")
	}
	g, other := start(t, withMemory(t), at), start(t, withMemory(t), at)
	g.untilListed(t)
	other.untilListed(t)
	for _, list := range []string{"keys?", "entries?values=none&"} {
		other.get(t, "/buckets/shop/keys").is(t, 200) // so that it is exact at the revision, too
		first := g.get(t, "/buckets/shop/"+list+"limit=10").is(t, 200).object(t)
		put(t, kv, "k05x", "v")
		put(t, kv, "k15x", "v")
		deleteKey(t, kv, "k16")
		second := g.get(t, nextIn(list, first)).is(t, 200).object(t)
		third := other.get(t, nextIn(list, second)).is(t, 200).object(t)
		names := strings.Join(namesOf(first, second, third), " ")
		if want := "k10 k11 k12 k13 k14 k15 k16 k17"; !strings.Contains(names, want) ||
			strings.Contains(names, "x") || len(namesOf(first, second, third)) != 30 {
			t.Errorf("%s: the pages have %s", list, names)
		}
		for _, page := range []map[string]any{second, third} {
			if page["revision"] != first["revision"] || page["snapshot"] == false {
				t.Errorf("%s: a page of %v after one of %v", list, page["revision"],
					first["revision"])
			}
		}
		deleteKey(t, kv, "k05x")
		deleteKey(t, kv, "k15x")
		put(t, kv, "k16", "v")
		eventually(t, "the revision is forgotten", func() bool {
			for range 20 {
				put(t, kv, "k29", "v")
			}
			page := g.get(t, nextIn(list, first)).is(t, 200).object(t)
			return page["snapshot"] == false && page["revision"] != first["revision"]
		})
	}
}

// nextIn returns the target of the page after a page of a list.
func nextIn(list string, page map[string]any) string {
	return "/buckets/shop/" + list + "limit=10&cursor=" + url.QueryEscape(page["next"].(string))
}

// namesOf returns the keys in some pages.
func namesOf(pages ...map[string]any) (names []string) {
	for _, page := range pages {
		if keys, ok := page["keys"]; ok {
			names = append(names, stringsOf(keys)...)
			continue
		}
		for _, e := range page["entries"].([]any) {
			names = append(names, e.(map[string]any)["key"].(string))
		}
	}
	return names
}

// A sweep of markers by another tool takes nothing out of memory: lists are read from there right
// after it, and those of markers once the copy was compared with the store, whether the sweep has
// spared the markers or not.
func TestSweepOfMarkersLeavesReadsInMemory(t *testing.T) {
	t.Parallel()
	for name, age := range map[string]time.Duration{"gone": -1, "spared": time.Hour} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			memory, server, kv := startPair(t, jetstream.KeyValueConfig{History: 3})
			for i := range 9 {
				put(t, kv, fmt.Sprint("k", i), "v")
			}
			memory.untilListed(t)
			for i := range 5 {
				deleteKey(t, kv, fmt.Sprint("k", i))
			}
			memory.get(t, "/buckets/shop/keys").is(t, 200) // so that it has heard of the markers
			if err := kv.PurgeDeletes(t.Context(),
				jetstream.DeleteMarkersOlderThan(age)); err != nil {
				t.Fatal(err)
			}
			for _, list := range []string{"keys", "entries", "markers"} {
				eventually(t, list+" come from memory", func() bool {
					before := memory.fromMemory(t)
					got := form(memory.get(t, "/buckets/shop/"+list))
					if want := form(server.get(t, "/buckets/shop/"+list)); got != want {
						t.Fatalf("from memory %s\nbut the server says %s", got, want)
					}
					only := "Cache-Control: only-if-cached"
					cached := memory.get(t, "/buckets/shop/"+list+"?consistency=cached", only)
					return memory.fromMemory(t) > before && cached.status == 200
				})
			}
		})
	}
}

// A bucket with keys whose names no key can have here is listed by the server, which counts them.
func TestListsOfHiddenKeysCountThem(t *testing.T) {
	t.Parallel()
	for name, atOnce := range map[string]bool{"before the load": true, "after it": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			nats := natstest.Start(t, natstest.Options{})
			memory, server, kv := startPairAt(t, nats, jetstream.KeyValueConfig{})
			put(t, kv, "a", "v")
			if !atOnce {
				memory.untilListed(t)
			}
			_, err := nats.JetStream(t).Publish(t.Context(), "$KV.shop.b%c", nil)
			if err != nil {
				t.Fatal(err)
			}
			if atOnce {
				memory.watch(t, "/buckets/shop/watch?updates_only=true")
				memory.awaitCached(t, 2)
			}
			for _, list := range []string{"keys", "entries", "markers"} {
				got := form(memory.get(t, "/buckets/shop/"+list))
				if want := form(server.get(t, "/buckets/shop/"+list)); got != want {
					t.Errorf("from memory %s\nbut the server says %s", got, want)
				}
			}
		})
	}
}

// What is in memory is listed on the terms of the request, as it is read.
func TestCachedListsKeepTheTerms(t *testing.T) {
	t.Parallel()
	memory, _, kv := startPair(t, jetstream.KeyValueConfig{})
	at := put(t, kv, "a", "v")
	memory.untilListed(t)
	memory.awaitCached(t, at)
	for _, list := range []string{"keys", "entries", "markers"} {
		target := "/buckets/shop/" + list + "?consistency=cached"
		memory.get(t, target, "Cache-Control: max-age=60, only-if-cached").is(t, 200).
			has(t, "KV-Consistency", "cached")
		memory.get(t, target, "Cache-Control: no-cache").is(t, 200).
			has(t, "KV-Consistency", "leader").has(t, "Age", "")
		memory.get(t, target, "Cache-Control: no-cache, only-if-cached").
			problem(t, 504, "not-in-memory")
	}
}
