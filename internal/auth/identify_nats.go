package auth

import (
	"encoding/json"
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

// maxNATSBytes is how many bytes the user and password, or the token, may take in the CONNECT that
// shows them to NATS. A server takes 4,096 bytes there unless its max_control_line says otherwise,
// and the rest of the line has some 300 and the name of the connection.
const maxNATSBytes = 3 << 10

// errNATSTooLong refuses credentials that have more.
var errNATSTooLong = invalid("The credential is too long: for NATS, a user with a password, or a " +
	"token, may have 3 KiB here, as JSON.")

// fitsConnect reports whether the parts of a credential fit into a CONNECT, where they stand as
// JSON: some bytes take six there.
func fitsConnect(parts ...string) bool {
	size := 0
	for _, part := range parts {
		if size += len(part); size > maxNATSBytes {
			return false
		}
	}
	size = 0
	for _, part := range parts {
		text, err := json.Marshal(part)
		if err != nil {
			return false
		}
		size += len(text) - len(`""`)
	}
	return size <= maxNATSBytes
}

// identifyNATSUser returns the caller of a user and password that are passed through.
func (a *attempt) identifyNATSUser(user, password string) (*Caller, error) {
	if !fitsConnect(user, password) {
		return nil, errNATSTooLong
	}
	return a.identifyNATS(NATSUser(user, password))
}

// identifyNATSToken returns the caller of a token that is passed through.
func (a *attempt) identifyNATSToken(token string) (*Caller, error) {
	switch {
	case isNKey(token):
		return nil, invalid(notPassedThrough)
	case !fitsConnect(token):
		return nil, errNATSTooLong
	}
	return a.identifyNATS(NATSToken(token))
}

// identifyNATS returns the caller of a credential that is passed through. Whether NATS knows it
// turns out when it is used; see [Gate.NATSAccepted] and [Gate.NATSFailed].
func (a *attempt) identifyNATS(credential *NATSCredential) (*Caller, error) {
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
		return nil, ErrNATSRefused
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

// ErrNATSRefused refuses credentials that NATS has refused. It is a *[Refusal].
var ErrNATSRefused = invalid("NATS does not know this user and password, or this token.")

// NATSAccepted notes that NATS knows the credential of a caller. It is valid then, and passes
// whatever failures its address has, until [Gate.NATSFailed] says that NATS has refused it. The
// caller may be a copy with the name that NATS has given it, and it is this copy that Identify
// returns from now on. A caller with a ticket changes nothing: its end, and what it is good for,
// are those of the ticket.
func (g *Gate) NATSAccepted(caller *Caller) {
	if caller.ticket != nil {
		return
	}
	id := tokenHash(caller.NATS.ID())
	g.refusedNATS.remove(id)
	g.natsCallers.set(id, caller, caller.sizeInCache())
}

// NATSFailed notes that a login with a credential, which was presented from an address, did not end
// in a connection that NATS has accepted. With refused, NATS has said that it does not know the
// credential: NATS is not asked again for it in the next 10 s. It counts as a failure of the
// address, except for a credential that NATS knows, whose login may fail because NATS is busy.
func (g *Gate) NATSFailed(credential NATSID, address string, refused bool) {
	id := tokenHash(credential)
	if refused {
		g.natsCallers.remove(id)
		const size = 100
		g.refusedNATS.set(id, time.Now().Add(refusedNATSLife), size)
	}
	if address != "" && (refused || g.natsCallers.get(id) == nil) {
		g.failures.add(address, time.Now())
	}
}
