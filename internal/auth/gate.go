package auth

import (
	"context"
	"crypto/x509"
	"maps"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"kvgateway/internal/bound"
)

// Presented is what a request presents of its caller.
type Presented struct {
	// Authorization has the lines of the header of that name.
	Authorization []string
	// Ticket is that of the query, or of the cookie; "" for none. If there is one, nothing else
	// counts.
	Ticket string
	// Chain is the verified chain of the client's certificate, its own first; nil for none. It
	// counts if there is no Authorization.
	Chain []*x509.Certificate
	// Address is the address of the client, or of an IPv6 address the prefix of its site, for the
	// limits of what is dear. If it is "", nothing is limited: that is for Unix sockets, where a
	// permission of the system decides who may connect, and where all of them may be one proxy.
	Address string
}

// A Refusal is the error of a request whose caller is not known.
type Refusal struct {
	// Detail says what is wrong with the credential and what to do about it, in words for clients.
	// It has nothing of the credential itself.
	Detail string
	// Invalid reports whether a credential was presented and is not valid (RFC 6750 §3.1).
	Invalid bool
	// Limited reports whether so many credentials of the client were refused after a signature was
	// checked, or NATS was asked, that the gateway looks for a moment only at those that it knows.
	Limited bool
	// Unavailable reports whether the gateway cannot decide at the moment.
	Unavailable bool
}

// Error returns the detail.
func (r *Refusal) Error() string { return r.Detail }

// TokenPrefix begins the tokens that the gateway makes.
const TokenPrefix = "kvgw_"

const (
	// tokenCacheBytes bounds the JWTs and the credentials of NATS, each, that are kept because they
	// were valid, with their callers.
	tokenCacheBytes = 32 << 20
	// natsHeaderBytes bounds the headers of credentials of NATS that are kept.
	natsHeaderBytes = 8 << 20
	// refusedNATSBytes bounds the ids of credentials that are remembered because NATS has refused
	// them.
	refusedNATSBytes = 1 << 20
)

// Options are what a gate needs beside its policy. The zero Options are good.
type Options struct {
	// Transport fetches the keys of issuers; nil stands for http.DefaultTransport.
	Transport http.RoundTripper
	// KeysFailed is called with the reason if keys of an issuer could not be fetched, or are not
	// used any more. It is called by several goroutines, and must not block. It may be nil.
	KeysFailed func(error)
	// Bounds has all bounds of the gateway; nil if they need not be listed.
	Bounds *bound.Set
}

// A Gate decides who is calling by the policy in force. Its methods may be called at any time.
type Gate struct {
	// options are what NewGateWith was given.
	options Options
	// policy is the one in force: a copy that [Gate.adopt] has made for this gate alone.
	policy atomic.Pointer[Policy]
	// ticketKeys sign and check its tickets.
	ticketKeys *TicketKeys
	// failures limits the logins at NATS that fail, and wasted the checks of signatures of
	// JWTs that are refused.
	failures, wasted *failures
	// keyWaits limits the requests that wait for keys.
	keyWaits *bound.Bound
	// jwts are the JWTs that were valid. They are kept as they are: whoever can read the memory of
	// the process sees those of the next requests, too, and a hash of each would cost a request
	// more than all else that is done to know its caller.
	jwts *generations[string, *knownJWT]
	// natsCallers are the callers whose credentials NATS knows, and natsHeaders the headers from
	// which these were read.
	natsCallers *generations[tokenHash, *Caller]
	natsHeaders *generations[string, knownNATS]
	// refusedNATS has when to ask NATS again for a credential that it has refused.
	refusedNATS *generations[tokenHash, time.Time]

	// changing is held while a policy is put in force. It guards the fields below.
	changing sync.Mutex
	// natsChanged is called with the settings in force; nil for nothing.
	natsChanged func(NATSSettings)
	// keys are the keys of the policy's issuers, by the names of the issuers.
	keys map[string]*issuerKeys

	// ties are what is under way and ends with the rights of its caller.
	ties ties
}

// NewGate returns a gate with a policy.
func NewGate(policy *Policy) *Gate { return NewGateWith(policy, Options{}) }

// NewGateWith returns a gate with a policy and options. The policy may be nil if it is set before
// anybody is identified.
func NewGateWith(policy *Policy, options Options) *Gate {
	if options.Transport == nil {
		options.Transport = http.DefaultTransport
	}
	if options.KeysFailed == nil {
		options.KeysFailed = func(error) {}
	}
	if options.Bounds == nil {
		options.Bounds = bound.NewSet()
	}
	listBounds(options.Bounds)
	g := &Gate{
		options:     options,
		ticketKeys:  NewTicketKeys(),
		failures:    newFailures(natsFailures, natsFailurePause),
		wasted:      newFailures(wastedChecks, wastedCheckPause),
		keyWaits:    newKeyWaits(options.Bounds),
		jwts:        newGenerations[string, *knownJWT](tokenCacheBytes),
		natsCallers: newGenerations[tokenHash, *Caller](tokenCacheBytes),
		natsHeaders: newGenerations[string, knownNATS](natsHeaderBytes),
		refusedNATS: newGenerations[tokenHash, time.Time](refusedNATSBytes),
		ties:        newTies(),
	}
	g.ticketKeys.withdrawn = g.keysChanged
	if policy != nil {
		g.policy.Store(g.adopt(policy))
	}
	return g
}

// Identify returns who presents something. It returns a *[Refusal] if that is not known, if it
// presents nothing and callers without a credential are refused, or if the address has presented
// too much that was not valid; or the error of the context.
func (g *Gate) Identify(ctx context.Context, presented *Presented) (*Caller, error) {
	a := attempt{gate: g, policy: g.policy.Load(), presented: presented, isAsked: true}
	return a.identify(ctx)
}

// Issuers returns the names of the issuers whose JWTs are accepted, in order.
func (g *Gate) Issuers() []string {
	return slices.Sorted(maps.Keys(g.policy.Load().issuers))
}

// FollowNATS calls f with the settings for credentials that are passed through to NATS, now
// and whenever a policy is put in force. It must not call the gate. Only the last f is called.
func (g *Gate) FollowNATS(f func(NATSSettings)) {
	g.changing.Lock()
	defer g.changing.Unlock()
	g.natsChanged = f
	f(g.policy.Load().nats)
}

// NATS returns the settings in force for credentials that are passed through to NATS.
func (g *Gate) NATS() NATSSettings { return g.policy.Load().nats }
