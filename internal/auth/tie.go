package auth

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"strings"
	"time"
)

// ExpiryNotice is how long before the end of its credential something under way is told of it
// ([CredentialExpiring]), so that its client can come again with another one in time.
const ExpiryNotice = 30 * time.Second

// An End is what has become of the rights with which something under way began.
type End uint8

// The ends.
const (
	// RightsChanged: the caller is not known any more, or may not do this any more.
	RightsChanged End = iota
	// CredentialExpiring: the credential ends within [ExpiryNotice]. What is under way may go on
	// until then. This is not told to what begins within that time.
	CredentialExpiring
	// CredentialExpired: the time of the credential is over.
	CredentialExpired
)

// An Underway is something that goes on after its caller was identified, such as a stream.
type Underway interface {
	// StillAllowed reports whether it may go on with the rights that its caller has now, which it
	// must not keep. It must not call the gate. It can also be called while or shortly after its
	// [Tie] is closed.
	StillAllowed(*Rights) bool

	// End is called when the rights with which it began are gone, or about to be. If the reason is
	// the end of its credential, until is the time of that end. End is called on another goroutine,
	// perhaps once more while or after its [Tie] is closed, and must not block.
	End(reason End, until time.Time)
}

// A Tie ties something under way to its caller, so that it ends with the caller's rights.
// [Gate.Tie] sets it. It is small, since each stream has one, and must not be copied. The zero
// Tie is to nobody.
type Tie struct {
	// caller is the caller; nil if the tie is to nobody.
	caller *tiedCaller
	// index is the place among the ties of the caller.
	index int
	// underway is what ends.
	underway Underway
}

// Tie makes something that is under way end with the rights of its caller, until the tie is
// closed. If the caller was identified by a policy that is not in force any more, it is identified
// anew first. So nothing slips through a change of rules, if it is tied before it begins to send.
// If the credential has no end, or the rights are those that the caller has still, u hears nothing.
func (g *Gate) Tie(t *Tie, caller *Caller, u Underway) {
	tied, current := g.ties.add(t, caller, u, &g.policy)
	if !current {
		g.decideAnew(tied)
	}
}

// Close ends a tie. It can be called more than once, and for the zero Tie.
func (g *Gate) Close(t *Tie) { g.ties.remove(t) }

// Tied returns how many callers have something under way, and how much that is.
func (g *Gate) Tied() (callers, underway int) {
	g.ties.mu.Lock()
	defer g.ties.mu.Unlock()
	return len(g.ties.callers), g.ties.count
}

// Current returns the caller as it is now: with the rights that the policy in force gives it. It
// returns a *[Refusal] if the caller is not known any more, or its credential has ended. As long as
// neither the policy nor the credential has come to an end this costs next to nothing.
func (g *Gate) Current(caller *Caller) (*Caller, error) {
	if caller.policy == g.policy.Load() && !caller.hasExpired(time.Now()) {
		return caller, nil
	}
	return g.identifyAgain(caller)
}

// hasExpired reports whether the credential of the caller has ended.
func (c *Caller) hasExpired(now time.Time) bool {
	return !c.Expires.IsZero() && !now.Before(c.Expires)
}

// SetPolicy puts a policy in force, and ends what it does not allow any more. Each caller with
// something under way is identified once, however much that is. When SetPolicy returns, everything
// that must end has been told so.
func (g *Gate) SetPolicy(policy *Policy) {
	g.put(func(*Policy) *Policy { return policy })
	g.DecideAnew()
}

// DecideAnew ends what is not allowed any more. It is for changes outside of the policy, such as
// other keys of an issuer; SetPolicy does the same.
func (g *Gate) DecideAnew() { g.decideAnew(g.ties.all()...) }

// identityKey makes the ids of callers worthless outside of this process.
var identityKey = func() (key [32]byte) {
	_, _ = rand.Read(key[:]) // It never fails; see its documentation.
	return key
}()

// id returns what the presented identifies as a whole. Two callers with the same id have presented
// the same, so that they are one caller.
func (p *Presented) id() (id [sha256.Size]byte) {
	mac := hmac.New(sha256.New, identityKey[:])
	add := func(part []byte) {
		var size [8]byte
		binary.LittleEndian.PutUint64(size[:], uint64(len(part)))
		mac.Write(size[:])
		mac.Write(part)
	}
	for _, line := range p.Authorization {
		add([]byte(line))
	}
	add([]byte(p.Ticket)) // Its size separates the lines from what follows.
	for _, certificate := range p.Chain {
		add(certificate.Raw)
	}
	mac.Sum(id[:0])
	return id
}

// clone returns a copy that keeps nothing else of the request in memory.
func (p *Presented) clone() *Presented {
	c := *p
	c.Authorization = slices.Clone(p.Authorization)
	for i, line := range c.Authorization {
		c.Authorization[i] = strings.Clone(line)
	}
	c.Ticket, c.Address = strings.Clone(p.Ticket), strings.Clone(p.Address)
	return &c
}
