package auth

import (
	"slices"
	"strings"

	"kvgateway/internal/kv"
)

// Rights are what a caller may do: what any of their rules allows. Nothing takes a right away. They
// do not change. The zero Rights allow nothing.
type Rights struct {
	// everything reports whether everything is allowed, without any rule.
	everything bool
	// rules are the rules.
	rules []Rule
	// narrowings are the answers that Narrow has given; nil if they are not remembered.
	narrowings narrowings
}

// Everything are the rights of callers of whom the gateway asks nothing: all of them where there is
// no auth file, and those whose NATS credential is passed through, for whom NATS decides.
var Everything = &Rights{everything: true}

// NewRights returns the rights of some rules.
func NewRights(rules ...Rule) *Rights { return &Rights{rules: rules} }

// Equal reports whether the rules of both are the same, in the same order.
func (r *Rights) Equal(other *Rights) bool {
	return r == other || r.everything == other.everything &&
		slices.EqualFunc(r.rules, other.rules, func(a, b Rule) bool {
			return a.Bucket == b.Bucket && a.Can == b.Can && slices.Equal(a.Keys, b.Keys)
		})
}

// A Rule allows some actions with some keys of some buckets.
type Rule struct {
	// Bucket says in which buckets.
	Bucket BucketPattern
	// Keys select the keys. Like all filters, none select every key; a file with an empty list is
	// refused.
	Keys kv.Filters
	// Can is what is allowed.
	Can Actions
	// Role and Line are the role of an auth file that has the rule, and where. They decide nothing.
	Role string
	Line int
}

// A BucketPattern is the name of a bucket, or a prefix of names. The zero BucketPattern is not
// valid.
type BucketPattern struct {
	// name is the name or the prefix.
	name string
	// isPrefix reports whether all names that begin with name are meant.
	isPrefix bool
}

// ParseBucketPattern reads the name of a bucket, or a prefix of names that ends in *. It returns
// the error of [kv.ParseBucketName].
func ParseBucketPattern(text string) (BucketPattern, error) {
	name, isPrefix := strings.CutSuffix(text, "*")
	if isPrefix && name == "" {
		return BucketPattern{isPrefix: true}, nil
	}
	if _, err := kv.ParseBucketName(name); err != nil {
		return BucketPattern{}, err
	}
	return BucketPattern{name, isPrefix}, nil
}

// Matches reports whether the pattern means the bucket.
func (p BucketPattern) Matches(bucket kv.BucketName) bool {
	if p.isPrefix {
		return strings.HasPrefix(bucket.String(), p.name)
	}
	return bucket.String() == p.name
}

// isAll reports whether the pattern means every bucket.
func (p BucketPattern) isAll() bool { return p.isPrefix && p.name == "" }

// String returns the pattern as a file has it.
func (p BucketPattern) String() string {
	if p.isPrefix {
		return p.name + "*"
	}
	return p.name
}

// AllowEverything reports whether there is nothing that is not allowed.
func (r *Rights) AllowEverything() bool { return r.everything }

// Rules returns the rules. They must not be changed.
func (r *Rights) Rules() []Rule { return r.rules }

// May reports whether all the actions are allowed with a key.
func (r *Rights) May(actions Actions, bucket kv.BucketName, key kv.Key) bool {
	if r.everything {
		return true
	}
	var allowed Actions
	for i := range r.rules {
		rule := &r.rules[i]
		if rule.Can&actions != 0 && rule.Bucket.Matches(bucket) && rule.Keys.Matches(key.String()) {
			allowed |= rule.Can
		}
	}
	return allowed.Has(actions)
}

// Know reports whether any rule is about the bucket, so that the caller may learn whether it
// exists.
func (r *Rights) Know(bucket kv.BucketName) bool {
	if r.everything {
		return true
	}
	for i := range r.rules {
		if r.rules[i].Bucket.Matches(bucket) {
			return true
		}
	}
	return false
}

// Administer reports whether the bucket itself may be created, configured and deleted.
func (r *Rights) Administer(bucket kv.BucketName) bool {
	if r.everything {
		return true
	}
	for i := range r.rules {
		rule := &r.rules[i]
		if rule.Can.Has(Configure) && len(rule.Keys) == 0 && rule.Bucket.Matches(bucket) {
			return true
		}
	}
	return false
}

// AdministerAll reports whether every bucket may be configured, and with it what is outside of
// buckets.
func (r *Rights) AdministerAll() bool {
	if r.everything {
		return true
	}
	for i := range r.rules {
		rule := &r.rules[i]
		if rule.Can.Has(Configure) && len(rule.Keys) == 0 && rule.Bucket.isAll() {
			return true
		}
	}
	return false
}

// Reach returns the keys of a bucket with which an action is allowed. It takes one action.
func (r *Rights) Reach(action Actions, bucket kv.BucketName) Reach {
	if r.everything {
		return Reach{all: true}
	}
	var reach Reach
	for i := range r.rules {
		rule := &r.rules[i]
		switch {
		case !rule.Can.Has(action) || !rule.Bucket.Matches(bucket):
		case len(rule.Keys) == 0:
			return Reach{all: true}
		default:
			reach.filters = append(reach.filters, rule.Keys...)
		}
	}
	return reach
}

// A Reach is a set of keys of one bucket. The zero Reach has none.
type Reach struct {
	// all reports whether it has every key.
	all bool
	// filters select the keys otherwise; none select none, unlike in a request.
	filters kv.Filters
}

// IsAll reports whether the reach has every key.
func (r Reach) IsAll() bool { return r.all }

// IsEmpty reports whether the reach has no key.
func (r Reach) IsEmpty() bool { return !r.all && len(r.filters) == 0 }

// Has reports whether a key is in the reach.
func (r Reach) Has(key string) bool {
	return r.all || len(r.filters) > 0 && r.filters.Matches(key)
}

// Covers reports whether everything that some filters select is in the reach. The filters must lie
// within one filter of the reach each.
func (r Reach) Covers(filters kv.Filters) bool {
	return r.all || len(r.filters) > 0 && filters.Within(r.filters)
}

// Narrow returns filters for what is both selected by the given ones and in the reach. It returns
// false if that is nothing; the filters must not be used then, since none select every key. The
// error is that of [kv.Narrow].
func (r Reach) Narrow(filters kv.Filters) (narrowed kv.Filters, some bool, err error) {
	switch {
	case r.all:
		return filters, true, nil
	case len(r.filters) == 0:
		return nil, false, nil
	}
	return kv.Narrow(filters, r.filters)
}
