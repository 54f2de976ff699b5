package kv_test

import (
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"kvgateway/internal/kv"
)

// Whatever filters are added and removed, the tree finds those that match, and keeps nothing of
// those that were removed.
func TestFilterTreeAgreesWithTheFilters(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(14, 2))
	random := func(tokens ...string) string {
		parts := make([]string, 1+r.IntN(5))
		for i := range parts {
			parts[i] = tokens[r.IntN(len(tokens))]
		}
		if len(tokens) > 3 && r.IntN(3) == 0 {
			parts[len(parts)-1] = ">"
		}
		return strings.Join(parts, ".")
	}
	var tree kv.FilterTree[string]
	there := make(map[string]*string)
	for range 3_000 {
		filter := random("a", "b", "c", "*", "*")
		if there[filter] == nil {
			there[filter] = &filter
			tree.Set(filter, there[filter])
		} else {
			delete(there, filter)
			tree.Set(filter, nil)
		}
		key, found := random("a", "b", "c"), 0
		tree.Match(key, func(*string) { found++ })
		var all kv.Filters
		for filter := range there {
			f, err := kv.ParseFilter(filter)
			if err != nil {
				t.Fatal(err)
			}
			if all = append(all, f); f.Matches(key) {
				found--
			}
		}
		matches := all.Matches(key)
		has := len(all) > 0 && matches
		if tree.Has(key) != has || all.Matcher().Matches(key) != matches {
			t.Fatalf("%s: matched %v by %v", key, !has, all)
		}
		if found != 0 {
			t.Fatalf("%s: %d too many of %v", key, found, there)
		}
	}
	for filter := range there {
		tree.Set(filter, nil)
	}
	if !reflect.ValueOf(tree).IsZero() {
		t.Errorf("left: %+v", tree)
	}
}
