package auth

import "kvgateway/internal/bound"

const (
	// maxKeyWaits is how many requests may wait for keys of issuers, which takes up to fetchTime,
	// and maxKeyWaitsOfOne how many of one address.
	maxKeyWaits, maxKeyWaitsOfOne = 1024, 128
)

// newKeyWaits makes the limit of the requests that wait for keys.
func newKeyWaits(set *bound.Set) *bound.Bound {
	return set.New(bound.Spec{
		Name:     "auth-key-waits",
		Of:       "requests that wait until the keys of an issuer of JWTs are fetched",
		Unit:     bound.Places,
		Limit:    maxKeyWaits,
		PerOwner: maxKeyWaitsOfOne,
		AtLimit:  "the answer is 503 issuer-unavailable",
	})
}

// listBounds adds what a gate remembers to the bounds of the gateway, so that they are documented.
// The gate enforces them itself: none of them makes a request wait.
func listBounds(set *bound.Set) {
	set.New(bound.Spec{
		Name: "auth-failures",
		Of: "logins of one address at NATS that failed; one is forgiven each " +
			"second",
		Unit:  bound.Places,
		Limit: natsFailures,
		AtLimit: "NATS is not asked about credentials that it has not accepted yet, and the " +
			"answer is 429; all others are good as before",
	})
	set.New(bound.Spec{
		Name: "auth-checks",
		Of: "JWTs of one address that were refused after the check of their signature; as many " +
			"are forgiven each second",
		Unit:  bound.Places,
		Limit: wastedChecks,
		AtLimit: "JWTs that the gateway does not know are answered 429 without that check; those " +
			"that it knows are good as before",
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
