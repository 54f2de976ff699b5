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
//
// A request takes a place in the log just before it changes something, and its line is written just
// before its answer is sent. So no client can hold a place by sending a body slowly, by waiting for
// another bound, or by not taking its answer: 2,048 such requests of two addresses kept all writers
// out. A request that is refused before it changes anything takes no place, and has a line if there
// is room for one.
type audited struct {
	// log is where the line goes.
	log *audit.Log
	// line is the place in the log; nil before the request changes something.
	line *audit.Line
	// isLong reports whether the answer is sent while the change goes on, so that the line is
	// written after it.
	isLong bool
	// isOver reports whether all that the log gets of the request was written.
	isOver bool
	// problem is the code of the problem that was answered; "" for none.
	problem problem.Code
	// isPartial reports whether the request ended before all was done that it asked for.
	isPartial bool
	// counts say how much of something was done; nil for none.
	counts map[string]int
}

// audit notes that the audit log gets a line of a request if that may change something.
func (s *Server) audit(x *exchange) {
	if s.options.Audit == nil {
		return
	}
	switch x.request.Method {
	case http.MethodPut, http.MethodPatch, http.MethodPost, http.MethodDelete:
		x.audited = &audited{log: s.options.Audit}
	}
}

// beginChange takes a place in the audit log. An endpoint calls it just before the first thing that
// changes something, when nothing more has to come from the client and no other bound is waited
// for. It returns the error of [audit.Log.Take], with which the request is refused.
func (x *exchange) beginChange() (err error) {
	if x.audited == nil {
		return nil
	}
	x.audited.line, err = x.audited.log.Take(x.context())
	return err
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

// endAudit writes the line of a request, unless that was done. A request that was refused with 429
// before it changed anything has none: what bounds the requests must bound their lines as well. One
// that no route takes has a line only if it was denied before its route was looked for.
func (x *exchange) endAudit() {
	a := x.audited
	if a == nil || a.isOver {
		return
	}
	a.isOver = true
	if a.line != nil {
		a.line.Write(x.auditEntry())
		return
	}
	isRouted := auditedActions[x.request.Method+" "+x.route.pattern] != ""
	if x.status == http.StatusTooManyRequests || !isRouted && x.status != http.StatusForbidden {
		return
	}
	hasCredential := x.caller != nil && x.caller.Kind != auth.Anonymous
	a.log.Refused(x.owner(), hasCredential, x.auditEntry())
}

// auditEntry returns what the audit log says of the request, whose status is known.
func (x *exchange) auditEntry() *audit.Entry {
	action := auditedActions[x.request.Method+" "+x.route.pattern]
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
	return e
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
