package auth

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"strings"
	"time"
)

// An attempt is what it takes to identify a caller once.
type attempt struct {
	gate      *Gate
	policy    *Policy
	presented *Presented
	// isAsked reports whether a request waits for the answer. If not, the attempt is not limited,
	// and waits for nothing.
	isAsked bool
	// hasChecked reports whether a signature was checked.
	hasChecked bool
}

// invalid returns the refusal of a credential.
func invalid(detail string) *Refusal { return &Refusal{Invalid: true, Detail: detail} }

// errLimited refuses what costs something to check, from clients that ask for too much of it.
var errLimited = &Refusal{Limited: true, Detail: "Too many credentials from your address were " +
	"not valid. Check the credential, and try again after the time in Retry-After."}

// mayCheckSignature returns an error if too many JWTs of the address were refused after a check.
func (a *attempt) mayCheckSignature() error { return a.mayFail(a.gate.wasted) }

// wasteCheck counts a JWT that is refused although its signature was checked.
func (a *attempt) wasteCheck() {
	if a.isAsked && a.presented.Address != "" {
		a.gate.wasted.add(a.presented.Address, time.Now())
	}
}

// mayAskNATS returns an error if NATS has refused too many credentials of the address.
func (a *attempt) mayAskNATS() error { return a.mayFail(a.gate.failures) }

// mayFail returns an error if the address has failed too often.
func (a *attempt) mayFail(f *failures) error {
	if !a.isAsked || a.presented.Address == "" || f.mayTry(a.presented.Address, time.Now()) {
		return nil
	}
	return errLimited
}

// identify returns who presents it. A ticket comes first, then the header, then the certificate. If
// what comes first is not valid, nothing that comes later counts.
func (a *attempt) identify(ctx context.Context) (*Caller, error) {
	switch p := a.presented; {
	case p.Ticket != "":
		return a.identifyTicket(ctx)
	case len(p.Authorization) == 1:
		return a.identifyHeader(ctx, p.Authorization[0])
	case len(p.Authorization) > 1:
		return nil, invalid("Send one Authorization header.")
	case len(p.Chain) > 0:
		return a.policy.identifyCertificate(p.Chain)
	}
	return a.policy.identifyNobody("This needs a credential. Send Authorization: Bearer and a " +
		"token.")
}

// identifyNobody returns the caller of a request without a credential, or a refusal if there may be
// none.
func (p *Policy) identifyNobody(detail string) (*Caller, error) {
	if p.anonymous == nil {
		return nil, &Refusal{Detail: detail}
	}
	return p.anonymous, nil
}

// identifyHeader returns who sends an Authorization header.
func (a *attempt) identifyHeader(ctx context.Context, header string) (*Caller, error) {
	scheme, credential, _ := strings.Cut(header, " ")
	credential = strings.Trim(credential, " ")
	passesThrough := a.policy.nats.Enabled
	if passesThrough {
		if caller := a.identifyNATSHeader(header); caller != nil {
			return caller, nil
		}
	}
	switch {
	case strings.EqualFold(scheme, "Bearer"):
		return a.identifyBearer(ctx, credential)
	case strings.EqualFold(scheme, "Basic") && passesThrough:
		return a.identifyBasic(credential)
	case passesThrough:
		return nil, invalid("Send Authorization: Bearer and a token, or Basic with a user and " +
			"password of NATS.")
	}
	return nil, invalid("This scheme of Authorization is not taken here. Send " +
		"Authorization: Bearer and a token.")
}

// identifyBearer takes a token as one of the gateway's own if it has their prefix, as a JWT if its
// issuer is configured, and else as one of NATS. A token that could be meant for one of them goes
// to no later one, even if it is not valid.
func (a *attempt) identifyBearer(ctx context.Context, token string) (*Caller, error) {
	if strings.HasPrefix(token, TokenPrefix) {
		return a.policy.identifyOwnToken(token)
	}
	if known := a.gate.jwts.get(token); known != nil {
		caller, err := a.identifyKnown(token, known)
		if caller != nil || err != nil {
			return caller, err
		}
	}
	switch {
	case !isVisible(token):
		return nil, invalid("A token has visible ASCII characters only, and is not empty.")
	case isJWT(token):
		return a.identifyJWT(ctx, token)
	case a.policy.nats.Enabled:
		return a.identifyNATSToken(token)
	}
	return nil, errUnknownToken
}

// errUnknownToken refuses tokens of which nothing is known, and those whose time is over.
var errUnknownToken = invalid("The token is not known, or has expired.")

// isVisible reports whether a text consists of visible ASCII characters.
func isVisible(text string) bool {
	for i := range len(text) {
		if text[i] <= ' ' || text[i] > '~' {
			return false
		}
	}
	return text != ""
}

// identifyOwnToken looks up a token of the file. It compares the SHA-256 of tokens, and those need
// no constant time: who measures how many bytes of two hashes are equal learns nothing that helps
// to find a token with more of them.
func (p *Policy) identifyOwnToken(token string) (*Caller, error) {
	hash := sha256.Sum256([]byte(token))
	known := p.tokens[hash]
	if known == nil || known.hasExpired() {
		return nil, errUnknownToken
	}
	if caller := known.caller.Load(); caller != nil {
		return caller, nil
	}
	caller := known.newCaller(p, hash)
	caller.presented = &Presented{Authorization: []string{"Bearer " + token}}
	known.caller.Store(caller)
	return caller, nil
}

// hasExpired reports whether the time of the token is over.
func (t *ownToken) hasExpired() bool {
	return !t.expires.IsZero() && !time.Now().Before(t.expires)
}

// newCaller returns a new caller with the token, which has this hash.
func (t *ownToken) newCaller(p *Policy, hash tokenHash) *Caller {
	return &Caller{
		Kind: OwnToken, Name: t.name, Rights: t.rights, Expires: t.expires,
		policy: p, credential: hash[:],
	}
}

// identifyCertificate returns who has a certificate. If the policy names none of its names, it is
// as if there were no certificate.
func (p *Policy) identifyCertificate(chain []*x509.Certificate) (*Caller, error) {
	caller, err := p.certificateCaller(chain)
	if caller != nil || err != nil {
		return caller, err
	}
	return p.identifyNobody("The auth file of the gateway has no rights for the names in the " +
		"client certificate (URIs and DNS names), and this needs some.")
}

// identifyBasic takes a user and password as those of NATS. The gateway's own tokens and JWTs never
// get there, wherever they stand.
func (a *attempt) identifyBasic(encoded string) (*Caller, error) {
	text, err := base64.StdEncoding.DecodeString(encoded)
	user, password, both := strings.Cut(string(text), ":")
	if err != nil || !both || user == "" {
		return nil, invalid("The scheme Basic needs a user and a password of NATS (RFC 7617).")
	}
	for _, part := range []string{user, password} {
		if strings.HasPrefix(part, TokenPrefix) || isJWT(part) {
			return nil, invalid("This is a token. Send it as Authorization: Bearer.")
		}
	}
	if isNKey(user) || isNKey(password) {
		return nil, invalid(notPassedThrough)
	}
	return a.identifyNATSUser(user, password)
}
