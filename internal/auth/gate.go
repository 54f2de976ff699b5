package auth

import (
	"context"
	"crypto/x509"
	"sync"
	"sync/atomic"
)

// Presented is what a request presents of its caller.
type Presented struct {
	// Authorization has the lines of the header of that name.
	Authorization []string
	// Ticket is that of the query, or of the cookie; "" for none. If there is one, nothing else
	// counts.
	Ticket string
	// Chain is the verified chain of the client's certificate, its own first; nil for none.
	Chain []*x509.Certificate
	// Address is the address of the client, for the limits of failures.
	Address string
}

// A Refusal is the error of a request whose caller is not known.
type Refusal struct {
	// Detail says what is wrong with the credential and what to do about it, in words for clients.
	// It has nothing of the credential itself.
	Detail string
	// Invalid reports whether a credential was presented and is not valid (RFC 6750 §3.1).
	Invalid bool
}

// Error returns the detail.
func (r *Refusal) Error() string { return r.Detail }

// TokenPrefix begins the tokens that the gateway makes.
const TokenPrefix = "kvgw_"

// A Gate decides who is calling by the policy in force. Its methods may be called at any time.
type Gate struct {
	// policy is the one in force.
	policy atomic.Pointer[Policy]
	// ticketKeys sign and check its tickets.
	ticketKeys *TicketKeys

	// mu guards followers.
	mu sync.Mutex
	// followers are what ends with the rights of its caller.
	followers map[*Follower]struct{}
}

// NewGate returns a gate with a policy.
func NewGate(policy *Policy) *Gate {
	g := &Gate{ticketKeys: NewTicketKeys(), followers: make(map[*Follower]struct{})}
	g.policy.Store(policy)
	return g
}

// Identify returns who presents something. It returns a *[Refusal] if that is not known, or if it
// presents nothing and callers without a credential are refused.
func (g *Gate) Identify(ctx context.Context, presented *Presented) (*Caller, error) {
	policy := g.policy.Load()
	if presented.Ticket != "" {
		return g.identifyTicket(policy, presented)
	}
	return policy.identify(presented)
}

// NATS returns the settings in force for credentials that are passed through to NATS.
func (g *Gate) NATS() NATSSettings { return g.policy.Load().nats }

// renew returns what a caller is by the policy in force. The error is that of [Gate.Identify].
func (g *Gate) renew(caller *Caller) (*Caller, error) {
	return g.Identify(context.Background(), caller.presented)
}

// SetPolicy puts a policy in force, and ends what it does not allow any more.
func (g *Gate) SetPolicy(policy *Policy) {
	g.policy.Store(policy)
	g.mu.Lock()
	defer g.mu.Unlock()
	for f := range g.followers {
		caller, err := g.renew(f.caller)
		if err != nil || !f.still(caller.Rights) {
			delete(g.followers, f)
			f.end(RightsChanged)
		}
	}
}

// An End is why something that follows its caller is ended.
type End uint8

// The reasons for an end.
const (
	// RightsChanged: the caller is not known any more, or its rights are others.
	RightsChanged End = iota
	// CredentialExpired: the time of the credential is over.
	CredentialExpired
)

// A Follower is something under way that ends with the rights of its caller.
type Follower struct {
	gate   *Gate
	caller *Caller
	still  func(*Rights) bool
	end    func(End)
}

// Follow makes something end with the rights of its caller. still reports whether it may go on with
// the rights that the caller has now. end is called at most once, on another goroutine, when it may
// not, or when the credential has expired; it must not block. The caller of Follow must
// [Follower.Close] what it returns.
func (g *Gate) Follow(caller *Caller, still func(*Rights) bool, end func(End)) *Follower {
	f := &Follower{gate: g, caller: caller, still: still, end: end}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.followers[f] = struct{}{}
	return f
}

// Close ends the following. It is safe to call it on nil and more than once.
func (f *Follower) Close() {
	if f == nil {
		return
	}
	f.gate.mu.Lock()
	defer f.gate.mu.Unlock()
	delete(f.gate.followers, f)
}
