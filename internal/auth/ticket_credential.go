package auth

import (
	"context"
	"crypto"
	"crypto/hmac"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// A ticketJWT is in a ticket what was in the JWT with which it was made, as far as that decides
// about the rights. The token itself is not needed any more.
type ticketJWT struct {
	// Issuer, Subject, Roles, Values and Thumbprint are those of the [jwtIdentity]. Of the roles it
	// has those that the policy knew.
	Issuer     string            `json:"i"`
	Subject    string            `json:"s"`
	Roles      []string          `json:"r,omitempty"`
	Values     map[string]string `json:"v,omitempty"`
	Thumbprint string            `json:"x,omitempty"`
	// Signed says how the token was signed.
	Signed signedAs `json:"g"`
	// Key is the beginning of the thumbprint (RFC 7638) of the key that has signed it.
	Key []byte `json:"p"`
}

// nameCredential writes into a ticket what names the credential of a caller.
func (p *Policy) nameCredential(t *ticket, key ticketKey, caller *Caller) (err error) {
	switch {
	case caller.ticket != nil:
		return invalid("A ticket cannot be made with a ticket. Send the credential itself.")
	case caller.Kind == OwnToken:
		t.Credential = key.credential(OwnToken, caller.credential)
	case caller.Kind == Certificate:
		t.Credential = key.credential(Certificate, caller.presented.Chain[0].Raw)
	case caller.Kind == NATS:
		t.Credential = caller.credential
	case caller.Kind == JWT:
		t.JWT, err = p.ticketJWT(caller.identity)
		t.Name = "" // It is made of issuer and subject.
	}
	return err
}

// ticketJWT returns what a ticket has of a JWT. It returns a *[Refusal] if its issuer or key is
// gone.
func (p *Policy) ticketJWT(of *jwtIdentity) (*ticketJWT, error) {
	issuer := p.issuers[of.Issuer]
	if issuer == nil {
		return nil, errVoidTicket
	}
	keys := issuer.inUse.inUse()
	if keys == nil {
		return nil, errNoKeys
	}
	j := &ticketJWT{
		Issuer: of.Issuer, Subject: of.Subject, Values: of.Values, Thumbprint: of.Thumbprint,
		Signed: of.Signed, Key: keys.thumbprint(of.Signed),
	}
	for _, name := range of.Roles {
		if p.roles[name] != nil {
			j.Roles = append(j.Roles, name)
		}
	}
	return j, nil
}

// thumbprint returns the beginning of the thumbprint of the key that signs so, nil if there is
// none.
func (s *keySet) thumbprint(signed signedAs) []byte {
	key := s.find(signed.KeyID, signed.Algorithm)
	if key == nil {
		return nil
	}
	k := jose.JSONWebKey{Key: key}
	sum, err := k.Thumbprint(crypto.SHA256)
	if err != nil {
		return nil
	}
	return sum[:credentialID]
}

// errVoidTicket refuses a ticket whose credential is not valid any more.
var errVoidTicket = invalid("The credential that the ticket stands for is not valid any more." +
	newTicketPlease)

// named returns the caller whose credential a ticket names, as the policy knows it.
func (a *attempt) named(ctx context.Context, t *ticket, key ticketKey) (*Caller, error) {
	switch t.Kind {
	case Anonymous:
		if a.policy.anonymous != nil {
			return a.policy.anonymous, nil
		}
	case OwnToken:
		for hash, token := range a.policy.tokens {
			if token.name == t.Name && !token.hasExpired() &&
				hmac.Equal(t.Credential, key.credential(t.Kind, hash[:])) {
				return token.newCaller(a.policy, hash), nil
			}
		}
	case JWT:
		return a.namedByJWT(ctx, t)
	case Certificate:
		return a.namedByCertificate(t, key)
	case NATS:
		return a.namedByNATS(t)
	}
	return nil, errVoidTicket
}

// namedByJWT returns the caller of a ticket that was made with a JWT, if a token like it would
// still be accepted: the terms of its issuer and its key are those of the policy.
func (a *attempt) namedByJWT(ctx context.Context, t *ticket) (*Caller, error) {
	if t.JWT == nil || a.policy.issuers[t.JWT.Issuer] == nil {
		return nil, errVoidTicket
	}
	j, issuer := t.JWT, a.policy.issuers[t.JWT.Issuer]
	if !issuer.accept(j.Signed) {
		return nil, errVoidTicket
	}
	keys := issuer.inUse.inUse()
	if a.isAsked && (keys == nil || keys.thumbprint(j.Signed) == nil) {
		var err error
		if keys, err = a.renewed(ctx, issuer.inUse); err != nil {
			return nil, err
		}
	}
	if keys == nil {
		return nil, errNoKeys
	}
	if used := keys.thumbprint(j.Signed); used == nil || !hmac.Equal(used, j.Key) {
		return nil, errVoidTicket
	}
	caller, err := a.policy.jwtCaller(&jwtIdentity{
		Issuer: j.Issuer, Subject: j.Subject, Roles: j.Roles, Values: j.Values,
		Expires: time.Unix(t.Expires, 0), Signed: j.Signed, Thumbprint: j.Thumbprint,
	})
	if err != nil {
		return nil, err
	}
	if err := a.checkBinding(caller); err != nil {
		return nil, err
	}
	return caller, nil
}

// namedByCertificate returns the caller of a ticket that was made with a client certificate. It
// comes over a connection with the same one: only so does the authority that may have withdrawn it
// decide again.
func (a *attempt) namedByCertificate(t *ticket, key ticketKey) (*Caller, error) {
	chain := a.presented.Chain
	if len(chain) == 0 || !hmac.Equal(t.Credential, key.credential(Certificate, chain[0].Raw)) {
		return nil, invalid("The ticket was made with a client certificate, and is good over " +
			"connections with that certificate only.")
	}
	caller, err := a.policy.certificateCaller(chain)
	if caller == nil && err == nil {
		return nil, errVoidTicket
	}
	return caller, err
}

// namedByNATS returns the caller of a ticket that was made with a credential of NATS. Only a
// gateway that has the credential can present it to NATS, so the ticket is good at the gateway that
// made it, for as long as that one has it in memory.
func (a *attempt) namedByNATS(t *ticket) (*Caller, error) {
	var id tokenHash
	if len(t.Credential) != len(id) || !a.policy.nats.Enabled {
		return nil, errVoidTicket
	}
	copy(id[:], t.Credential)
	caller := a.gate.natsCallers.get(id)
	if caller == nil {
		return nil, invalid("The ticket was made with a credential of NATS, which this gateway " +
			"does not have, or has no more." + newTicketPlease)
	}
	again := *caller
	again.policy = a.policy
	return &again, nil
}
