package auth

import (
	"regexp"
	"strings"
	"time"
)

// refusedNATSLife is for how long a credential that NATS has refused is not tried again.
const refusedNATSLife = 10 * time.Second

// notPassedThrough refuses credentials that sign a nonce of the server.
const notPassedThrough = "User JWTs and NKeys of NATS cannot be passed through: their seed would " +
	"have to sign a nonce of the server. Use a user and password or a token of NATS, or a " +
	"credential of the gateway."

// nkeyForm is what public keys and seeds of NATS look like.
var nkeyForm = regexp.MustCompile(`^(U[A-Z2-7]{55}|S[A-Z2-7]{57})$`)

// isNKey reports whether a text looks like a public key or a seed of a user of NATS.
func isNKey(text string) bool { return nkeyForm.MatchString(text) }

// identifyNATS returns the caller of a credential that is passed through. Whether NATS knows it
// turns out when it is used; see [Gate.NATSAccepted] and [Gate.NATSRefused].
func (a *attempt) identifyNATS(credential *NATSCredential) (*Caller, error) {
	if isNKey(credential.Token()) {
		return nil, invalid(notPassedThrough)
	}
	id := credential.ID()
	if caller := a.gate.natsCallers.get(tokenHash(id)); caller != nil {
		if caller.policy != a.policy {
			again := *caller
			again.policy = a.policy
			caller = &again
			a.gate.natsCallers.set(tokenHash(id), caller, caller.sizeInCache())
		}
		header := strings.Clone(a.presented.Authorization[0])
		a.gate.natsHeaders.set(header, knownNATS{caller.NATS, a.policy}, 100+len(header))
		return caller, nil
	}
	if err := a.mayAskNATS(); err != nil {
		return nil, err
	}
	if time.Now().Before(a.gate.refusedNATS.get(tokenHash(id))) {
		return nil, errNATSRefused
	}
	presented := &Presented{Authorization: a.presented.clone().Authorization}
	return &Caller{
		Kind: NATS, Name: "nats-" + id.String(), Rights: Everything, NATS: credential,
		policy: a.policy, presented: presented, credential: id[:],
	}, nil
}

// A knownNATS is a credential that NATS knows, which was read from a header under a policy.
type knownNATS struct {
	credential *NATSCredential
	policy     *Policy
}

// identifyNATSHeader returns the caller of a header that had a credential which NATS knows, nil if
// that is not known. So the header is read once and not for each request.
func (a *attempt) identifyNATSHeader(header string) *Caller {
	known := a.gate.natsHeaders.get(header)
	if known.policy != a.policy {
		return nil
	}
	caller := a.gate.natsCallers.get(tokenHash(known.credential.ID()))
	if caller == nil || caller.policy != a.policy {
		return nil
	}
	return caller
}

// errNATSRefused refuses credentials that NATS has refused.
var errNATSRefused = invalid("NATS does not know this user and password, or this token.")

// NATSAccepted notes that NATS knows the credential of a caller. It is valid then, and passes
// whatever failures its address has, until [Gate.NATSRefused]. The caller may be a copy with the
// name that NATS has given it, and it is this copy that Identify returns from now on. A caller with
// a ticket changes nothing: its end, and what it is good for, are those of the ticket.
func (g *Gate) NATSAccepted(caller *Caller) {
	if caller.ticket != nil {
		return
	}
	id := tokenHash(caller.NATS.ID())
	g.refusedNATS.remove(id)
	g.natsCallers.set(id, caller, caller.sizeInCache())
}

// NATSRefused notes that NATS does not know the credential that a caller presents from an address.
// It counts as a failure of the address, unless that is "", and NATS is not asked again for it in
// the next 10 s. It returns what the client is told.
func (g *Gate) NATSRefused(caller *Caller, address string) *Refusal {
	id := tokenHash(caller.NATS.ID())
	g.natsCallers.remove(id)
	const size = 100
	g.refusedNATS.set(id, time.Now().Add(refusedNATSLife), size)
	if address != "" {
		g.failures.add(address, time.Now())
	}
	return errNATSRefused
}
