package handlers

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"runtime/debug"
	"strconv"
)

// retryAfter is the value of Retry-After, in seconds, for requests that were refused and may
// succeed later.
const retryAfter = "1"

// fail answers a request with the problem of an error. If the client did not cause it, the error is
// logged under the id that the problem names in `instance`, and the client does not get its text.
//
// If the client went away, fail does not return, and the connection is cut. Such a client may have
// closed only its half of the connection, and ending the answer in the ordinary way would give it a
// 200.
func (s *Server) fail(rec *recorder, r *http.Request, err error) {
	if errors.Is(err, context.Canceled) && r.Context().Err() != nil {
		rec.status = statusClientClosedRequest
		panic(http.ErrAbortHandler)
	}
	p := problemOf(err)
	kind := s.problems[p.code]
	if kind.Status >= 500 {
		s.logger.Warn().Str("id", rec.id).Str("problem", p.code).Err(err).Msg("request failed")
	}
	s.writeProblem(rec, p, kind)
}

// statusClientClosedRequest is the status that the access log has for a request whose client went
// away. It is never sent.
const statusClientClosedRequest = 499

// recovered logs a panic, and answers it if nothing was answered yet. The result cut reports
// whether the connection must be cut instead, because the answer is under way or because an
// endpoint asked for it with [http.ErrAbortHandler].
func (s *Server) recovered(rec *recorder, failure any) (cut bool) {
	switch {
	case failure == nil:
		return false
	case failure == http.ErrAbortHandler:
		return true
	}
	s.logger.Error().Str("id", rec.id).Interface("panic", failure).
		Bytes("stack", debug.Stack()).Msg("request panicked")
	if rec.status != 0 || rec.taken {
		return true
	}
	s.writeProblem(rec, problemOf(nil), s.problems[codeInternal])
	return false
}

// problemDocument returns a problem as JSON (RFC 9457).
func (s *Server) problemDocument(rec *recorder, p problemError, kind problemKind) []byte {
	document := members{
		"type":     s.options.BasePath + "/problems/" + kind.Code,
		"title":    kind.Title,
		"status":   kind.Status,
		"detail":   p.detail,
		"instance": rec.id,
	}
	for name, value := range p.members {
		document[name] = value
	}
	body, err := json.Marshal(document)
	if err != nil {
		s.logger.Error().Str("id", rec.id).Err(err).Msg("problem document could not be encoded")
		return []byte(`{"title":"Internal error","status":500}`)
	}
	return body
}

// writeProblem sends a problem, with the headers that its code and the problem itself ask for.
func (s *Server) writeProblem(rec *recorder, p problemError, kind problemKind) {
	body := s.problemDocument(rec, p, kind)
	h := rec.Header()
	for name, values := range p.header {
		h[name] = values
	}
	switch kind.Code {
	case codeKeyNotFound:
		h["Etag"] = []string{`"0"`}
	case codeOverloaded, codeBusy, codeNATSUnavailable, codeShuttingDown, codeTooManyStreams,
		codeWriteContention:
		h["Retry-After"] = []string{retryAfter}
	}
	switch kind.Code {
	case codeRevisionNotReached, codeKeyNotFound, codeKeyDeleted:
		// These are outcomes of the wait that Preference-Applied speaks of.
	default:
		delete(h, "Preference-Applied")
	}
	h["Content-Type"] = []string{"application/problem+json"}
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	h["Cache-Control"] = headerNoStore
	h["X-Content-Type-Options"] = headerNosniff
	rec.WriteHeader(kind.Status)
	rec.write(body)
}
