package handlers

import (
	"net/http"
	"strings"

	"kvgateway/internal/audit"
	"kvgateway/internal/auth"
	"kvgateway/internal/handlers/problem"
	"kvgateway/internal/kv"
)

// auditedActions are the names that the audit log has for what requests change.
var auditedActions = map[string]string{
	"PUT /buckets/{bucket}":               "create-bucket",
	"PATCH /buckets/{bucket}":             "configure-bucket",
	"DELETE /buckets/{bucket}":            "delete-bucket",
	"PUT /buckets/{bucket}/keys/{key}":    "put",
	"PATCH /buckets/{bucket}/keys/{key}":  "patch",
	"DELETE /buckets/{bucket}/keys/{key}": "delete",
	"DELETE /buckets/{bucket}/keys":       "delete-keys",
	"POST /buckets/{bucket}/entries":      "import",
	"POST /buckets/{bucket}/transactions": "transaction",
	"DELETE /buckets/{bucket}/markers":    "purge-markers",
	"POST /tickets":                       "make-ticket",
}

// maxAuditedFilters bounds the bytes of the filters in a line of the audit log.
const maxAuditedFilters = 2 << 10

// An audited is what the audit log says of a request, beside what its exchange has.
type audited struct {
	// line is the place in the log.
	line *audit.Line
	// problem is the code of the problem that was answered; "" for none.
	problem problem.Code
	// isPartial reports whether the request ended before all was done that it asked for.
	isPartial bool
	// counts say how much of something was done; nil for none.
	counts map[string]int
}

// beginAudit takes a place in the audit log for a request that may change something, before
// anything is done for it. It returns the error of [audit.Log.Take].
func (s *Server) beginAudit(x *exchange) error {
	if s.options.Audit == nil {
		return nil
	}
	switch x.request.Method {
	case http.MethodPut, http.MethodPatch, http.MethodPost, http.MethodDelete:
	default:
		return nil
	}
	line, err := s.options.Audit.Take(x.context())
	if err != nil {
		return err
	}
	x.audited = &audited{line: line}
	return nil
}

// count notes for the audit log how much of something was done.
func (x *exchange) count(what string, n int) {
	if x.audited == nil {
		return
	}
	if x.audited.counts == nil {
		x.audited.counts = make(map[string]int)
	}
	x.audited.counts[what] = n
}

// endAudit writes the line of a request. One that no route takes changes nothing, so it has a line
// only if it was denied before its route was looked for.
func (s *Server) endAudit(x *exchange) {
	if x.audited == nil {
		return
	}
	action := auditedActions[x.request.Method+" "+x.route.pattern]
	if action == "" && x.status != http.StatusForbidden {
		x.audited.line.Drop()
		return
	}
	names := namesOf(x.request.URL, x.basePath)
	e := &audit.Entry{
		Time: x.start, ID: x.id, Client: x.client.address,
		Method: x.request.Method, Action: action, Bucket: names.bucket, Key: names.key,
		Status: x.status, Outcome: x.outcome(), Problem: string(x.audited.problem),
		Counts: x.audited.counts,
	}
	if action == "delete" && x.query.Get("purge") == "true" {
		e.Action = "purge"
	}
	e.Kind, e.Caller = x.named()
	if strings.HasPrefix(action, "delete-") || action == "purge-markers" {
		e.DryRun = x.query.Get("dry_run") == "true"
		e.Filters, e.MoreFilters = auditedFilters(x.query["filter"])
	}
	if revision := x.Header()["Kv-Revision"]; e.Outcome == audit.Done && len(revision) == 1 {
		e.Revision = revision[0]
	}
	x.audited.line.Write(e)
}

// outcome says what became of a change.
func (x *exchange) outcome() audit.Outcome {
	a, done := x.audited, 0
	for _, n := range a.counts {
		done += n
	}
	switch {
	case x.status < 400 && !a.isPartial:
		return audit.Done
	case a.problem == problem.OutcomeUnknown, x.status == statusClientClosedRequest,
		x.status == http.StatusInternalServerError:
		return audit.Unknown
	case a.isPartial, done > 0:
		return audit.Partial
	case x.status == http.StatusUnauthorized, x.status == http.StatusForbidden:
		return audit.Denied
	case x.status >= 500:
		return audit.Failed
	}
	return audit.Refused
}

// auditedFilters returns as many filters as a line has room for, and how many are left out. What is
// no filter is left out, too.
func auditedFilters(patterns []string) (shown []string, more int) {
	size := 0
	for _, pattern := range patterns {
		size += len(pattern)
		if _, err := kv.ParseFilter(pattern); err != nil || size > maxAuditedFilters {
			more++
			continue
		}
		shown = append(shown, pattern)
	}
	return shown, more
}

// named returns who makes the request, for logs: by what the caller was recognised, and its name.
// They are "" where there is no auth file, and where the caller is not known.
func (x *exchange) named() (kind, name string) {
	if x.caller == nil || x.caller == auth.Everybody {
		return "", ""
	}
	return x.caller.Kind.String(), x.caller.Name
}
