package copies

import (
	"slices"
	"strings"

	"kvgateway/internal/kv"
)

// A keyRange is a range of keys in the order of their bytes.
type keyRange struct {
	// from is where it begins.
	from string
	// to is where it ends, without this key itself; "" for nowhere.
	to string
	// all says that every key of the range is selected, so that none has to be matched.
	all bool
}

// has reports whether a key, which is not before the range, is in it.
func (r keyRange) has(key string) bool { return r.to == "" || key < r.to }

// contains reports whether another range lies within this one.
func (r keyRange) contains(other keyRange) bool {
	return r.from <= other.from && (r.to == "" || other.to != "" && other.to <= r.to)
}

// rangesOf returns the disjoint ranges, in order, that have all keys which filters select.
//
// A filter's range has the keys that begin as it does, up to its first wildcard; and that of a
// filter without a wildcard, its one key. Of two such ranges one contains the other, or they have
// nothing in common.
func rangesOf(filters kv.Filters) (ranges []keyRange) {
	if len(filters) == 0 {
		return []keyRange{{all: true}}
	}
	for _, f := range filters {
		ranges = append(ranges, rangeOf(f))
	}
	slices.SortFunc(ranges, func(a, b keyRange) int {
		switch {
		case a == b:
			return 0
		case a.contains(b) && (!b.contains(a) || a.all): // the wider one first
			return -1
		case b.contains(a):
			return 1
		}
		return strings.Compare(a.from, b.from)
	})
	kept := ranges[:1]
	for _, r := range ranges[1:] {
		if !kept[len(kept)-1].contains(r) {
			kept = append(kept, r)
		}
	}
	return kept
}

// rangeOf returns the range of a filter.
func rangeOf(f kv.Filter) keyRange {
	prefix := f.LiteralPrefix()
	if f.IsLiteral() {
		return keyRange{from: prefix, to: prefix + "\x00", all: true}
	}
	// A key does not end with a dot, so that all keys that begin with the prefix go on behind it.
	all := f.String() == prefix+">"
	if prefix == "" {
		return keyRange{all: all}
	}
	// The prefix ends with a dot, since a wildcard is a token of its own.
	end := prefix[:len(prefix)-1] + string(prefix[len(prefix)-1]+1)
	return keyRange{from: prefix, to: end, all: all}
}
