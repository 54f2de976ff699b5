package kv_test

import (
	"fmt"
	"strings"
	"testing"

	"kvgateway/internal/kv"
)

// filtersOf parses filters that are separated by spaces.
func filtersOf(t testing.TB, text string) (fs kv.Filters) {
	t.Helper()
	for pattern := range strings.FieldsSeq(text) {
		f, err := kv.ParseFilter(pattern)
		if err != nil {
			t.Fatal(err)
		}
		fs = append(fs, f)
	}
	return fs
}

func TestIntersectSelectsWhatBothSelect(t *testing.T) {
	patterns := strings.Fields("a b a.b a.b.c a.* *.b *.* > a.> a.b.> a.*.c *.> a.*.> *.b.> b.>")
	keys := strings.Fields("a b a.a a.b b.b b.a a.b.c a.a.c b.b.c a.b.c.d b.b.c.d a.b.b c")
	for _, p := range patterns {
		for _, q := range patterns {
			f, g := filtersOf(t, p)[0], filtersOf(t, q)[0]
			both, some := kv.Intersect(f, g)
			if some {
				if _, err := kv.ParseFilter(both.String()); err != nil {
					t.Errorf("%s and %s: %v", p, q, err)
				}
			}
			for _, key := range keys {
				want := f.Matches(key) && g.Matches(key)
				if got := some && both.Matches(key); got != want {
					t.Errorf("%s and %s give %s, which selects %s: %v, want %v",
						p, q, both, key, got, want)
				}
			}
		}
	}
}

func TestNarrowNeverWidens(t *testing.T) {
	for _, row := range []struct{ a, b, want string }{
		{"", "", ">"},
		{"", "a.>", "a.>"},
		{"a.>", "", "a.>"},
		{"a.>", "b.>", ""},
		{"a.> b.>", "b.x *.y", "a.y b.x b.y"},
		{"team.a", "team.ab", ""},
		{"team.a.>", "team.a", ""},
		{"a.* a.b", "a.>", "a.*"},
		{"x x x", "x", "x"},
	} {
		both, some, err := kv.Narrow(filtersOf(t, row.a), filtersOf(t, row.b))
		var texts []string
		for _, f := range both {
			texts = append(texts, f.String())
		}
		if got := strings.Join(texts, " "); err != nil || got != row.want ||
			some != (row.want != "") {
			t.Errorf("%q and %q: %q, %v, %v, want %q", row.a, row.b, got, some, err, row.want)
		}
	}
	var many, other []string
	for i := range 20 {
		many = append(many, strings.Repeat("*.", i)+"k")
		other = append(other, strings.Repeat("*.", i)+">")
	}
	_, _, err := kv.Narrow(filtersOf(t, strings.Join(many, " ")),
		filtersOf(t, strings.Join(other, " ")))
	if err != nil {
		t.Error(err)
	}
	many, other = nil, nil
	for i := range 16 {
		many = append(many, "*.a"+strings.Repeat("a", i))
		other = append(other, "b"+strings.Repeat("b", i)+".*")
	}
	_, some, err := kv.Narrow(filtersOf(t, strings.Join(many, " ")),
		filtersOf(t, strings.Join(other, " ")))
	if err == nil || some {
		t.Error("the filters of 256 keys were not refused")
	}
}

func TestWithin(t *testing.T) {
	for _, row := range []struct {
		narrow, wide string
		want         bool
	}{
		{"", "", true}, {"a", "", true}, {"", "a.>", false}, {"", ">", true},
		{"a.b a.c", "a.*", true}, {"a.b b", "a.*", false}, {"a.>", "a.*", false},
		{"team.ab", "team.a", false}, {"team.a.>", "team.a", false}, {"*", "a b", false},
	} {
		if got := filtersOf(t, row.narrow).Within(filtersOf(t, row.wide)); got != row.want {
			t.Errorf("%q within %q: %v", row.narrow, row.wide, got)
		}
	}
}

// A filter that lies within another one adds nothing, wherever the two stand.
func TestNarrowKeepsNoFilterThatAnotherCovers(t *testing.T) {
	patterns := strings.Fields("a a.b a.* *.b a.> a.b.> *.b.c a.*.c a.b.c *.* >")
	for _, p := range patterns {
		for _, q := range patterns {
			narrowed, some, err := kv.Narrow(filtersOf(t, p+" "+q), nil)
			if err != nil || !some {
				t.Fatalf("%s %s: %v, %v", p, q, some, err)
			}
			want := 2
			if kv.Covers(p, q) || kv.Covers(q, p) {
				want = 1
			}
			if len(narrowed) != want {
				t.Errorf("%s %s: %v", p, q, narrowed)
			}
		}
	}
}

// BenchmarkNarrow narrows as many filters as a request may have to the keys of a team.
func BenchmarkNarrow(b *testing.B) {
	var patterns []string
	for i := range kv.MaxFilters {
		patterns = append(patterns, fmt.Sprintf("team.orders%d.>", i))
	}
	asked, own := filtersOf(b, strings.Join(patterns, " ")), filtersOf(b, "team.> shared.>")
	for b.Loop() {
		if _, _, err := kv.Narrow(asked, own); err != nil {
			b.Fatal(err)
		}
	}
}
