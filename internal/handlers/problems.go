package handlers

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"strconv"

	"kvgateway/internal/handlers/problem"
)

// problemOf returns the problem that tells a client about an error. It knows how to tell of
// transactions, of times to live, and of the errors of jsonpatch, which package problem must not
// import.
func problemOf(err error) problem.Error {
	// An error of a transaction may wrap one of the others.
	if p, ok := transactionProblem(err); ok {
		return p
	}
	if p, ok := refusalProblem(err); ok {
		return p
	}
	if p, ok := ttlProblem(err); ok {
		return p
	}
	if p, ok := patchProblem(err); ok {
		return p
	}
	return problem.Of(err)
}

// fail answers a request with the problem of an error. If the client did not cause it, the error is
// logged under the id that the problem names in `instance`, and the client does not get its text.
//
// If the client went away, fail does not return, and the connection is cut. Such a client may have
// closed only its half of the connection, and ending the answer in the ordinary way would give it a
// 200.
func (x *exchange) fail(err error) {
	err = x.whyEnded(err)
	if errors.Is(err, context.Canceled) && x.context().Err() != nil {
		x.cut()
	}
	p := x.explained(problemOf(err), err)
	x.logFailure(p, err)
	x.writeProblem(p)
}

// logFailure logs the cause of a problem if the client did not cause it.
func (x *exchange) logFailure(p problem.Error, cause error) {
	if p.IsFailure() {
		x.logger.Warn().Str("id", x.id).Str("problem", string(p.Code)).Err(cause).
			Msg("request failed")
	}
}

// statusClientClosedRequest is the status that the access log has for a request whose client went
// away. It is never sent.
const statusClientClosedRequest = 499

// recovered logs a panic, and answers it if nothing was answered yet. The result cut reports
// whether the connection must be cut instead, because the answer is under way or because an
// endpoint asked for it with [http.ErrAbortHandler].
func (x *exchange) recovered(failure any) (cut bool) {
	switch {
	case failure == nil:
		return false
	case failure == http.ErrAbortHandler:
		return true
	}
	x.logger.Error().Str("id", x.id).Interface("panic", failure).
		Bytes("stack", debug.Stack()).Msg("request panicked")
	if x.status != 0 || x.taken {
		return true
	}
	x.writeProblem(problem.New(problem.Internal))
	return false
}

// problemDocument returns a problem as JSON (RFC 9457), without a line feed.
func (x *exchange) problemDocument(p problem.Error) []byte {
	document, err := p.Document(x.basePath, x.id)
	if err != nil {
		x.logger.Error().Str("id", x.id).Err(err).Msg("problem document could not be encoded")
	}
	return document
}

// writeProblem sends a problem, with the headers that its kind and the problem itself ask for.
func (x *exchange) writeProblem(p problem.Error) {
	x.releaseBody()
	if x.audited != nil {
		x.audited.problem = p.Code
	}
	body, kind, h := append(x.problemDocument(p), '\n'), p.Kind(), x.Header()
	for _, header := range []http.Header{kind.Header, p.Header} {
		for name, values := range header {
			h[name] = values
		}
	}
	if after := kind.Retry.After(); after != "" {
		h["Retry-After"] = []string{after}
	}
	if !kind.Waited {
		delete(h, "Preference-Applied")
	}
	h["Content-Type"] = []string{"application/problem+json"}
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	h["Cache-Control"] = headerNoStore
	h["X-Content-Type-Options"] = headerNosniff
	x.WriteHeader(kind.Status)
	x.write(body)
}

// ConnectionRefusal returns the answer, as it is sent over HTTP/1.1, to a connection for which
// there is no place. It is the problem that a request would get. The listener sends it before any
// request is read, so that it needs no [Server], and all of them have the same request id.
func ConnectionRefusal(basePath string) []byte {
	p := problem.OfBound("connections")
	p.Detail = "The gateway has as many connections as it can have open, or your address has " +
		"as many as it may have. Nothing was done. Try again after Retry-After, or use a " +
		"connection that is open."
	body, err := p.Document(basePath, unreadRequest)
	if err != nil {
		panic(err) // it cannot fail
	}
	body = append(body, '\n')
	kind := p.Kind()
	return fmt.Appendf(nil, "HTTP/1.1 %d %s\r\n"+headerRequestID+": "+unreadRequest+"\r\n"+
		"Content-Type: application/problem+json\r\nContent-Length: %d\r\n"+
		"Retry-After: %s\r\nCache-Control: no-store\r\n"+
		"X-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n%s",
		kind.Status, http.StatusText(kind.Status), len(body), kind.Retry.After(), body)
}
