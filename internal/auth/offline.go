package auth

import (
	"context"
	"time"
)

// IdentifyOffline returns who has a bearer token, or who has none if it is "", by the policy alone.
// It fetches nothing. So it cannot check the signature of a JWT whose issuer's keys are at an
// address: isChecked reports whether it has checked everything. The error is that of
// [Gate.Identify].
func (p *Policy) IdentifyOffline(token string) (caller *Caller, isChecked bool, err error) {
	presented := new(Presented)
	if token != "" {
		presented.Authorization = []string{"Bearer " + token}
	}
	gate := NewGate(p)
	attempt := attempt{gate: gate, policy: gate.policy.Load(), presented: presented}
	caller, err = attempt.identify(context.Background())
	if err != errNoKeys {
		return caller, true, err
	}
	caller, err = attempt.policy.identifyUnchecked(token)
	return caller, false, err
}

// identifyUnchecked returns who says that it has a JWT.
func (p *Policy) identifyUnchecked(token string) (*Caller, error) {
	unverified, err := readJWT(token)
	if err != nil {
		return nil, err
	}
	name := unverified.claims.text("iss")
	if err := p.issuers[name].checkClaims(unverified.claims, time.Now()); err != nil {
		return nil, err
	}
	identity, err := p.jwtIdentity(p.issuers[name], unverified)
	if err != nil {
		return nil, err
	}
	return p.jwtCaller(identity)
}
