package handlers

import (
	"strings"
	"testing"
)

func TestNearestFindsMisspellings(t *testing.T) {
	t.Parallel()
	names := []string{"filter", "history", "limit", "limit_marker_ttl", "leader", "any", "key"}
	for text, want := range map[string]string{
		"filters": "filter", "fitler": "filter", "histroy": "history", "History": "history",
		"limitMarkerTTL": "limit_marker_ttl", "limit-marker-ttl": "limit_marker_ttl",
		"hystori": "history", "leaders": "leader", "lim": "limit", "keys": "key",
		"limit_marker": "limit_marker_ttl", "kimits": "", "bimit": "limit",
		"": "", "x": "", "wait": "", "replicas": "", "-": "",
		strings.Repeat("limit", 100_000): "", "filter" + strings.Repeat("\xff", 58): "",
	} {
		if got := nearest(text, names); got != want {
			t.Errorf("%.80q: %q, want %q", text, got, want)
		}
	}
}

func TestDistanceCountsEdits(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		a, b string
		want int
	}{
		{"", "", 0}, {"a", "", 1}, {"", "ab", 2}, {"ab", "ba", 1}, {"kitten", "sitting", 3},
		{"abc", "abc", 0}, {"abcd", "acbd", 1}, {strings.Repeat("a", 64), "", 64},
		{strings.Repeat("a", 65), "a", maxMisspelt},
	} {
		if got := distance(tc.a, tc.b); got != tc.want {
			t.Errorf("%q and %q: %d, want %d", tc.a, tc.b, got, tc.want)
		}
		if got := distance(tc.b, tc.a); got != tc.want {
			t.Errorf("%q and %q: %d, want %d", tc.b, tc.a, got, tc.want)
		}
	}
}
