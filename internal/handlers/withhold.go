package handlers

import (
	"net/http"

	"kvgateway/internal/auth"
	"kvgateway/internal/handlers/problem"
	"kvgateway/internal/kv"
	"kvgateway/internal/kvclient"
)

// mayWrite reports whether all the actions are allowed with a key of a bucket that is written to.
// The writes of a mirror go to its origin, so they must be allowed there as well: a rule for the
// mirror alone would open the origin. Reads of a mirror need a right in the mirror alone.
func mayWrite(rights *auth.Rights, actions auth.Actions, b *kvclient.Bucket, k kv.Key) bool {
	if !rights.May(actions, b.Name(), k) {
		return false
	}
	origin, isMirror := b.Origin()
	return !isMirror || rights.May(actions, origin, k)
}

// needInOrigin returns an error if the bucket is a mirror and the caller may not take all the
// actions with the key of its origin.
func (x *exchange) needInOrigin(actions auth.Actions, b *kvclient.Bucket, k kv.Key) error {
	origin, isMirror := b.Origin()
	if !isMirror {
		return nil
	}
	if !x.caller.Rights.May(actions, origin, k) {
		return forbiddenInOrigin(actions, b.Name(), k.String())
	}
	x.granted(grant{actions: actions, bucket: origin, key: k})
	return nil
}

// needAllInOrigin returns an error if the bucket is a mirror and the caller may not take all the
// actions with every key of its origin that the filters select.
func (x *exchange) needAllInOrigin(
	actions auth.Actions,
	b *kvclient.Bucket,
	filters kv.Filters,
) error {
	origin, isMirror := b.Origin()
	if !isMirror {
		return nil
	}
	if !x.caller.Rights.Cover(actions, origin, filters) {
		return forbiddenInOrigin(actions, b.Name(), patternsOf(filters)...)
	}
	x.granted(grant{actions: actions, bucket: origin, narrowed: filters})
	return nil
}

// forbiddenInOrigin is forbidden for a write through a mirror. It does not name the origin, which
// is a part of the mirror's configuration.
func forbiddenInOrigin(actions auth.Actions, mirror kv.BucketName, keys ...string) problem.Error {
	p := forbidden(actions, mirror, keys...)
	p.Midway = "The bucket " + mirror.String() + " is a mirror, whose writes go to its origin. " +
		"This needs the right to " + actions.String() + " the same keys of the origin as well, " +
		"which the caller does not have."
	p.Detail = p.Midway + " Nothing was done."
	return p
}

// maySee reports whether the caller may get the key that is written, by the rights that it has now:
// a body, or the write itself, may have taken long.
func (x *exchange) maySee(w *keyWrite) bool {
	return x.recheck() == nil && mayWrite(x.caller.Rights, auth.Get, w.bucket, w.key)
}

// withhold returns what a write has come to as its caller may see it: nil if it was done, or an
// error. What the key has, and so why a write was not done, is for callers who may get the key.
// Others are told only that it was not done: 412 if it had a precondition, and otherwise 404,
// whether the key was deleted or never written. The same is their answer if a conditional write was
// done before, with the same idempotency key, since it would be that if somebody else had written
// the key meanwhile.
func (x *exchange) withhold(w *keyWrite, written kvclient.Written, err error) error {
	isPut := x.request.Method == http.MethodPut
	unconditional := isPut && w.precondition.Always()
	switch {
	case err == nil && (unconditional || !written.IsRepeated), x.maySee(w):
		return err
	case err != nil && saysNothingOfKeys(err):
		return err
	case !isPut && w.precondition.Always():
		return withheldProblem(problem.KeyNotFound, "The key has no value", w.idempotency.Key != "")
	}
	return withheldProblem(
		problem.RevisionMismatch, "The precondition does not hold", w.idempotency.Key != "")
}

// withheldProblem returns the problem of a write that was not done, for a caller who may not get
// the key. Without the header of the kind, which has a tag for keys that were never written.
func withheldProblem(code problem.Code, reason string, idempotent bool) problem.Error {
	if idempotent {
		reason += ", or the same request was carried out before"
	}
	const rest = "The caller may not get the key, so that it is not told more."
	return problem.Error{
		Code:   code,
		Header: http.Header{"Etag": nil},
		Detail: reason + ", and nothing was done. " + rest,
		Midway: reason + ". " + rest,
	}
}

// codesOfRequests are the problems that a client causes and that say nothing of what a key has:
// they are about the request, its caller or the bucket.
var codesOfRequests = map[problem.Code]bool{
	problem.Unauthenticated: true, problem.Forbidden: true, problem.Overloaded: true,
	problem.RequestTimeout: true, problem.InvalidKey: true, problem.InvalidParameter: true,
	problem.InvalidHeader: true, problem.InvalidBody: true, problem.BucketNotFound: true,
	problem.BadBucket: true, problem.OutsideMirror: true, problem.TTLNotEnabled: true,
	problem.TTLTooShort: true, problem.NoTransactions: true, problem.ValueTooLarge: true,
	problem.BodyTooLarge: true, problem.KeyTooLong: true, problem.HeaderTooLarge: true,
	problem.UnsupportedMediaType: true, problem.PreconditionRequired: true,
}

// saysNothingOfKeys reports whether callers may see an error of a write who may not get its keys.
// Every error that is not known to say nothing is withheld. What the client did not cause has a
// fixed text (RFC 9457 documents of 5xx name no cause).
func saysNothingOfKeys(err error) bool {
	p := problemOf(err)
	return p.IsFailure() || codesOfRequests[p.Code]
}

// requiresNoValue reports whether a precondition holds only if the key has no value, so that a
// write which was done under it has created one.
func requiresNoValue(p kv.Precondition) bool {
	if p.IfAbsent() {
		return true
	}
	is := p.IfMatch.Positions
	return len(is) == 1 && is[0].Revision == 0
}
