package handlers

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"kvgateway/internal/auth"
	"kvgateway/internal/handlers/problem"
	"kvgateway/internal/kv"
)

const (
	// ticketParameter is the query parameter that has a ticket.
	ticketParameter = "ticket"
	// ticketCookie is the cookie that has a ticket. Browsers take a cookie of such a name only with
	// Secure and Path=/, and for this host alone (RFC 6265bis §4.1.3.2), so that neither another
	// host of the site nor a page without TLS can set it. Therefore its path is / below a base
	// path, too.
	ticketCookie = "__Host-kvgw-ticket"
)

// TicketKeys returns the keys with which tickets are signed and checked. At first that is a random
// one.
func (s *Server) TicketKeys() *auth.TicketKeys { return s.tickets.TicketKeys() }

// makeTicket answers with a ticket for what the caller wants to watch, or sets it as a cookie.
func (s *Server) makeTicket(x *exchange) error {
	asCookie := x.query.Get("cookie") == "true"
	if asCookie && x.client.scheme != "https" {
		return problem.OfParameter("cookie", "A browser sends the cookie over TLS alone, and this "+
			"request came without. Use https, or leave cookie out and send the ticket in the "+
			"query of the stream. If a proxy has ended TLS, the gateway has to be told of it: "+
			"--trusted-proxy.")
	}
	watched, err := s.ticketRequest(x)
	if err != nil {
		return err
	}
	if err := x.beginChange(); err != nil {
		return err
	}
	ticket, end, err := s.tickets.NewTicket(x.caller, watched)
	if errors.Is(err, auth.ErrTicketTooLong) {
		return problem.OfBody("/watch", fmt.Sprintf("the filters are too long together for a "+
			"ticket, which has at most %d bytes: use wildcards, or several tickets",
			auth.MaxTicket))
	}
	if err != nil {
		return err
	}
	answer := struct {
		Ticket  string `json:"ticket,omitempty"`
		Expires string `json:"expires"`
	}{ticket, end.UTC().Format(time.RFC3339)}
	if asCookie {
		answer.Ticket = ""
		http.SetCookie(x, &http.Cookie{
			Name: ticketCookie, Value: ticket, Path: "/", MaxAge: secondsUntil(end),
			Secure: true, HttpOnly: true, SameSite: http.SameSiteStrictMode,
		})
	}
	return x.respondJSON(http.StatusOK, answer)
}

// secondsUntil returns the whole seconds until a time, at least one.
func secondsUntil(end time.Time) int { return max(1, int(time.Until(end)/time.Second)) }

// ticketRequest reads what the client wants to watch, within the limits of a stream.
func (s *Server) ticketRequest(x *exchange) ([]auth.Watched, error) {
	// A browser lets a page of another site send a form without asking the gateway first, but not a
	// body of this type. So it is checked even if the body is empty.
	if !hasMediaType(x.request.Header, headerJSON[0]) {
		return nil, problem.Error{Code: problem.UnsupportedMediaType,
			Detail: "Send what the ticket is for with Content-Type: application/json."}
	}
	body, err := s.bodies.readJSON(x, headerJSON[0])
	if err != nil {
		return nil, err
	}
	if body, err = x.contract.body(body); err != nil {
		return nil, err
	}
	var request struct {
		Watch []string `json:"watch"`
	}
	if err := json.Unmarshal(body, &request); err != nil {
		return nil, problem.OfBody("", "it is not what the contract asks for")
	}
	var stream watchRequest
	if err := stream.several(request.Watch, x.watchesSome); err != nil {
		return nil, inBody(err, "/watch")
	}
	watched := make([]auth.Watched, len(stream.targets))
	for i, target := range stream.targets {
		watched[i] = auth.Watched{Bucket: target.bucket, Filters: target.options.Filters}
	}
	return watched, nil
}

// watchesSome returns filters as they are, for a ticket: its stream narrows them by the rights that
// the caller has then. It returns an error if the caller may watch nothing of what they select.
func (x *exchange) watchesSome(
	bucket kv.BucketName,
	filters kv.Filters,
) (kv.Filters, error) {
	_, err := x.narrow(auth.Watch, bucket, filters)
	return filters, err
}

// inBody turns the problem of a parameter of the query into that of a member of the body.
func inBody(err error, pointer string) error {
	p, ok := errors.AsType[problem.Error](err)
	if !ok || p.Code != problem.InvalidParameter {
		return err
	}
	return problem.OfBody(pointer, strings.TrimSuffix(p.Detail, "."))
}

// errTwoCredentials refuses a request for which it is not clear who makes it (RFC 6750 §2).
var errTwoCredentials = problem.OfParameter(ticketParameter, "The request has an Authorization "+
	"header and a ticket. Send one of them.")

// presentedTicket returns the ticket of a request for a stream, "" if there is none: that of the
// query, or else that of the cookie. A cookie counts only if the request has no other credential,
// and if no page of another origin sent it: browsers add cookies by themselves, to requests of
// other pages of the same site as well.
func (s *Server) presentedTicket(x *exchange) (string, error) {
	r := x.request
	authorized := len(r.Header["Authorization"]) > 0
	ticket := lastGiven(r.URL.Query()[ticketParameter])
	switch {
	case ticket != "" && authorized:
		return "", errTwoCredentials
	case ticket != "" || authorized:
		return ticket, nil
	}
	cookies := r.CookiesNamed(ticketCookie)
	if len(cookies) == 0 {
		return "", nil
	}
	return cookies[0].Value, s.checkSite(x)
}

// outsideTicket returns the problem of a stream of what the caller's ticket is not for.
func outsideTicket(bucket kv.BucketName, filters kv.Filters) problem.Error {
	p := forbidden(auth.Watch, bucket, patternsOf(filters)...)
	p.Midway = ""
	p.Detail = "The ticket is not for all that the stream asks for in the bucket " +
		bucket.String() + ". Each filter of the stream must lie within one of the ticket. Get " +
		"another ticket with POST " + problem.Base + "/tickets."
	return p
}
