package auth_test

import (
	"testing"

	"kvgateway/internal/auth"
)

// Rights are equal if the same is allowed by the same rules, wherever these stand in a file.
func TestRightsAreEqualByWhatTheyAllow(t *testing.T) {
	t.Parallel()
	rights := func(rule string) *auth.Rights {
		policy, err := auth.Parse([]byte("roles:\n  r:\n    - " + rule + "\nanonymous: [r]\n"))
		if err != nil {
			t.Fatal(err)
		}
		caller, err := auth.NewGate(policy).Identify(t.Context(), &auth.Presented{})
		if err != nil {
			t.Fatal(err)
		}
		return caller.Rights
	}
	const rule = `{ bucket: shop, keys: ["a.>", b], can: [get] }`
	if !rights(rule).Equal(rights("\n      " + rule)) {
		t.Error("the line of a rule makes a difference")
	}
	for _, other := range []string{
		`{ bucket: "shop*", keys: ["a.>", b], can: [get] }`,
		`{ bucket: shop, keys: ["a.>", c], can: [get] }`,
		`{ bucket: shop, keys: ["a.>"], can: [get] }`,
		`{ bucket: shop, can: [get] }`,
		`{ bucket: shop, keys: ["a.>", b], can: [get, list] }`,
		rule + "\n    - { bucket: more, can: [get] }",
	} {
		if rights(rule).Equal(rights(other)) {
			t.Errorf("equal to %s", other)
		}
	}
	if auth.Everything.Equal(auth.NewRights()) || !auth.Everything.Equal(auth.Everything) {
		t.Error("everything is equal to nothing, or not to itself")
	}
}
