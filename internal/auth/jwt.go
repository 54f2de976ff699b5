package auth

import (
	"context"
	"crypto"
	"crypto/sha256"
	"encoding/base64"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	josejson "github.com/go-jose/go-jose/v4/json"
)

const (
	// MaxTokenBytes bounds a JWT.
	MaxTokenBytes = 8 << 10
	// maxSkew is by how much the clocks of an issuer and of the gateway may differ, where a time of
	// a token lies in the future.
	maxSkew = time.Minute
	// maxTokenLife is how far in the future the end of a token may lie. A token that is good for
	// longer could as well have no end.
	maxTokenLife = 366 * 24 * time.Hour
	// maxSubjectBytes bounds the subject of a token, which stands in logs.
	maxSubjectBytes = 255
)

// An issuer is an issuer of JWTs as an auth file has it. It does not change.
type issuer struct {
	issuerTerms
	// keys says where its keys are, and inUse are these keys at a gate, once a gate has the policy.
	keys  keySource
	inUse *issuerKeys
}

// issuerTerms are what an auth file says of the tokens of an issuer, beside its keys. What was
// decided by them is void once they differ: a JWT that was valid is checked again, and a ticket is
// good only if its [signedAs] still meets each of them.
type issuerTerms struct {
	// name is the claim iss of its tokens.
	name string
	// audiences are those of which a token must have one.
	audiences []string
	// algorithms are those with which it may sign.
	algorithms []jose.SignatureAlgorithm
	// rolesClaim is the claim with the names of roles.
	rolesClaim string
}

// accept reports whether a token of the issuer that was signed so, and was accepted, would be
// accepted now with the same roles, as far as that does not depend on the key.
func (t *issuerTerms) accept(signed signedAs) bool {
	isAudience := func(audience string) bool { return slices.Contains(t.audiences, audience) }
	return slices.Contains(t.algorithms, signed.Algorithm) &&
		slices.ContainsFunc(signed.Audiences, isAudience) && signed.RolesClaim == t.rolesClaim
}

// isJWT reports whether a token looks like a JWT: its first part of three is a JSON object.
func isJWT(token string) bool {
	header, rest, _ := strings.Cut(token, ".")
	if !strings.Contains(rest, ".") || len(header) < 4 {
		return false
	}
	beginning, err := base64.RawURLEncoding.DecodeString(header[:4])
	return err == nil && strings.HasPrefix(strings.TrimLeft(string(beginning), " \t\r\n"), "{")
}

// An unverifiedJWT is what a JWT says of itself.
type unverifiedJWT struct {
	// Algorithm, KeyID and Type are of its header.
	Algorithm jose.SignatureAlgorithm `json:"alg"`
	KeyID     string                  `json:"kid"`
	Type      string                  `json:"typ"`

	// claims is its body.
	claims claims
}

// errCostlyToken refuses tokens that would be costly to read.
var errCostlyToken = invalid("The token has too much in it: its JSON may be nested 16 deep, and " +
	"have 256 members, or 512 members and items of lists.")

// readJWT takes a JWT apart and checks nothing of what it says. Members that are there twice, and
// those whose names differ in their case, are not what another program would read, so the first are
// an error and the latter are other members. Nothing else of the header is looked at: an address or
// a key in it (jku, x5u, jwk, x5c) is the attacker's. Extensions that must be understood (crit) are
// refused when the signature is checked.
func readJWT(token string) (u unverifiedJWT, err error) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return u, invalid("The token is no signed JWT, which has three parts.")
	}
	encoding := base64.RawURLEncoding.Strict()
	for i, into := range []any{&u, &u.claims} {
		text, err := encoding.DecodeString(parts[i])
		if err == nil && !isCheapJSON(text) {
			return u, errCostlyToken
		}
		if err != nil || josejson.Unmarshal(text, into) != nil {
			return u, invalid("The token is no signed JWT, whose first two parts are JSON " +
				"objects in base64url.")
		}
	}
	return u, nil
}

// A jwtIdentity is who has a JWT, as far as the rights depend on it.
type jwtIdentity struct {
	// Issuer and Subject are the claims iss and sub.
	Issuer, Subject string
	// Roles are the items of the claim with roles.
	Roles []string
	// Values are those of the claims that roles of the policy fill in.
	Values map[string]string
	// Expires is when the token ends.
	Expires time.Time
	// Signed says how the token was signed, and for whom, so that it is known later whether a token
	// like it would still be accepted.
	Signed signedAs
	// Thumbprint is the SHA-256 of the certificate to which the token is bound (RFC 8705 §3.1),
	// in base64url; "" if it is bound to none.
	Thumbprint string

	// key is the one with which the signature was checked; nil if it was that of a ticket.
	key crypto.PublicKey
}

// A signedAs is what the file can stop accepting in tokens of an issuer.
type signedAs struct {
	// Algorithm is the one with which a token was signed, and KeyID the id of the key.
	Algorithm jose.SignatureAlgorithm `json:"a"`
	KeyID     string                  `json:"k,omitempty"`
	// Audiences are those of the token that were accepted.
	Audiences []string `json:"u"`
	// RolesClaim is the claim from which its roles were read.
	RolesClaim string `json:"r"`
}

// verifyJWT checks a JWT as a whole, and returns who has it. It checks what is cheap first. The
// signature is checked only by a key of the issuer that the file names, with an algorithm that the
// file allows for that issuer.
func (p *Policy) verifyJWT(
	ctx context.Context, a *attempt, i *issuer, token string, u unverifiedJWT,
) (*jwtIdentity, *keySet, error) {
	if err := i.checkHeader(u); err != nil {
		return nil, nil, err
	}
	if err := i.checkClaims(u.claims, time.Now()); err != nil {
		return nil, nil, err
	}
	if err := a.mayCheckSignature(); err != nil {
		return nil, nil, err
	}
	keys, err := i.verify(ctx, a, token, u)
	if err != nil {
		return nil, nil, err
	}
	identity, err := p.jwtIdentity(i, u)
	if err != nil {
		return nil, nil, err
	}
	identity.key = keys.find(u.KeyID, u.Algorithm)
	return identity, keys, nil
}

// checkHeader checks the type and the algorithm of a token.
func (i *issuer) checkHeader(u unverifiedJWT) error {
	if !slices.Contains(i.algorithms, u.Algorithm) {
		return invalid("The token is signed with an algorithm that is not allowed here.")
	}
	// RFC 7515 §4.1.9: the type is a media type, whose case does not matter.
	switch strings.TrimPrefix(strings.ToLower(u.Type), "application/") {
	case "", "jwt", "at+jwt":
		return nil
	}
	return invalid("The token is a JWT of another type than an access token (at+jwt or JWT).")
}

// verify checks the signature of a token, and returns the keys by which it was checked. If none has
// the id of the token's key, it fetches the keys, but not when nobody asks for it but a change of
// the policy.
func (i *issuer) verify(
	ctx context.Context, a *attempt, token string, u unverifiedJWT,
) (*keySet, error) {
	signed, err := jose.ParseSignedCompact(token, i.algorithms)
	if err != nil {
		return nil, invalid("The token is no signed JWT.")
	}
	keys := i.inUse.inUse()
	if a.isAsked && (keys == nil || keys.find(u.KeyID, u.Algorithm) == nil) {
		if keys, err = a.renewed(ctx, i.inUse); err != nil {
			return nil, err
		}
	}
	if keys == nil {
		return nil, errNoKeys
	}
	key := keys.find(u.KeyID, u.Algorithm)
	if key == nil {
		return nil, invalid("The token's issuer has no key of that id (kid) for its algorithm.")
	}
	a.hasChecked = true
	if _, err := signed.Verify(key); err != nil {
		return nil, invalid("The signature of the token is not valid.")
	}
	return keys, nil
}

// jwtIdentity returns who has a token, which was checked.
func (p *Policy) jwtIdentity(i *issuer, u unverifiedJWT) (*jwtIdentity, error) {
	c := u.claims
	thumbprint, err := c.thumbprint()
	if err != nil {
		return nil, err
	}
	end, _ := c.time("exp")
	identity := &jwtIdentity{
		Issuer: i.name, Subject: c.text("sub"), Roles: c.words(i.rolesClaim),
		Values: make(map[string]string), Expires: end, Thumbprint: thumbprint,
		Signed: signedAs{u.Algorithm, u.KeyID, i.accepted(c["aud"]), i.rolesClaim},
	}
	for _, name := range p.claimNames {
		if value := c.plain(name); value != "" {
			identity.Values[name] = value
		}
	}
	return identity, nil
}

// isBoundTo reports whether the token may come over a connection with this certificate.
func (j *jwtIdentity) isBoundTo(presented *Presented) bool {
	if j.Thumbprint == "" {
		return true
	}
	if len(presented.Chain) == 0 {
		return false
	}
	sum := sha256.Sum256(presented.Chain[0].Raw)
	return j.Thumbprint == base64.RawURLEncoding.EncodeToString(sum[:])
}

// jwtCaller returns the caller of that identity by the policy. The error is a *[Refusal].
func (p *Policy) jwtCaller(identity *jwtIdentity) (*Caller, error) {
	rights, err := p.rightsOf(identity.Roles, identity.Values)
	if err != nil {
		return nil, err
	}
	return &Caller{
		Kind: JWT, Name: identity.Issuer + "#" + printable(identity.Subject), Rights: rights,
		Expires: identity.Expires, policy: p, identity: identity,
	}, nil
}
