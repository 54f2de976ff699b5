package auth

import (
	"context"
	"slices"
	"strings"
	"time"
)

// A knownJWT is a JWT that was valid. It does not change.
type knownJWT struct {
	// issuer and keys are those by which it was checked. If others are in force, the check counts
	// no more.
	issuer *issuer
	keys   *keySet
	// claimNames are those that the policy asked for then.
	claimNames []string
	// caller is its caller by the policy of then. It has no certificates, even if the token is
	// bound to one; see [attempt.over].
	caller *Caller
}

// identifyJWT returns who has a JWT that is not known yet.
func (a *attempt) identifyJWT(ctx context.Context, token string) (*Caller, error) {
	if len(token) > MaxTokenBytes {
		return nil, invalid("The token is too long: a JWT may have 8 KiB here.")
	}
	unverified, err := readJWT(token)
	if err != nil {
		return nil, err
	}
	name, _ := unverified.claims["iss"].(string)
	issuer := a.policy.issuers[name]
	if issuer == nil {
		return a.identifyForeignJWT(token, unverified)
	}
	caller, err := a.checkJWT(ctx, issuer, token, unverified)
	if err != nil && a.hasChecked {
		a.wasteCheck()
	}
	return caller, err
}

// checkJWT checks a JWT of an issuer, and returns who has it. What is valid is known from then on.
func (a *attempt) checkJWT(
	ctx context.Context, issuer *issuer, token string, unverified unverifiedJWT,
) (*Caller, error) {
	identity, keys, err := a.policy.verifyJWT(ctx, a, issuer, token, unverified)
	if err != nil {
		return nil, err
	}
	caller, err := a.policy.jwtCaller(identity)
	if err != nil {
		return nil, err
	}
	caller.presented = &Presented{Authorization: a.presented.clone().Authorization}
	over, err := a.over(caller)
	if err != nil {
		return nil, err
	}
	a.gate.jwts.set(strings.Clone(token), &knownJWT{issuer, keys, a.policy.claimNames, caller},
		caller.sizeInCache())
	return over, nil
}

// identifyKnown returns the caller of a JWT that was valid, nil if it must be checked again. It is
// not checked again, but for its end and its certificate, until its issuer or the keys change.
func (a *attempt) identifyKnown(token string, known *knownJWT) (*Caller, error) {
	caller := known.caller
	issuer := a.policy.issuers[caller.identity.Issuer]
	switch {
	case issuer != known.issuer || issuer.inUse.inUse() != known.keys:
		return nil, nil
	case caller.hasExpired(time.Now()):
		a.gate.jwts.remove(token)
		return nil, nil
	case caller.policy == a.policy:
		return a.over(caller)
	case !slices.Equal(known.claimNames, a.policy.claimNames):
		return nil, nil
	}
	again, err := a.policy.jwtCaller(caller.identity)
	if err != nil {
		return nil, err
	}
	again.presented = caller.presented
	a.gate.jwts.set(strings.Clone(token), &knownJWT{issuer, known.keys, a.policy.claimNames, again},
		again.sizeInCache())
	return a.over(again)
}

// over returns the caller with a JWT as it comes over this connection, or an error if the token is
// bound to the certificate of another one. What others have presented together with the same token
// does not count, neither now nor when the caller is decided anew.
func (a *attempt) over(caller *Caller) (*Caller, error) {
	if caller.identity.Thumbprint == "" {
		return caller, nil
	}
	if err := a.checkBinding(caller); err != nil {
		return nil, err
	}
	own := *caller
	own.presented = &Presented{
		Authorization: caller.presented.Authorization, Chain: a.presented.Chain,
	}
	return &own, nil
}

// checkBinding returns an error if the token of a caller is bound to a certificate that this
// connection does not have.
func (a *attempt) checkBinding(caller *Caller) error {
	if caller.identity.isBoundTo(a.presented) {
		return nil
	}
	return invalid("The token is bound to a client certificate (cnf), and comes without it.")
}

// identifyForeignJWT takes a JWT of an issuer that is not configured as a token of NATS, since NATS
// can ask a service of its own about it (auth callout).
func (a *attempt) identifyForeignJWT(token string, u unverifiedJWT) (*Caller, error) {
	switch {
	case strings.HasPrefix(strings.ToLower(string(u.Algorithm)), "ed25519"):
		return nil, invalid(notPassedThrough)
	case a.policy.nats.Enabled:
		return a.identifyNATSToken(token)
	}
	return nil, errForeignIssuer
}

// errForeignIssuer refuses the tokens of an issuer that the policy does not name.
var errForeignIssuer = invalid("The token is of an issuer whose tokens are not accepted here.")

// sizeInCache returns about how many bytes the caller of a JWT takes in memory.
func (c *Caller) sizeInCache() int {
	const fixed, forRule = 1000, 200
	size := fixed + forRule*len(c.Rights.rules)
	for _, line := range c.presented.Authorization {
		size += 3 * len(line) // once more as a key, and about as much for what was taken from it
	}
	return size
}
