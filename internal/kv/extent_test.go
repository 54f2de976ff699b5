package kv_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"kvgateway/internal/kv"
)

// A mirror of bucket a holds what its patterns select of the subjects below $KV.a., as filters of
// keys. What a transform renames is not held, but may be shown.
func TestExtentOfAMirror(t *testing.T) {
	t.Parallel()
	transform := func(source, destination string) kv.SubjectTransform {
		return kv.SubjectTransform{Source: source, Destination: destination}
	}
	for _, tc := range []struct {
		filter     string
		transforms []kv.SubjectTransform
		want       string // of the extent
		shows      bool
	}{
		{"", nil, "[] true", true},
		{">", nil, "[] true", true},
		{"$KV.>", nil, "[] true", true},
		{"$KV.a.>", nil, "[] true", true},
		{"*.a.>", nil, "[] true", true},
		{"$KV.a.b.>", nil, "[b.>] false", true},
		{"$KV.*.b.>", nil, "[b.>] false", true},
		{"*.*.*.z", nil, "[*.z] false", true},
		{"b.>", nil, "[] false", false},
		{"*", nil, "[] false", false},
		{"$KV.a", nil, "[] false", false},
		{"$KV.b.>", nil, "[] false", false},
		{"", []kv.SubjectTransform{
			transform("$KV.a.b.>", "$KV.a.b.>"), transform("$KV.a.c.*", "$KV.a.c.{{wildcard(1)}}"),
			transform("$KV.a.*.*", "$KV.a.$1.{{ Wildcard( 2 ) }}"), transform("$KV.a.e", ""),
			transform("$KV.b.f", ""),
		}, "[b.> c.* *.* e] false", true},
		{"", []kv.SubjectTransform{
			transform("$KV.a.b", "$KV.a.b"), transform("$KV.a.>", ""),
		}, "[] true", true},
		{"", []kv.SubjectTransform{
			transform("$KV.a.>", "$KV.b.>"), transform("$KV.a.*.*", "$KV.a.$2.$1"),
		}, "[] false", true},
		{"", []kv.SubjectTransform{transform("$KV.a.>", "$KV.b.>")}, "[] false", false},
	} {
		s := kv.Source{Name: "KV_a", FilterSubject: tc.filter, SubjectTransforms: tc.transforms}
		extent := s.Extent()
		if got := fmt.Sprint(extent, extent == nil); got != tc.want || s.ShowsKeys() != tc.shows {
			t.Errorf("%q %v: %s, shows %v", tc.filter, tc.transforms, got, s.ShowsKeys())
		}
		k, err := kv.ParseKey("b.x")
		if err != nil {
			t.Fatal(err)
		}
		held := extent == nil ||
			strings.Contains(tc.want, "b.>") || strings.Contains(tc.want, "*.*")
		if extent.Holds(k) != held {
			t.Errorf("%q %v: holds b.x: %v", tc.filter, tc.transforms, !held)
		}
	}
}

// Such a mirror would be empty for ever. One that another tool has made can still be changed.
func TestMirrorWhoseFilterSelectsNoKeyIsRefused(t *testing.T) {
	t.Parallel()
	for filter, want := range map[string]string{
		"orders.>":        `write "$KV.shop.orders.>"`,
		"$KV.other.>":     `the subject of a key is $KV.shop. followed by the key`,
		"$KV.shop.a.>":    "",
		"$KV.*.orders.*":  "",
		"$KV.shop.orders": "",
		"":                "",
	} {
		c := kv.DefaultBucketConfig()
		c.Mirror = &kv.Source{Name: "shop", FilterSubject: filter}
		err := c.Validate(kv.BucketConfig{})
		refused, ok := errors.AsType[*kv.ConfigError](err)
		if ok != (want != "") || ok && !strings.Contains(refused.Reason, want) {
			t.Errorf("%q: %v", filter, err)
		}
		if err := c.Validate(c); err != nil {
			t.Errorf("%q, as it was: %v", filter, err)
		}
	}
}
