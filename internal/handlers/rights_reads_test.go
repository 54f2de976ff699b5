package handlers_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// These are the tests of what callers with rights to a part of a bucket see of it.

// as returns the header line of a caller of the auth file.
func as(name string) string { return "Authorization: Bearer " + tokenOf(name) }

// teams is an auth file whose callers have rights to parts of the bucket shop: ann to team.a, bob
// to team.ab, sue to more names than values, and op to all.
const teams = `
roles:
  a: [{ bucket: shop, keys: ["team.a.>"], can: [read] }]
  ab: [{ bucket: shop, keys: ["team.ab.>"], can: [read] }]
  names: [{ bucket: shop, keys: ["team.>"], can: [list] }]
  value: [{ bucket: shop, keys: ["team.a.*"], can: [get] }]
  op: [{ bucket: "*", can: [admin] }]
tokens:
  - { name: ann, sha256: %s, roles: [a] }
  - { name: bob, sha256: %s, roles: [ab] }
  - { name: sue, sha256: %s, roles: [names, value] }
  - { name: op, sha256: %s, roles: [op] }
`

// startTeams starts a gateway with the callers of teams, and some keys in the bucket shop.
func startTeams(t testing.TB) *gateway {
	t.Helper()
	g := start(t, withAuth(t, teams, "ann", "bob", "sue", "op"))
	kv := g.shop(t)
	for _, key := range []string{
		"team.a.1", "team.a.x.2", "team.ab.1", "team.A.1", "Team.a.1", "team", "team.a", "stock",
	} {
		put(t, kv, key, "of "+key)
	}
	// A name outside the grammar is hidden, and counted for those who could see it.
	g.publish(t, "shop", "team.ab.!", "v", nil)
	return g
}

func TestListHasTheKeysOfTheCaller(t *testing.T) {
	t.Parallel()
	g := startTeams(t)
	for _, c := range []struct {
		caller, query string
		keys          []string
		hidden        int
	}{
		{"ann", "", []string{"team.a.1", "team.a.x.2"}, 0},
		{"ann", "?filter=>", []string{"team.a.1", "team.a.x.2"}, 0},
		{"ann", "?filter=*.*.1", []string{"team.a.1"}, 0},
		{"ann", "?prefix=team.a", []string{"team.a.1", "team.a.x.2"}, 0},
		{"bob", "", []string{"team.ab.1"}, 1},
		{"sue", "", []string{"team.A.1", "team.a", "team.a.1", "team.a.x.2", "team.ab.1"}, 1},
	} {
		listed := g.get(t, "/buckets/shop/keys"+c.query, as(c.caller)).is(t, 200).object(t)
		if got := stringsOf(listed["keys"]); !slices.Equal(got, c.keys) {
			t.Errorf("%s lists %q with %q, want %q", c.caller, got, c.query, c.keys)
		}
		if got := fmt.Sprint(listed["hidden"]); got != fmt.Sprint(c.hidden) {
			t.Errorf("%s is told of %s hidden keys, want %d", c.caller, got, c.hidden)
		}
		lines := g.get(t, "/buckets/shop/keys"+c.query, as(c.caller), asLines).is(t, 200)
		if got := len(linesOf(t, lines)) - 1; got != len(c.keys) {
			t.Errorf("%s gets %d lines with %q, want %d", c.caller, got, c.query, len(c.keys))
		}
	}
	folded := g.get(t, "/buckets/shop/keys?delimiter=.", as("ann")).is(t, 200).object(t)
	if got := stringsOf(folded["prefixes"]); !slices.Equal(got, []string{"team."}) {
		t.Errorf("prefixes are %q", got)
	}
	folded = g.get(t, "/buckets/shop/keys?prefix=team.&delimiter=.", as("ann")).object(t)
	if got := stringsOf(folded["prefixes"]); !slices.Equal(got, []string{"team.a."}) {
		t.Errorf("prefixes below team. are %q", got)
	}
	g.get(t, "/buckets/shop/keys?filter=team.ab.>", as("ann")).problem(t, 403, "forbidden")
	g.get(t, "/buckets/none/keys", as("ann")).problem(t, 403, "forbidden")
}

func TestListDoesNotGetPastAFinerRule(t *testing.T) {
	t.Parallel()
	g := startTeams(t)
	// The names of all teams may be listed, and only some values be read.
	for _, query := range []string{"", "?filter=>", "?filter=team.>", "?filter=team.*.*&filter=>"} {
		page := g.get(t, "/buckets/shop/entries"+query, as("sue")).is(t, 200).object(t)
		if keys := keysOf(page["entries"]); !slices.Equal(keys, []string{"team.a.1"}) {
			t.Errorf("entries%s has %q", query, keys)
		}
	}
	lines := linesOf(t, g.get(t, "/buckets/shop/entries", as("sue"), asLines).is(t, 200))
	if len(lines) != 2 || lines[0]["key"] != "team.a.1" || fmt.Sprint(lines[1]["count"]) != "1" ||
		fmt.Sprint(lines[1]["hidden"]) != "0" {
		t.Errorf("the export has %v", lines)
	}
	g.get(t, "/buckets/shop/entries?key=team.a.1", as("sue")).is(t, 200)
	g.get(t, "/buckets/shop/entries?key=team.a.1&key=team.ab.1", as("sue")).
		problem(t, 403, "forbidden")
	g.get(t, "/buckets/shop/entries?key=team.a.1&filter=team.ab.>", as("sue")).
		problem(t, 403, "forbidden")
	g.get(t, "/buckets/shop/entries?filter=stock", as("sue")).problem(t, 403, "forbidden")
	g.get(t, "/buckets/shop/watch?filter=team.>", as("sue"), "Accept: text/event-stream").
		problem(t, 403, "forbidden")
	g.get(t, "/buckets/shop/markers", as("sue")).problem(t, 403, "forbidden")
}

// keysOf returns the keys of a list of entries.
func keysOf(entries any) (keys []string) {
	for _, entry := range entries.([]any) {
		keys = append(keys, entry.(map[string]any)["key"].(string))
	}
	return keys
}

func TestNamesDifferInCaseAndAtBorders(t *testing.T) {
	t.Parallel()
	g := startTeams(t)
	g.shopNamed(t, "Shop")
	for _, key := range []string{
		"team.ab.1", "team.A.1", "Team.a.1", "team", "team.a", "team.a%2F1",
	} {
		g.get(t, "/buckets/shop/keys/"+key, as("ann")).problem(t, 403, "forbidden")
		g.get(t, "/buckets/shop/entries/~?key="+key, as("ann")).problem(t, 403, "forbidden")
		g.get(t, "/buckets/shop/history/"+key, as("ann")).problem(t, 403, "forbidden")
	}
	g.get(t, "/buckets/Shop/keys/team.a.1", as("ann")).problem(t, 403, "forbidden")
	g.get(t, "/buckets/shop/keys/team.a.1", as("ann")).is(t, 200)
	g.get(t, "/buckets/shop/keys/~?key=team.a.1", as("ann")).is(t, 200)
	g.get(t, "/buckets/sh%6Fp/keys/t%65am.a.1", as("ann")).is(t, 200)
}

func TestCursorOfAnotherCallerIsRefused(t *testing.T) {
	t.Parallel()
	g := startTeams(t)
	for _, path := range []string{"keys", "entries"} {
		target := "/buckets/shop/" + path + "?limit=1"
		next := g.get(t, target, as("ann")).is(t, 200).object(t)["next"].(string)
		g.get(t, target+"&cursor="+next, as("ann")).is(t, 200)
		g.get(t, target+"&cursor="+next, as("op")).problem(t, 400, "invalid-cursor")
		next = g.get(t, target, as("op")).is(t, 200).object(t)["next"].(string)
		g.get(t, target+"&cursor="+next, as("ann")).problem(t, 400, "invalid-cursor")
	}
}

func TestNarrowedFiltersAreBounded(t *testing.T) {
	t.Parallel()
	var keys, ours []string
	for i := range 10 {
		keys = append(keys, fmt.Sprintf("*.k%d", i))
		ours = append(ours, fmt.Sprintf("filter=f%d.*", i))
	}
	g := start(t, withAuth(t, `
roles:
  many: [{ bucket: "*", keys: [`+`"`+strings.Join(keys, `", "`)+`"`+`], can: [read] }]
tokens:
  - { name: ann, sha256: %s, roles: [many] }
`, "ann"))
	put(t, g.shop(t), "f1.k1", "v")
	query := strings.Join(ours, "&")
	for _, path := range []string{"keys?" + query, "entries?" + query, "watch?" + query} {
		g.get(t, "/buckets/shop/"+path, as("ann")).problem(t, 400, "invalid-filter")
	}
	// Each of several buckets has few enough, and all together have too many.
	watches := "watch=a:>&watch=b:>&watch=c:>&watch=d:>&watch=e:>&watch=f:>&watch=g:>"
	g.get(t, "/watch?"+watches, as("ann")).problem(t, 400, "invalid-filter")
	few := g.get(t, "/buckets/shop/keys?filter=f1.*&filter=f2.*", as("ann")).is(t, 200).object(t)
	if got := stringsOf(few["keys"]); !slices.Equal(got, []string{"f1.k1"}) {
		t.Errorf("keys are %q", got)
	}
}

func TestStreamsOfTwoCallersShareNothing(t *testing.T) {
	t.Parallel()
	inBothForms(t, func(t *testing.T, form func(*setup)) {
		g := start(t, form, withAuth(t, teams, "ann", "bob", "sue", "op"))
		kv := g.shop(t)
		put(t, kv, "team.a.1", "of a")
		put(t, kv, "team.ab.1", "of ab")
		put(t, kv, "team.a.1", "of a")
		const target = "/buckets/shop/watch?filter=team.>&include_history=true"
		ann := g.watch(t, target, as("ann"))
		bob := g.watch(t, target, as("bob"))
		all := g.watch(t, target, as("op"))
		ann.wantEvents("put team.a.1", "put team.a.1", "sync")
		bob.wantEvents("put team.ab.1", "sync")
		all.until("sync")
		// The third of these is matched anew, beside two that were just matched.
		for _, key := range []string{"team.a.2", "team.ab.2", "team.A.2", "team.ab.3", "team.a.3"} {
			put(t, kv, key, "v")
		}
		ann.wantEvents("put team.a.2", "put team.a.3")
		bob.wantEvents("put team.ab.2", "put team.ab.3")
		// An id says what its stream showed: that of one caller is not that of another.
		id := all.lastID
		resumed := g.watch(t, target, as("ann"), "Last-Event-ID: "+id)
		first := resumed.next()
		if first.event != "reset" || first.object(t)["reason"] != "filters" {
			t.Errorf("the id of another caller begins with %s %s", first.event, first.data)
		}
		resumed = g.watch(t, target, as("ann"), "Last-Event-ID: "+ann.lastID)
		if first := resumed.next(); first.event == "reset" {
			t.Errorf("the own id begins with %s %s", first.event, first.data)
		}
	})
}

func TestWatchOfSeveralBucketsNeedsEach(t *testing.T) {
	t.Parallel()
	g := startTeams(t)
	g.shopNamed(t, "other")
	for _, query := range []string{
		"watch=shop:team.ab.>", "watch=shop:team.a.>&watch=other", "watch=shop&watch=none",
	} {
		g.get(t, "/watch?"+query, as("ann")).problem(t, 403, "forbidden")
	}
	w := g.watch(t, "/watch?watch=shop", as("ann"))
	w.wantEvents("put team.a.1", "put team.a.x.2", "sync")
}

func TestLongPollsAreOfTheCallersKey(t *testing.T) {
	t.Parallel()
	g := startTeams(t)
	tag := g.get(t, "/buckets/shop/keys/team.ab.1", as("bob")).is(t, 200).tag()
	sent := g.wire.requests(func() {
		g.get(t, "/buckets/shop/keys/team.ab.1", as("ann"), "If-None-Match: "+tag,
			"Prefer: wait=5").problem(t, 403, "forbidden")
	})
	if sent != 0 {
		t.Errorf("%d messages were sent for a poll that is refused", sent)
	}
}
