package auth

import (
	"crypto/sha256"
	"encoding/base64"
	"strings"
	"time"
)

// identify is [Gate.Identify] by this policy. The header comes before everything else that may be
// presented.
func (p *Policy) identify(presented *Presented) (*Caller, error) {
	switch len(presented.Authorization) {
	case 0:
		return p.identifyNobody(presented)
	case 1:
	default:
		return nil, invalid("Send one Authorization header.")
	}
	scheme, credential, _ := strings.Cut(presented.Authorization[0], " ")
	credential = strings.Trim(credential, " ")
	switch {
	case strings.EqualFold(scheme, "Bearer"):
		return p.identifyBearer(presented, credential)
	case strings.EqualFold(scheme, "Basic") && p.nats.Enabled:
		return p.identifyBasic(presented, credential)
	case p.nats.Enabled:
		return nil, invalid("Send Authorization: Bearer and a token, or Basic with a user and " +
			"password of NATS.")
	}
	return nil, invalid("Send Authorization: Bearer and a token.")
}

// invalid returns the refusal of a credential.
func invalid(detail string) *Refusal { return &Refusal{Invalid: true, Detail: detail} }

// identifyNobody returns the caller of a request without a credential.
func (p *Policy) identifyNobody(presented *Presented) (*Caller, error) {
	if p.anonymous == nil {
		return nil, &Refusal{Detail: "This needs a credential. Send Authorization: Bearer and a " +
			"token."}
	}
	return &Caller{Rights: p.anonymous, presented: presented}, nil
}

// identifyBearer takes a token as one of the gateway's own if it has their prefix, and as one of
// NATS otherwise.
func (p *Policy) identifyBearer(presented *Presented, token string) (*Caller, error) {
	switch {
	case strings.HasPrefix(token, TokenPrefix):
		return p.identifyOwnToken(presented, token)
	case p.nats.Enabled && token != "":
		return natsCaller(presented, &NATSCredential{Token: token}), nil
	}
	return nil, invalid("The token is not known, or has expired.")
}

// identifyOwnToken looks up a token of the file.
func (p *Policy) identifyOwnToken(presented *Presented, token string) (*Caller, error) {
	hash := sha256.Sum256([]byte(token))
	return p.tokens[hash].caller(presented, hash)
}

// caller returns the caller that has the token with a hash; t is nil if no such token is known.
func (t *ownToken) caller(presented *Presented, hash [sha256.Size]byte) (*Caller, error) {
	if t == nil || !t.expires.IsZero() && !time.Now().Before(t.expires) {
		return nil, invalid("The token is not known, or has expired.")
	}
	return &Caller{
		Kind: OwnToken, Name: t.name, Rights: t.rights, Expires: t.expires,
		presented: presented, credential: hash[:],
	}, nil
}

// identifyBasic takes a user and password as those of NATS. The gateway's own tokens never get
// there, wherever they stand.
func (p *Policy) identifyBasic(presented *Presented, encoded string) (*Caller, error) {
	text, err := base64.StdEncoding.DecodeString(encoded)
	user, password, both := strings.Cut(string(text), ":")
	switch {
	case err != nil || !both || user == "":
		return nil, invalid("The scheme Basic needs a user and a password of NATS (RFC 7617).")
	case strings.HasPrefix(user, TokenPrefix) || strings.HasPrefix(password, TokenPrefix):
		return nil, invalid("This is a token of the gateway. Send it as Authorization: Bearer.")
	}
	return natsCaller(presented, &NATSCredential{User: user, Password: password}), nil
}

// natsCaller returns the caller of a credential that is passed through.
func natsCaller(presented *Presented, credential *NATSCredential) *Caller {
	return &Caller{
		Kind: NATS, Name: credential.Name(), Rights: Everything, NATS: credential,
		presented: presented,
	}
}
