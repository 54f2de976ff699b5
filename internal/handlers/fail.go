package handlers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"strconv"

	"kvgateway/internal/bound"
	"kvgateway/internal/kvclient"
)

// members are what a problem document holds beside the members of RFC 9457.
type members map[string]any

// A problemError is an error that is a problem already: this package's own refusals, and what [problemOf] finds for others.
type problemError struct {
	code    string
	detail  string
	members members
	header  http.Header
}

func (p problemError) Error() string { return p.code + ": " + p.detail }

// retryAfter is what clients are told to wait, in seconds, before they try again what was not done.
const retryAfter = "1"

// typedProblem finds the problem for errors that carry data.
func typedProblem(err error) (problemError, bool) {
	if p, ok := transactionProblem(err); ok { // first: it wraps the others
		return p, true
	}
	if p, ok := errors.AsType[problemError](err); ok {
		return p, true
	}
	if e, ok := errors.AsType[*kvclient.SyntaxError](err); ok {
		return syntaxProblem(e), true
	}
	if e, ok := errors.AsType[*kvclient.KeyDeletedError](err); ok {
		return deletedProblem(&e.Marker), true
	}
	if e, ok := errors.AsType[*kvclient.RevisionMismatchError](err); ok {
		return mismatchProblem(e), true
	}
	if e, ok := errors.AsType[*kvclient.EpochChangedError](err); ok {
		return problemError{code: codeEpochChanged, members: members{"epoch": e.Current},
			detail: "The bucket was deleted and created again, or has lost its end, since that revision was seen. " +
				"Read again without a minimal revision."}, true
	}
	if e, ok := errors.AsType[*kvclient.ValueTooLargeError](err); ok {
		return tooLargeProblem(e.Limit), true
	}
	if e, ok := errors.AsType[*kvclient.TTLNotEnabledError](err); ok {
		return ttlNotEnabledProblem(e), true
	}
	if e, ok := errors.AsType[*kvclient.TTLTooShortError](err); ok {
		return ttlTooShortProblem(e), true
	}
	if p, ok := patchProblem(err); ok {
		return p, true
	}
	if e, ok := errors.AsType[*kvclient.BucketExistsError](err); ok {
		return problemError{code: codeBucketExists, members: members{"differences": e.Differences},
			detail: "The bucket exists with another configuration. Change it with PATCH, or choose another name."}, true
	}
	// One that was met half-way is told by what it leaves unknown.
	if e, ok := errors.AsType[*bound.FullError](err); ok && !errors.Is(err, kvclient.ErrOutcomeUnknown) {
		return fullProblem(e), true
	}
	if e, ok := errors.AsType[*kvclient.ConfigError](err); ok {
		return problemError{code: codeInvalidConfig, detail: "The configuration was refused: " + e.Reason + "."}, true
	}
	return problemError{}, false
}

func syntaxProblem(e *kvclient.SyntaxError) problemError {
	p := problemError{detail: fmt.Sprintf("At offset %d: %s.", e.Offset, e.Reason), members: members{"offset": e.Offset}}
	switch e.What {
	case "key":
		p.code = codeInvalidKey
	case "bucket name":
		p.code = codeInvalidBucketName
	case "filter":
		p.code = codeInvalidFilter
	case "filters": // of the whole of them, or of no byte in particular
		p.code, p.detail, p.members = codeInvalidFilter, e.Reason+".", nil
	default:
		p.code, p.detail, p.members = codeInvalidParameter, e.Reason+".", nil
	}
	return p
}

func deletedProblem(marker *kvclient.Entry) problemError {
	return problemError{
		code:    codeKeyDeleted,
		detail:  "The key has no value: its last entry is a marker (" + marker.Operation.String() + ").",
		members: members{"revision": marker.Revision, "epoch": marker.Epoch, "operation": marker.Operation.String()},
		header: http.Header{
			"Etag":         {etag(marker.Position)},
			"Kv-Revision":  {marker.Revision.String()},
			"Kv-Operation": {marker.Operation.String()},
		},
	}
}

func mismatchProblem(e *kvclient.RevisionMismatchError) problemError {
	p := problemError{
		code:    codeRevisionMismatch,
		detail:  "The key is at another revision and nothing was done. Read it, apply the change again, and send the new ETag.",
		members: members{"current_revision": e.Current.Revision, "epoch": e.Current.Epoch},
		header:  http.Header{"Etag": {etag(e.Current)}},
	}
	if e.KeyExists {
		p.code = codeKeyExists
		p.detail = "The key has a value already and nothing was stored. To replace it, send its ETag in If-Match."
	}
	return p
}

func tooLargeProblem(limit int) problemError {
	return problemError{code: codeValueTooLarge, members: members{"max_value_bytes": limit},
		detail: fmt.Sprintf("With the headers that are sent here, which count against the limit, the value may have %d bytes. Nothing was stored.", limit)}
}

// fullProblem is the problem of a request that would exceed one of the gateway's own bounds. A client
// that has used up its share is told so by another status than one that finds the gateway full.
func fullProblem(e *bound.FullError) problemError {
	p := problemError{code: codeBusy, members: members{"bound": e.Bound.Name},
		detail: "The gateway holds as much as it may at once, and nothing was done. Try again after Retry-After."}
	if e.OfOwner {
		p.code = codeOverloaded
		p.detail = "Other requests from your address use up its share, and nothing was done. " +
			"Try again after Retry-After, or send fewer requests at once."
	}
	return p
}

func headerProblem(header, detail string) problemError {
	return problemError{code: codeInvalidHeader, detail: detail, members: members{"header": header}}
}

func parameterProblem(parameter, detail string) problemError {
	return problemError{code: codeInvalidParameter, detail: detail, members: members{"parameter": parameter}}
}

// fail answers with the problem that tells of an error. What a client did not cause is logged, under the id that the problem
// names, and not told.
func (s *Server) fail(rec *recorder, r *http.Request, err error) {
	if errors.Is(err, context.Canceled) && r.Context().Err() != nil {
		// The client went away. It may have closed its half of the connection only: no answer at all would be a 200.
		rec.status = statusClientClosedRequest
		panic(http.ErrAbortHandler)
	}
	p := problemOf(err)
	kind := s.pages[p.code]
	if kind.Status >= 500 {
		s.logger.Warn().Str("id", rec.id).Str("problem", p.code).Err(err).Msg("request failed")
	}
	s.writeProblem(rec, p, kind)
}

// statusClientClosedRequest is what the access log says of a request whose client went away; it is never sent.
const statusClientClosedRequest = 499

// recovered logs a panic and answers it where nothing was answered yet. Cut tells that the connection must be cut instead: the
// answer is under way, or an endpoint asked for it.
func (s *Server) recovered(rec *recorder, failure any) (cut bool) {
	switch {
	case failure == nil:
		return false
	case failure == http.ErrAbortHandler:
		return true
	}
	s.logger.Error().Str("id", rec.id).Interface("panic", failure).Bytes("stack", debug.Stack()).Msg("request panicked")
	if rec.status != 0 || rec.taken {
		return true
	}
	s.writeProblem(rec, problemOf(nil), s.pages[codeInternal])
	return false
}

// problemDocument is a problem as JSON.
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
		s.logger.Error().Str("id", rec.id).Err(err).Msg("problem document not encoded")
		return []byte(`{"title":"Internal error","status":500}`)
	}
	return body
}

func (s *Server) writeProblem(rec *recorder, p problemError, kind problemKind) {
	body := s.problemDocument(rec, p, kind)
	h := rec.Header()
	for name, values := range p.header {
		h[name] = values
	}
	switch kind.Code {
	case codeKeyNotFound:
		h["Etag"] = []string{`"0"`}
	case codeOverloaded, codeBusy, codeNATSUnavailable, codeShuttingDown, codeTooManyStreams, codeWriteContention:
		h["Retry-After"] = []string{retryAfter}
	}
	switch kind.Code {
	case codeRevisionNotReached, codeKeyNotFound, codeKeyDeleted: // the answers that were waited for
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
