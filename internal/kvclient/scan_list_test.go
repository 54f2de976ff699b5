package kvclient_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"kvgateway/internal/kv"
)

func TestMarkers(t *testing.T) {
	t.Parallel()
	c, _ := gateway(t)
	b := shop(t, c, history(3))
	for _, k := range []string{"a", "b.1", "b.2", "c"} {
		put(t, b, k, "v")
	}
	put(t, b, "c", "w")
	one := remove(t, b, "b.1", false)
	two := remove(t, b, "b.2", true)
	listing, err := b.Markers(t.Context(), nil)
	if err != nil || !slices.Equal(names(listing), []string{"b.1", "b.2"}) {
		t.Fatalf("markers %v, %v", names(listing), err)
	}
	if e := listing.Entries[0]; e.Operation != kv.Delete || e.Revision != one || e.Size != 0 {
		t.Errorf("marker %+v", e)
	}
	e := listing.Entries[1]
	if e.Operation != kv.Purge || e.Revision != two || e.Created.IsZero() {
		t.Errorf("marker %+v", e)
	}
	listing, err = b.Markers(t.Context(), filters(t, "b.2", "a", "c"))
	if err != nil || !slices.Equal(names(listing), []string{"b.2"}) {
		t.Errorf("filtered markers %v, %v", names(listing), err)
	}
}

func TestKeys(t *testing.T) {
	t.Parallel()
	c, _ := gateway(t)
	b := shop(t, c, history(3))
	listing, err := b.Keys(t.Context(), nil)
	if err != nil || len(listing.Entries) != 0 || listing.Revision != 0 {
		t.Errorf("empty bucket: %+v, %v", listing, err)
	}
	for _, k := range []string{"b", "a.2", "a.1", "a.1.x", "A", "a/b", "-", "a", "z.9"} {
		put(t, b, k, "1")
		put(t, b, k, "two")
	}
	put(t, b, "deleted", "x")
	remove(t, b, "deleted", false)
	put(t, b, "purged", "x")
	remove(t, b, "purged", true)
	put(t, b, "back", "x")
	remove(t, b, "back", false)
	last := put(t, b, "back", "again")
	for _, tc := range []struct {
		filters []string
		want    []string
	}{
		{nil, []string{"-", "A", "a", "a.1", "a.1.x", "a.2", "a/b", "b", "back", "z.9"}},
		{[]string{">"}, []string{"-", "A", "a", "a.1", "a.1.x", "a.2", "a/b", "b", "back", "z.9"}},
		{[]string{"*"}, []string{"-", "A", "a", "a/b", "b", "back"}},
		{[]string{"a.*"}, []string{"a.1", "a.2"}},
		{[]string{"a.>"}, []string{"a.1", "a.1.x", "a.2"}},
		{[]string{"*.1.>", "*.1"}, []string{"a.1", "a.1.x"}},
		{[]string{"a.*", "*.1"}, []string{"a.1", "a.2"}}, // These overlap.
		{[]string{"a.>", "a.1", "a.*", "b"}, []string{"a.1", "a.1.x", "a.2", "b"}},
		{[]string{"none", "deleted", "purged"}, []string{}},
		{[]string{"a", "a"}, []string{"a"}},
	} {
		if got := keys(t, b, tc.filters...); !slices.Equal(got, tc.want) {
			t.Errorf("%v: %v, want %v", tc.filters, got, tc.want)
		}
	}
	listing, err = b.Keys(t.Context(), filters(t, "back", "b"))
	if err != nil || listing.Revision != last {
		t.Errorf("revision %d, %v; want %d", listing.Revision, err, last)
	}
	for i, size := range []int{len("two"), len("again")} {
		if k := listing.Entries[i]; k.Size() != size || k.Revision == 0 {
			t.Errorf("key %+v", k)
		}
	}
}

func TestListingTakesSixtyFourLongFilters(t *testing.T) {
	t.Parallel()
	c, _ := gateway(t)
	b := shop(t, c, nil)
	var patterns, want []string
	for i := range kv.MaxFilters {
		prefix := fmt.Sprintf("%02d-", i)
		k := prefix + strings.Repeat("k", kv.MaxKeyBytes-len(prefix))
		put(t, b, k, "v")
		patterns, want = append(patterns, k), append(want, k)
	}
	put(t, b, "other", "v")
	if got := keys(t, b, patterns...); strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("%d keys, want %d", len(got), len(want))
	}
}
