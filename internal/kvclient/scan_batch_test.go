package kvclient_test

import (
	"slices"
	"testing"

	"kvgateway/internal/kv"
)

// A value with a strange header must not break the listing of its bucket.
func TestStoredHeadersDoNotBreakScans(t *testing.T) {
	t.Parallel()
	for _, name := range sorted(poisons) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, s := gateway(t)
			b := shop(t, c, history(2))
			put(t, b, "a", "1")
			storePoison(t, s.Conn(t), name, poisons[name], "")
			put(t, b, "z", "22")
			listing, err := b.Keys(t.Context(), nil)
			if err != nil {
				t.Fatalf("keys: %v", err)
			}
			want := []string{"a", name, "z"}
			if !slices.Equal(keyNames(listing), want) {
				t.Fatalf("keys %v, want %v", keyNames(listing), want)
			}
			for i, size := range []int{1, 0, 2} {
				e := listing.Entries[i]
				if e.Size() != size || e.Revision != kv.Revision(i+1) {
					t.Errorf("%s: size %d, revision %d; want %d, %d",
						e.Key, e.Size(), e.Revision, size, i+1)
				}
			}
			wantHistory(t, b, name, "put ")
		})
	}
}
