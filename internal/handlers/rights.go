package handlers

import (
	"slices"
	"strings"

	"kvgateway/internal/auth"
	"kvgateway/internal/handlers/problem"
	"kvgateway/internal/kv"
)

// A grant is a right that a request was found to have, and that it needs for as long as it lasts.
type grant struct {
	// actions are what the caller does, and bucket is where.
	actions auth.Actions
	bucket  kv.BucketName
	// rights are those that it was found with.
	rights *auth.Rights
	// key is the key that the request names; the zero Key if it has filters.
	key kv.Key
	// asked are the filters of the request, and narrowed those of the part that the caller may see.
	asked, narrowed kv.Filters
	// isLive reports whether the request shows what the filters select from now on. It then ends
	// also if they would select more.
	isLive bool
	// isSome reports whether the request needs the right for some key only, as long as its body
	// has not come.
	isSome bool
	// check returns the problem of a caller who may not do this. It is for requests about a bucket
	// itself, and then decides alone; nil for others.
	check func(*auth.Rights) error
}

// holds reports whether a caller with these rights still has the grant.
func (g *grant) holds(rights *auth.Rights) bool {
	switch {
	case g.check != nil:
		return g.check(rights) == nil
	case rights.Equal(g.rights): // as for most callers after a change of the file
		return true
	case g.isSome:
		return rights.MaySome(g.actions, g.bucket)
	case g.key != kv.Key{}:
		return rights.May(g.actions, g.bucket, g.key)
	case !g.isLive:
		return rights.Cover(g.actions, g.bucket, g.narrowed)
	}
	now, some, err := rights.Narrow(g.actions, g.bucket, g.asked)
	return err == nil && some && slices.Equal(now, g.narrowed)
}

// still returns a function that reports whether the request may go on with other rights than it
// began with. The function may be called at any time, also when the exchange has ended.
func (x *exchange) still() func(*auth.Rights) bool {
	grants := slices.Clone(x.grants)
	return func(rights *auth.Rights) bool {
		return !slices.ContainsFunc(grants, func(g grant) bool { return !g.holds(rights) })
	}
}

// granted notes a grant, unless the caller may do everything. The first one takes no memory of its
// own.
func (x *exchange) granted(g grant) {
	if x.caller.Rights.AllowEverything() {
		return
	}
	if x.grants == nil {
		x.grants = x.firstGrant[:0]
	}
	g.rights = x.caller.Rights
	x.grants = append(x.grants, g)
}

// need returns an error unless the caller may take all the actions with a key.
func (x *exchange) need(actions auth.Actions, bucket kv.BucketName, key kv.Key) error {
	if !x.caller.Rights.May(actions, bucket, key) {
		return forbidden(actions, bucket, key.String())
	}
	x.granted(grant{actions: actions, bucket: bucket, key: key})
	return nil
}

// needThat returns the error of check for the rights of the caller. It is asked again after each
// wait.
func (x *exchange) needThat(check func(*auth.Rights) error) error {
	if err := check(x.caller.Rights); err != nil {
		return err
	}
	x.granted(grant{check: check})
	return nil
}

// needSome returns an error unless the caller may take each of the actions with some key of a
// bucket. It is for requests whose keys come later, in a body.
func (x *exchange) needSome(actions auth.Actions, bucket kv.BucketName) error {
	if !x.caller.Rights.MaySome(actions, bucket) {
		return forbidden(actions, bucket)
	}
	x.granted(grant{actions: actions, bucket: bucket, isSome: true})
	return nil
}

// needAll returns an error unless the caller may take all the actions with every key that some
// filters select. It is for what changes keys: a filter is never narrowed there, since the caller
// would be told that everything was done.
func (x *exchange) needAll(
	actions auth.Actions, bucket kv.BucketName, filters kv.Filters,
) error {
	if !x.caller.Rights.Cover(actions, bucket, filters) {
		return forbidden(actions, bucket, patternsOf(filters)...)
	}
	x.granted(grant{actions: actions, bucket: bucket, narrowed: filters})
	return nil
}

// narrow returns filters for what the filters of a request select and what the caller may take all
// the actions with. They are the only ones that reach kvclient and feed, so that counts, cursors
// and the digests in ids are of what the caller may see. If there is nothing, the request is
// refused. The error is also that of [kv.Narrow].
func (x *exchange) narrow(
	actions auth.Actions, bucket kv.BucketName, filters kv.Filters,
) (kv.Filters, error) {
	return x.narrowFor(grant{actions: actions, bucket: bucket, asked: filters})
}

// narrowFor is narrow for a grant without the narrowed filters.
func (x *exchange) narrowFor(g grant) (kv.Filters, error) {
	narrowed, some, err := x.caller.Rights.Narrow(g.actions, g.bucket, g.asked)
	if err != nil {
		return nil, err
	}
	if !some {
		return nil, forbidden(g.actions, g.bucket, patternsOf(g.asked)...)
	}
	g.narrowed = narrowed
	x.granted(g)
	return narrowed, nil
}

// patternsOf returns the text of filters, that of all keys for none.
func patternsOf(filters kv.Filters) []string {
	if len(filters) == 0 {
		return []string{kv.AllKeys.String()}
	}
	patterns := make([]string, len(filters))
	for i, f := range filters {
		patterns[i] = f.String()
	}
	return patterns
}

// maxNamedKeys bounds the keys and filters that a problem names.
const maxNamedKeys = 8

// forbidden returns the problem of a caller without a right. It names what was asked for, keys and
// filters without any for the bucket as a whole, and nothing of what others may do or of what there
// is.
func forbidden(actions auth.Actions, bucket kv.BucketName, keys ...string) problem.Error {
	members := problem.Members{"action": actions.String(), "bucket": bucket.String()}
	what := ""
	if len(keys) > 0 {
		keys = keys[:min(len(keys), maxNamedKeys)]
		members["keys"] = keys
		what = strings.Join(keys, ", ") + " in "
	}
	reason := "This needs the right to " + actions.String() + " " + what + "the bucket " +
		bucket.String() + ", which the caller does not have."
	const advice = " Use another credential, or ask the gateway's operator for that right. GET " +
		problem.Base + "/access lists what the caller may do."
	return problem.Error{Code: problem.Forbidden, Members: members,
		Detail: reason + " Nothing was done." + advice, Midway: reason + advice}
}
