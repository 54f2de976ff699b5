package kv_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"

	"kvgateway/internal/kv"
	"kvgateway/internal/natstest"
)

func TestParseFilter(t *testing.T) {
	for _, s := range []string{
		"a", "*", ">", "a.*", "a.>", "*.*", "*.>", "a.*.c", "*.b.*", "a/b.*", "=.>",
		strings.Repeat("k", kv.MaxFilterBytes),
		strings.Repeat("*.", kv.MaxWildcardTokens-1) + ">", strings.Repeat("k.", 511) + "k",
	} {
		if f, err := kv.ParseFilter(s); err != nil || f.String() != s {
			t.Errorf("ParseFilter(%.40q) = %.40q, %v", s, f, err)
		}
	}
	for _, tc := range []struct {
		filter string
		offset int
	}{
		{"", 0}, {".", 0}, {".>", 0}, {"a.", 1}, {"a..*", 2}, {"*.", 1},
		{"user*", 4}, {"*user", 0}, {"a.b*", 3}, {"a.user>", 6}, {">a", 0},
		{"**", 0}, {"*>", 0}, {">>", 0}, {"a.**.b", 2},
		{"a.>.b", 2}, {">.a", 0}, {">.>", 0}, {"*.>.*", 2},
		{"a b", 1}, {"é", 0}, {"a.\x00", 2}, {"a,b", 1}, {"a.*\n", 3},
		{strings.Repeat("k", kv.MaxFilterBytes+1), kv.MaxFilterBytes},
	} {
		_, err := kv.ParseFilter(tc.filter)
		if err == nil {
			t.Errorf("ParseFilter(%.40q) accepts", tc.filter)
			continue
		}
		wantOffset(t, err, "filter", tc.offset)
	}
}

// isFilter reports what the contract says of a filter: it consists of tokens, of which * stands
// for any one token, and > as the last for the rest.
func isFilter(s string) bool {
	tokens := strings.Split(s, ".")
	for i, token := range tokens {
		switch {
		case token == "*", token == ">" && i == len(tokens)-1:
		case !adr8Key.MatchString(token):
			return false
		}
	}
	if strings.ContainsAny(s, "*>") && len(tokens) > kv.MaxWildcardTokens {
		return false
	}
	return len(s) <= kv.MaxFilterBytes
}

func TestFiltersHaveBoundedTokens(t *testing.T) {
	wild := strings.Repeat("a.", kv.MaxWildcardTokens-1) + "*"
	longest := strings.Repeat("k.", 511) + "k"
	for name, patterns := range map[string][]string{
		"a wildcard behind too many tokens": {"a." + wild},
		"too many tokens in all":            {longest, "a"},
		"too many tokens of wildcards":      append(slices.Repeat([]string{wild}, 16), "a"),
		"too many filters":                  slices.Repeat([]string{"a"}, kv.MaxFilters+1),
	} {
		_, err := kv.ParseFilters(patterns)
		if e, ok := errors.AsType[*kv.SyntaxError](err); !ok || e.What != "filters" {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, patterns := range map[string][]string{
		"none":              nil,
		"the longest key":   {longest},
		"as many as may be": slices.Repeat([]string{wild}, 16),
		"64 short ones":     slices.Repeat([]string{"a.b.c.*.e.f.g.>"}, 64),
	} {
		if fs, err := kv.ParseFilters(patterns); err != nil || len(fs) != len(patterns) {
			t.Errorf("%s: %d filters, %v", name, len(fs), err)
		}
	}
}

func TestPrefixFilterSelectsAllOfThePrefix(t *testing.T) {
	for prefix, want := range map[string]string{
		"": "", "a": "", ".a": "", "a..b": "",
		"a.": "a.>", "a.b": "a.>", "a.b.": "a.b.>", "a.b.c": "a.b.>",
		strings.Repeat("a.", 100): strings.Repeat("a.", kv.MaxWildcardTokens-1) + ">",
	} {
		f, ok := kv.PrefixFilter(prefix)
		if ok != (want != "") || ok && f.String() != want {
			t.Errorf("%.20q: %q, %v", prefix, f, ok)
		}
	}
}

func FuzzParseFilter(f *testing.F) {
	for _, s := range []string{
		"", "a", "*", ">", "a.*", "a.>.b", "user*", "a..b", "*>", "é", strings.Repeat("*.", 600),
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		filter, err := kv.ParseFilter(s)
		if (err == nil) != isFilter(s) {
			t.Fatalf("%q: %v", s, err)
		}
		if err != nil {
			syntax, ok := errors.AsType[*kv.SyntaxError](err)
			if !ok || syntax.Offset < 0 || syntax.Offset > len(s) {
				t.Fatalf("%q: %v", s, err)
			}
			return
		}
		if filter.String() != s || !server.IsValidSubject(s) {
			t.Fatalf("%q becomes %q, valid for the server: %v", s, filter, server.IsValidSubject(s))
		}
		if k, err := kv.ParseKey(s); err == nil && !filter.Matches(k.String()) {
			t.Fatalf("%q does not select itself", s)
		}
	})
}

// randomKey returns a key of few different tokens, so that random filters match it.
func randomKey(r *rand.Rand) string { return randomTokens(r, "a", "b", "c/d", "e") }

// randomFilter returns a filter for keys like those of randomKey. Many have wildcards.
func randomFilter(r *rand.Rand) string {
	s := randomTokens(r, "a", "b", "c/d", "*", "*")
	switch r.IntN(6) {
	case 0:
		return s + ".>"
	case 1:
		return ">"
	}
	return s
}

func randomTokens(r *rand.Rand, from ...string) string {
	tokens := make([]string, 1+r.IntN(4))
	for i := range tokens {
		tokens[i] = from[r.IntN(len(from))]
	}
	return strings.Join(tokens, ".")
}

// seeded returns a random source, and logs its seed.
func seeded(t *testing.T) *rand.Rand {
	t.Helper()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

func TestFilterMatchesAsTheServerDoes(t *testing.T) {
	r := seeded(t)
	for range 50_000 {
		filter, k := randomFilter(r), randomKey(r)
		f := filters(t, filter)
		want := server.SubjectMatchesFilter(k, filter)
		if got := f[0].Matches(k); got != want {
			t.Fatalf("%s matches %s: %v, the server says %v", filter, k, got, want)
		}
		if got := f.Matches(k); got != want {
			t.Fatalf("union of %s matches %s: %v, want %v", filter, k, got, want)
		}
	}
}

func TestFiltersAreAUnion(t *testing.T) {
	if !(kv.Filters{}).Matches("a") || !kv.Filters(nil).Matches("a.b") {
		t.Error("an empty union must select every key")
	}
	fs := filters(t, "a.*", "b")
	for k, want := range map[string]bool{
		"a.x": true, "b": true, "a": false, "a.x.y": false, "b.x": false,
	} {
		if fs.Matches(k) != want {
			t.Errorf("%s: %v, want %v", k, !want, want)
		}
	}
}

// randomFilters returns a union of filters. Most are of up to eight, like those of most requests.
func randomFilters(t *testing.T, r *rand.Rand) kv.Filters {
	t.Helper()
	patterns := make([]string, r.IntN(9))
	if r.IntN(4) == 0 {
		patterns = make([]string, r.IntN(60))
	}
	for i := range patterns {
		patterns[i] = randomFilter(r)
	}
	return filters(t, patterns...)
}

func TestCoverIsDisjointAndLosesNothing(t *testing.T) {
	r := seeded(t)
	for range 5_000 {
		fs := randomFilters(t, r)
		cover, exact := fs.Cover()
		for i, a := range cover {
			for _, b := range cover[:i] {
				if server.SubjectsCollide(a, b) {
					t.Fatalf("%v: cover %v is not disjoint", fs, cover)
				}
			}
		}
		for range 20 {
			k := randomKey(r)
			covered := filters(t, cover...).Matches(k)
			if fs.Matches(k) && !covered {
				t.Fatalf("%v: cover %v loses %s", fs, cover, k)
			}
			if exact && covered && !fs.Matches(k) {
				t.Fatalf("%v: cover %v is called exact, but selects %s", fs, cover, k)
			}
		}
	}
}

func TestCoverStaysExactWhereItCan(t *testing.T) {
	for _, tc := range []struct {
		filters []string
		cover   string
		exact   bool
	}{
		{nil, ">", true},
		{[]string{"a"}, "a", true},
		{[]string{"a", "a"}, "a", true},
		{[]string{"a.*", "a.b"}, "a.*", true},
		{[]string{"a.b", "a.*"}, "a.*", true},
		{[]string{"a.>", "a.*.c", "b"}, "a.>,b", true},
		{[]string{"a", "a.>"}, "a,a.>", true}, // a.> does not select a.
		{[]string{"a.*", "*.b"}, ">", false},
		{patterns("a.*.%d", 16), strings.Join(patterns("a.*.%d", 16), ","), true},
		{patterns("a.*.%d", 17), "a.>", false},
		{append(patterns("*.%d.x", 17), "a", "b.c"), ">", false},
		{append(patterns("a.*.%d", 17), "a", "b.*"), "a.>,a,b.*", false},
		{patterns("a.%d.*", 64), strings.Join(patterns("a.%d.*", 64), ","), true},
		{patterns("a.%d", 64), strings.Join(patterns("a.%d", 64), ","), true},
		{append(patterns("a.*.%d", 17), "a.*.3"), "a.>", false},
		{append(patterns("a.b.*.%d", 9), patterns("a.*.c.%d", 9)...), "a.>", false},
		{append(patterns("a.*.%d", 16), "a.b.*.x"), "a.>", false},
		{slices.Concat(patterns("*.%d", 9), patterns("a.*.b.%d", 9), []string{"c"}), ">", false},
	} {
		cover, exact := filters(t, tc.filters...).Cover()
		if strings.Join(cover, ",") != tc.cover || exact != tc.exact {
			t.Errorf("%v: %v, exact %v; want %s, %v", tc.filters, cover, exact, tc.cover, tc.exact)
		}
	}
}

func filters(t testing.TB, patterns ...string) kv.Filters {
	t.Helper()
	var fs kv.Filters
	for _, p := range patterns {
		f, err := kv.ParseFilter(p)
		if err != nil {
			t.Fatal(err)
		}
		fs = append(fs, f)
	}
	return fs
}

// patterns returns n patterns, in which the numbers from 0 on take the place of the verb.
func patterns(pattern string, n int) []string {
	var all []string
	for i := range n {
		all = append(all, fmt.Sprintf(pattern, i))
	}
	return all
}

func TestServerTakesEveryCover(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t, natstest.Options{})
	js := s.JetStream(t)
	_, err := js.CreateKeyValue(t.Context(),
		jetstream.KeyValueConfig{Bucket: "shop", Storage: jetstream.MemoryStorage})
	if err != nil {
		t.Fatal(err)
	}
	create := func(subjects []string) error {
		consumer, err := js.CreateConsumer(t.Context(), "KV_shop", jetstream.ConsumerConfig{
			FilterSubjects: subjects,
			MemoryStorage:  true,
		})
		if err == nil {
			err = js.DeleteConsumer(t.Context(), "KV_shop", consumer.CachedInfo().Name)
		}
		return err
	}
	if err := create([]string{"$KV.shop.a.*", "$KV.shop.a.b"}); err == nil {
		t.Error("the server takes overlapping filters now: covers are not needed any more")
	}
	r := seeded(t)
	for range 200 {
		fs := randomFilters(t, r)
		cover, _ := fs.Cover()
		for i := range cover {
			cover[i] = "$KV.shop." + cover[i]
		}
		if err := create(cover); err != nil {
			t.Fatalf("%v: cover %v: %v", fs, cover, err)
		}
	}
}
