package auth

import "kvgateway/internal/bound"

// listBounds adds what a gate remembers to the bounds of the gateway, so that they are documented.
// The gate enforces them itself: none of them makes a request wait.
func listBounds(set *bound.Set) {
	set.New(bound.Spec{
		Name: "auth-failures",
		Of: "credentials of one address that are not valid and that cost something to check; " +
			"one is forgiven each second",
		Unit:  bound.Places,
		Limit: failureBurst,
		AtLimit: "credentials that the gateway does not know are answered 429 without a look at " +
			"them; those that it knows are good as before",
	})
	set.New(bound.Spec{
		Name:    "auth-failing",
		Of:      "addresses whose failures are remembered",
		Unit:    bound.Places,
		Limit:   maxFailing,
		AtLimit: "the address is forgotten that has not failed for longest",
	})
	for _, kept := range []struct {
		name, of string
		bytes    int64
	}{
		{"auth-jwts", "JWTs that were valid, with their callers", tokenCacheBytes},
		{"auth-nats", "credentials that NATS knows, with their callers", tokenCacheBytes},
	} {
		set.New(bound.Spec{
			Name: kept.name, Of: kept.of, Unit: bound.Bytes, Limit: kept.bytes,
			AtLimit: "those that were not used for longest are forgotten, and checked again",
		})
	}
}
