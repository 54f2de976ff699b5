package auth

import (
	"iter"

	"kvgateway/internal/kv"
)

// each yields the single actions of a set.
func (a Actions) each() iter.Seq[Actions] {
	return func(yield func(Actions) bool) {
		for _, known := range actionNames {
			if a.Has(known.action) && !yield(known.action) {
				return
			}
		}
	}
}

// Narrow returns filters for the keys of a bucket that some filters select and with which all the
// actions are allowed. It returns false if there are none; the result must not be used then, since
// no filters select every key. The error is that of [kv.Narrow].
func (r *Rights) Narrow(
	actions Actions, bucket kv.BucketName, filters kv.Filters,
) (narrowed kv.Filters, some bool, err error) {
	if r.narrowings != nil {
		return r.narrowings.find(r, actions, bucket, filters)
	}
	return r.narrow(actions, bucket, filters)
}

// narrow is Narrow, worked out.
func (r *Rights) narrow(
	actions Actions, bucket kv.BucketName, filters kv.Filters,
) (narrowed kv.Filters, some bool, err error) {
	for action := range actions.each() {
		if filters, some, err = r.Reach(action, bucket).Narrow(filters); err != nil || !some {
			return nil, false, err
		}
	}
	return filters, some, nil
}

// Cover reports whether all the actions are allowed with every key of a bucket that some filters
// select. As with [Reach.Covers], each filter must lie within one filter of a rule.
func (r *Rights) Cover(actions Actions, bucket kv.BucketName, filters kv.Filters) bool {
	for action := range actions.each() {
		if !r.Reach(action, bucket).Covers(filters) {
			return false
		}
	}
	return true
}

// MaySome reports whether each of the actions is allowed with some key of a bucket.
func (r *Rights) MaySome(actions Actions, bucket kv.BucketName) bool {
	for action := range actions.each() {
		if r.Reach(action, bucket).IsEmpty() {
			return false
		}
	}
	return true
}

// MayKnowSome reports whether there may be a bucket of which the caller may learn that it exists.
func (r *Rights) MayKnowSome() bool { return r.everything || len(r.rules) > 0 }
