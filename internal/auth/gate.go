package auth

import (
	"context"
	"crypto/x509"
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

	// followers are what is under way and ends with the rights of its caller.
	followers followers
}

// NewGate returns a gate with a policy.
func NewGate(policy *Policy) *Gate {
	g := &Gate{ticketKeys: NewTicketKeys(), followers: newFollowers()}
	g.policy.Store(policy)
	return g
}

// Identify returns who presents something. It returns a *[Refusal] if that is not known, or if it
// presents nothing and callers without a credential are refused.
func (g *Gate) Identify(ctx context.Context, presented *Presented) (*Caller, error) {
	policy := g.policy.Load()
	caller, err := g.identify(policy, presented)
	if err != nil {
		return nil, err
	}
	caller.policy = policy
	return caller, nil
}

// identify returns a new caller, by a policy.
func (g *Gate) identify(policy *Policy, presented *Presented) (*Caller, error) {
	if presented.Ticket != "" {
		return g.identifyTicket(policy, presented)
	}
	return policy.identify(presented)
}

// identifyAgain is Identify for what a caller presented earlier. It must be cheap, and must not
// count against the limits of failures: a change of the policy calls it for each caller with
// something under way.
func (g *Gate) identifyAgain(presented *Presented) (*Caller, error) {
	return g.Identify(context.Background(), presented)
}

// NATS returns the settings in force for credentials that are passed through to NATS.
func (g *Gate) NATS() NATSSettings { return g.policy.Load().nats }
