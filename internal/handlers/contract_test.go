package handlers_test

import (
	"strings"
	"testing"
)

// A refusal shows an example of what would be right, and not a regular expression.
func TestRefusalsOfFormAreReadable(t *testing.T) {
	t.Parallel()
	g := start(t)
	g.shop(t)
	for _, tc := range []struct{ method, target, body, code, word string }{
		{"GET", "/buckets/shop/keys/a?min_revision=x", "", "invalid-parameter",
			"such as 1742-k3f9x"},
		{"GET", "/buckets/shop/keys/a?min_revision=1.5", "", "invalid-parameter",
			"min_revision: it must be a revision from 0 to 9007199254740991, a position or an "},
		{"GET", "/buckets/shop/keys/a?min_revision=01", "", "invalid-parameter",
			"min_revision must be a revision from 0 to 9007199254740991, a position or an "},
		{"GET", "/buckets/shop/keys/a?revision=9007199254740992", "", "invalid-parameter",
			"from 1 to 9007199254740991"},
		{"GET", "/buckets/shop/keys?prefix=*", "", "invalid-parameter", `such as "orders."`},
		{"DELETE", "/buckets/shop/markers?older_than=1d", "", "invalid-parameter", "such as 24h"},
		{"PUT", "/buckets/new", `{"ttl":"1d"}`, "invalid-body", "such as 24h"},
		{"PATCH", "/buckets/shop", `{"ttl":"1d"}`, "invalid-body", "such as 24h"},
		{"PATCH", "/buckets/shop", `{"limit_marker_ttl":"one hour"}`, "invalid-body", "such as 1h"},
		{"PATCH", "/buckets/shop", `{"storage":"paper"}`, "invalid-body", "such as file"},
		{"PUT", "/buckets/new", `{"mirror":{"name":"a.b"}}`, "invalid-body", "such as shop"},
		{"PUT", "/buckets/new", `{"history":65}`, "invalid-body", "from 1 to 64"},
	} {
		detail, _ := g.do(t, tc.method, tc.target, tc.body, jsonType).
			problem(t, 400, tc.code)["detail"].(string)
		if !strings.Contains(detail, tc.word) || strings.Contains(detail, "regular expression") {
			t.Errorf("%s %s: detail %q, want %q", tc.method, tc.target, detail, tc.word)
		}
	}
}
