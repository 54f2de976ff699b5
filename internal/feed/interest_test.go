package feed

import (
	"fmt"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
)

func TestInterestsFindSubscriptionsByKey(t *testing.T) {
	t.Parallel()
	in := newInterests()
	all := []*Subscription{
		subscriptionOf(t), subscriptionOf(t, "a.b"), subscriptionOf(t, "a.b", "a.*", "a.b"),
		subscriptionOf(t, "a.*"), subscriptionOf(t, "a.>", "b"), subscriptionOf(t, "*.b.c"),
	}
	matching := func(key string) (found []int) {
		in.Match(key, func(s *Subscription) {
			if i := slices.Index(all, s); !slices.Contains(found, i) {
				found = append(found, i)
			}
		})
		slices.Sort(found)
		return found
	}
	for _, s := range all {
		in.add(s)
	}
	for key, want := range map[string][]int{
		"a": {0}, "b": {0, 4}, "a.b": {0, 1, 2, 3, 4}, "a.c": {0, 2, 3, 4}, "a.b.c": {0, 4, 5},
	} {
		if got := matching(key); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", key, got, want)
		}
	}
	for _, s := range []int{2, 0} {
		in.remove(all[s])
		in.remove(all[s])
	}
	if got := matching("a.b"); !slices.Equal(got, []int{1, 3, 4}) {
		t.Errorf("after two were removed: %v", got)
	}
	for _, s := range all {
		in.remove(s)
	}
	if len(in.literal)+len(in.wild) != 0 || !reflect.ValueOf(in.tree).IsZero() {
		t.Errorf("%d literal, %d with wildcards, %+v after all were removed",
			len(in.literal), len(in.wild), in.tree)
	}
}

func TestEqualFiltersShareAnEntry(t *testing.T) {
	t.Parallel()
	in := newInterests()
	for range 1000 {
		in.add(subscriptionOf(t, "a.*.b.>", "k"))
	}
	if len(in.wild) != 1 || len(in.literal) != 1 {
		t.Errorf("%d with wildcards, %d literal", len(in.wild), len(in.literal))
	}
}

// A subscription is charged for what it takes: never for less, and not for many times more.
func TestFilterBytesAreWhatFiltersTake(t *testing.T) {
	deep := func(i int) []string {
		var patterns []string
		for j := range 16 {
			patterns = append(patterns, fmt.Sprintf("%d-%d.*%s", i, j, strings.Repeat(".a", 30)))
		}
		return patterns
	}
	literals := func(i int) []string {
		var patterns []string
		for j := range 64 {
			patterns = append(patterns, fmt.Sprintf("some.key.%d.%d", i, j))
		}
		return patterns
	}
	for name, patternsOf := range map[string]func(int) []string{
		"deep": deep, "literals": literals,
		"short": func(i int) []string { return []string{fmt.Sprintf("user.%d.*", i)} },
	} {
		const count = 300
		in := newInterests()
		before := heapInUse()
		var charged int64
		subs := make([]*Subscription, count)
		for i := range subs {
			subs[i] = subscriptionOf(t, patternsOf(i)...)
			in.add(subs[i])
			charged += filterBytes(subs[i].patterns())
		}
		takes := int64(heapInUse() - before)
		t.Logf("%s: %d bytes each, charged %d", name, takes/count, charged/count)
		if takes > charged || charged > 8*takes {
			t.Errorf("%s: %d bytes each, charged %d", name, takes/count, charged/count)
		}
		runtime.KeepAlive(subs)
		runtime.KeepAlive(&in)
	}
}

// heapInUse returns how many bytes live objects take, after a collection.
func heapInUse() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// BenchmarkMatch measures what a change costs if as many filters as one client may have look at
// every token of its key.
func BenchmarkMatch(b *testing.B) {
	in := newInterests()
	var held int64
	key := strings.Repeat("a.", 31) + "z"
	for i := 0; held < 24<<20; i++ {
		var patterns []string
		for j := range 16 {
			bits := fmt.Sprintf("%014b", i*16+j)
			bits = strings.NewReplacer("0", "a.", "1", "*.").Replace(bits)
			patterns = append(patterns, bits+strings.Repeat("*.", 17)+"x")
		}
		s := subscriptionOf(b, patterns...)
		in.add(s)
		held += filterBytes(s.patterns())
	}
	for b.Loop() {
		in.Match(key, func(*Subscription) {})
	}
}
