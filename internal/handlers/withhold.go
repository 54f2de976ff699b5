package handlers

import (
	"errors"
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

// withhold returns the error of a write as its caller may see it. Why a precondition does not hold,
// and what the key has instead, is for callers who may get the key. Others are told only that their
// write was not done: 412 if it had a precondition, and otherwise 404, whether the key was deleted
// or never written.
func (w *keyWrite) withhold(err error) error {
	if w.isVisible {
		return err
	}
	_, deleted := errors.AsType[*kv.KeyDeletedError](err)
	switch noValue := deleted || errors.Is(err, kv.ErrKeyNotFound); {
	case !noValue:
		return withholdMismatch(err)
	case w.precondition.Always():
		return problem.Error{
			Code:   problem.KeyNotFound,
			Header: http.Header{"Etag": nil},
			Detail: "The key has no value, and nothing was done. The caller may not get the key, " +
				"so that it is not told more.",
		}
	}
	return errWithheld
}

// withholdMismatch returns errWithheld in the place of an error that says what a key has.
func withholdMismatch(err error) error {
	if _, ok := errors.AsType[*kv.RevisionMismatchError](err); ok {
		return errWithheld
	}
	return err
}

// errWithheld is the problem of a precondition that does not hold, for a caller who may not get the
// key.
var errWithheld = problem.Error{
	Code: problem.RevisionMismatch,
	Detail: "The precondition does not hold, and nothing was done. The caller may not get the " +
		"key, so that it is not told what the key has.",
	Midway: "The precondition does not hold. The caller may not get the key, so that it is not " +
		"told what the key has.",
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
