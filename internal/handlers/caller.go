package handlers

import (
	"errors"
	"strings"

	"kvgateway/internal/auth"
	"kvgateway/internal/feed"
	"kvgateway/internal/handlers/problem"
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
}

// needsCaller reports whether the requests of a route must have a caller who is known. Everything
// else is open: it tells of the gateway, and nothing of what is stored.
func needsCaller(path string) bool {
	return strings.HasPrefix(path, "/buckets") || path == "/watch" || path == "/tickets" ||
		path == "/access"
}

// isStream reports whether the requests of a route are answered with a stream of events, and can
// bring a ticket.
func isStream(path string) bool { return strings.HasSuffix(path, "/watch") }

// identify finds out who makes the request, and with which store it is answered.
func (s *Server) identify(x *exchange) (err error) {
	x.store = store{s.client, s.feeds}
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
		Address:       x.client.owner,
	}
	if r.TLS != nil && len(r.TLS.VerifiedChains) > 0 {
		presented.Chain = r.TLS.VerifiedChains[0]
	}
	if x.caller, err = gate.Identify(x.context(), presented); err != nil {
		return err
	}
	x.gate = gate
	if err := s.checkAmbient(x, ticket); err != nil {
		return err
	}
	if x.caller.Kind == auth.NATS {
		// The gateway's own identity must not serve whoever names any credential.
		return &auth.Refusal{Invalid: true,
			Detail: "NATS credentials are not passed through here. Use another credential."}
	}
	return nil
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
