package handlers

import (
	"errors"
	"strings"

	"kvgateway/internal/auth"
	"kvgateway/internal/feed"
	"kvgateway/internal/handlers/problem"
	"kvgateway/internal/identity"
	"kvgateway/internal/kvclient"
)

// A store is how a request reaches the buckets: as one NATS identity, with the feeds of that
// identity. Another identity may see another bucket under the same name, so whatever is remembered
// of a bucket belongs to its store and its name together.
type store struct {
	// client reaches the buckets.
	client *kvclient.Client
	// feeds has the live views of the buckets of client.
	feeds *feed.Hub
	// identity is that of a caller whose credential is passed through; nil for the gateway's own.
	identity *identity.Identity
}

// defaultConsistency returns whose answers reads take that do not say it. A read of the leader
// needs other NATS permissions than a direct get, which users have seldom (ADR-31).
func (s store) defaultConsistency() kvclient.Consistency {
	if s.identity != nil {
		return kvclient.Any
	}
	return kvclient.Leader
}

// account returns what tells buckets of one name in several NATS accounts apart, wherever something
// is remembered by the name of a bucket; "" for the gateway's own.
func (s store) account() string {
	if s.identity == nil {
		return ""
	}
	return s.identity.Account()
}

// needsCaller reports whether the requests of a route must have a caller who is known. Everything
// else is open: it tells of the gateway, and nothing of what is stored.
func needsCaller(path string) bool {
	return strings.HasPrefix(path, "/buckets") || path == "/watch" || path == "/tickets" ||
		path == "/access" || path == "/status"
}

// isStream reports whether the requests of a route are answered with a stream of events, and can
// bring a ticket.
func isStream(path string) bool { return strings.HasSuffix(path, "/watch") }

// identify finds out who makes the request, and with which store it is answered. If that fails, the
// request has no caller: what the client says of itself counts for nothing until it is confirmed,
// and the bounds of callers are those of its address.
func (s *Server) identify(x *exchange) error {
	err := s.decideCaller(x)
	if err != nil {
		x.caller, x.gate = nil, nil
	}
	return err
}

// decideCaller is identify for a request that is answered. Otherwise the caller that it leaves
// behind does not count.
func (s *Server) decideCaller(x *exchange) (err error) {
	if err := x.checkTrust(); err != nil {
		return err
	}
	x.store = store{client: s.client, feeds: s.feeds}
	r, ticket := x.request, ""
	if isStream(x.route.pattern) {
		if ticket, err = s.presentedTicket(x); err != nil {
			return err
		}
	}
	gate := s.options.Gate
	if gate == nil && ticket == "" {
		x.caller = auth.Everybody
		return nil
	}
	if gate == nil {
		gate = s.tickets
	}
	presented := &auth.Presented{
		Authorization: r.Header["Authorization"],
		Ticket:        ticket,
		Address:       x.client.credentialAddress(),
	}
	if r.TLS != nil && len(r.TLS.VerifiedChains) > 0 {
		presented.Chain = r.TLS.VerifiedChains[0]
	}
	if x.caller, err = gate.Identify(x.context(), presented); err != nil {
		return err
	}
	x.gate = gate
	if err := s.checkAnonymousHost(x); err != nil {
		return err
	}
	if err := s.checkAmbient(x, ticket); err != nil {
		return err
	}
	if x.caller.Kind == auth.NATS {
		return s.passThrough(x)
	}
	return nil
}

// checkTrust returns an *[auth.Refusal] if the client has presented a certificate that is not
// trusted any more. The connection is closed soon, so that nothing else that it brings counts.
func (x *exchange) checkTrust() error {
	if trust := x.trust(); trust != nil && trust.Err() != nil {
		return &auth.Refusal{Invalid: true, Detail: "The client certificate of this connection " +
			"is not trusted any more. Connect again with another one."}
	}
	return nil
}

// passThrough makes the request be answered as the NATS identity of its caller. The gateway's own
// identity must not serve whoever names any credential.
func (s *Server) passThrough(x *exchange) error {
	if s.options.Identities == nil {
		return &auth.Refusal{Invalid: true,
			Detail: "NATS credentials are not passed through here. Use another credential."}
	}
	gate := s.options.Gate
	i, err := s.options.Identities.Acquire(x.context(), x.caller.NATS, x.client.credentialAddress())
	if errors.Is(err, kvclient.ErrWrongCredential) {
		return auth.ErrNATSRefused
	}
	if err != nil {
		return err
	}
	x.store = store{i.Client(), i.Feeds(), i}
	if x.caller.Name != i.Name() { // The gate did not know yet that NATS accepts it.
		named := *x.caller
		named.Name = i.Name()
		gate.NATSAccepted(&named)
		x.caller = &named
	}
	return nil
}

// hold keeps the identity of the store for something that outlives the request, such as a stream.
// Each hold must be released.
func (s store) hold() {
	if s.identity != nil {
		s.identity.Retain()
	}
}

// hasEnded reports whether NATS does not accept the credential of the identity any more.
func (s store) hasEnded() bool { return s.identity != nil && s.identity.HasEnded() }

// release ends what the request has of the identity, or a hold.
func (s store) release() {
	if s.identity != nil {
		s.identity.Release()
	}
}

// refusalProblem returns the problem of a request whose caller is not known. [Server.challenge]
// adds the header.
func refusalProblem(err error) (problem.Error, bool) {
	refusal, ok := errors.AsType[*auth.Refusal](err)
	if !ok {
		return problem.Error{}, false
	}
	switch {
	case refusal.Limited:
		return problem.Error{Code: problem.Overloaded, Detail: refusal.Detail}, true
	case refusal.Unavailable:
		return problem.New(problem.IssuerUnavailable), true
	}
	return problem.Error{Code: problem.Unauthenticated, Detail: refusal.Detail}, true
}
