package auth

import "time"

// A Kind says by what a caller was recognised.
type Kind uint8

// The kinds of callers.
const (
	// Anonymous callers presented nothing.
	Anonymous Kind = iota
	// OwnToken callers presented a token of the auth file.
	OwnToken
	// JWT callers presented a JSON Web Token of a configured issuer.
	JWT
	// Certificate callers have a client certificate.
	Certificate
	// NATS callers presented a credential that is passed through to NATS.
	NATS
)

// String returns the name of the kind, as logs have it.
func (k Kind) String() string {
	return [...]string{"anonymous", "token", "jwt", "certificate", "nats"}[k]
}

// A Caller is who makes a request. It does not change.
type Caller struct {
	// Kind says by what it was recognised.
	Kind Kind
	// Name is what logs call it. It is unique among the callers of a kind, and has no control
	// characters.
	Name string
	// Rights are what it may do.
	Rights *Rights
	// Expires is when its credential ends; zero if that is not known.
	Expires time.Time
	// NATS is the credential that is passed through to NATS; nil for callers of other kinds. Such a
	// caller has every right, since NATS decides. Its Name is made of the [NATSID] until NATS has
	// said who it is: whoever asks NATS copies the caller and gives the copy another name. What the
	// client calls itself is not used: it may be false, and have any bytes.
	NATS *NATSCredential

	// policy is the policy by which the caller was identified.
	policy *Policy
	// presented is what it presented, so that the gate can decide anew ([Gate.Current]).
	presented *Presented
	// credential is what tells its credential from all others of its kind, for tickets to name it:
	// of a token the hash. It is nil if there is none.
	credential []byte
	// identity is who has its JWT; nil for callers of other kinds.
	identity *jwtIdentity
	// ticket is the ticket with which it came; nil if it presented its credential itself.
	ticket *ticket
}

// Everybody is the caller of every request where there is no auth file.
var Everybody = &Caller{Rights: Everything}
