package handlers

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"kvgateway/internal/auth"
	"kvgateway/internal/handlers/problem"
	"kvgateway/internal/jsonpatch"
	"kvgateway/internal/kvclient"
)

// patchFormats has the media types of patches, and headerAcceptPatch is the header that lists them
// (RFC 5789 §3.1).
var (
	patchFormats = map[string]kvclient.PatchFormat{
		"application/merge-patch+json": kvclient.MergePatch,
		"application/json-patch+json":  kvclient.JSONPatch,
	}
	headerAcceptPatch = []string{"application/merge-patch+json, application/json-patch+json"}
)

// patchValue changes a JSON value, or how long a value of any type lives. Whether a patch can be
// applied shows something of the value, so that it needs the right to get the value. A request
// without a body, which gives the value a new time to live, does not.
func (s *Server) patchValue(x *exchange) error {
	actions := auth.Put | auth.Get
	if x.request.ContentLength == 0 && x.query.Has("ttl") {
		actions = auth.Put
	}
	w, err := s.parseKeyWrite(x, actions)
	if err != nil {
		return err
	}
	patch := kvclient.Patch{
		Key: w.key, TTL: w.ttl, Precondition: w.precondition, Idempotency: w.idempotency,
		Allowed: x.recheck,
	}
	if err := s.readPatch(x, w.bucket, &patch); err != nil {
		return err
	}
	if err := x.beginChange(); err != nil {
		return err
	}
	written, err := w.bucket.Patch(x.context(), patch)
	if err := x.withhold(&w, written, err); err != nil {
		return err
	}
	x.respondWritten(http.StatusOK, w.bucket.Name(), w.key, written)
	return nil
}

// readPatch reads the body, which may be missing if only the time to live is to change. It checks
// the media type before it reads the body. The size of the body is bounded like that of a value.
func (s *Server) readPatch(x *exchange, b *kvclient.Bucket, patch *kvclient.Patch) error {
	if err := x.refuseEncoding(); err != nil {
		return err
	}
	format, known := patchFormats[mediaTypeOf(x.request.Header)]
	if !known && (x.request.ContentLength != 0 || !x.query.Has("ttl")) {
		x.Header()["Accept-Patch"] = headerAcceptPatch
		return problem.Error{Code: problem.UnsupportedMediaType,
			Detail: "Send the body of a PATCH with Content-Type: application/merge-patch+json " +
				"(RFC 7396) or application/json-patch+json (RFC 6902). Without a body, ?ttl= " +
				"gives the value a new time to live."}
	}
	if err := b.CheckTTL(x.context(), patch.TTL); err != nil {
		return err
	}
	room := b.MaxValueBytes(kvclient.Write{Key: patch.Key})
	limit := min(max(room, maxPatchBytes), jsonpatch.MaxBytes)
	var err error
	patch.Body, err = s.bodies.read(x, limit, problem.OfBodySize)
	switch {
	case err != nil:
		return err
	case len(patch.Body) > 0:
		patch.Format = format
	case patch.TTL == 0:
		return problem.Error{Code: problem.InvalidBody,
			Detail: "The patch is empty. Send a JSON document, or ?ttl= without a body."}
	}
	return nil
}

// meantNames says which name was probably meant by one in a patch; "" if none is near.
func meantNames(e *jsonpatch.FormatError) string {
	for _, given := range e.Given {
		if near := nearest(given, e.Known); near != "" {
			return fmt.Sprintf("; it has %.64q (did you mean %s?)", given, near)
		}
	}
	return ""
}

// patchProblem returns the problem for an error of package jsonpatch.
func patchProblem(err error) (problem.Error, bool) {
	if e, ok := errors.AsType[*jsonpatch.FormatError](err); ok {
		return problem.OfBody(e.Pointer, strings.TrimSuffix(e.Reason, ".")+meantNames(e)), true
	}
	if e, ok := errors.AsType[*jsonpatch.DocumentError](err); ok {
		return problem.Error{Code: problem.NotJSON,
			Detail: "The value cannot be patched: " + e.Reason +
				". Nothing was done. Store a whole value with PUT."}, true
	}
	if e, ok := errors.AsType[*jsonpatch.ApplyError](err); ok {
		return problem.Error{
			Code:    problem.PatchNotApplicable,
			Members: problem.Members{"operation_index": e.Operation},
			Detail: fmt.Sprintf("Operation %d of the patch cannot be applied: %s. Nothing was "+
				"done. Read the value and make a new patch.", e.Operation, e.Reason)}, true
	}
	if errors.Is(err, jsonpatch.ErrTestFailed) {
		return problem.New(problem.PatchTestFailed), true
	}
	return problem.Error{}, false
}
