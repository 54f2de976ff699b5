package auth

import (
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// A Policy is an auth file that was read and checked. It does not change.
type Policy struct {
	// roles are the roles by their names.
	roles map[string]*role
	// claimNames are the claims that any of the roles fills in.
	claimNames []string
	// anonymous is the caller of requests without a credential; nil if they are refused.
	anonymous *Caller
	// tokens are the gateway's own tokens by their SHA-256.
	tokens map[tokenHash]*ownToken
	// issuers are the issuers of JWTs by the name in their tokens.
	issuers map[string]*issuer
	// certificates says which client certificates have which roles.
	certificates []certificateRule
	// nats has the section nats.
	nats NATSSettings
}

// An ownToken is a token of the file.
type ownToken struct {
	name    string
	rights  *Rights
	expires time.Time

	// caller is the caller with the token; nil before the token was presented once.
	caller atomic.Pointer[Caller]
}

// AllowsAnonymous reports whether callers without a credential have any rights.
func (p *Policy) AllowsAnonymous() bool { return p.anonymous != nil }

// NATS returns the settings for credentials that are passed through to NATS.
func (p *Policy) NATS() NATSSettings { return p.nats }

// String says how much the policy has.
func (p *Policy) String() string {
	parts := []string{
		count(len(p.roles), "role"), count(len(p.tokens), "token"),
		count(len(p.issuers), "issuer"), count(len(p.certificates), "certificate"),
	}
	if p.anonymous != nil {
		parts = append(parts, "rights for anonymous callers")
	}
	if p.nats.Enabled {
		parts = append(parts, "credentials of NATS are passed through")
	}
	return strings.Join(parts, ", ")
}

// count returns a number with what it counts.
func count(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return strconv.Itoa(n) + " " + what
}
