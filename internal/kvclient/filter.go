package kvclient

import (
	"fmt"
	"strings"
)

const (
	// MaxFilters bounds the filters of one request.
	MaxFilters = 64

	// MaxFilterBytes bounds one filter, for the reason of [MaxKeyBytes].
	MaxFilterBytes = 1024
)

// A Filter selects keys as a NATS subject filter does: `*` stands for one token, `>` as the last token for one or more.
// The zero Filter is not valid; make one with [ParseFilter].
type Filter struct{ pattern string }

// AllKeys is the filter that every key matches.
var AllKeys = Filter{">"}

// ParseFilter checks a filter. A wildcard must be a token of its own and `>` the last: NATS takes `user*` literally and
// would match nothing, so it is refused here. It returns a *[SyntaxError].
func ParseFilter(s string) (Filter, error) {
	if len(s) > MaxFilterBytes {
		return Filter{}, &SyntaxError{What: "filter", Offset: MaxFilterBytes,
			Reason: fmt.Sprintf("it has %d bytes, the limit is %d", len(s), MaxFilterBytes)}
	}
	if err := checkTokens("filter", s, "*>"); err != nil {
		return Filter{}, err
	}
	offset := 0
	for token := range strings.SplitSeq(s, ".") {
		if i := strings.IndexAny(token, "*>"); i >= 0 && len(token) > 1 {
			return Filter{}, &SyntaxError{What: "filter", Offset: offset + i,
				Reason: fmt.Sprintf("the wildcard %q must be a whole token, between dots", token[i])}
		}
		if token == ">" && offset != len(s)-1 {
			return Filter{}, &SyntaxError{What: "filter", Offset: offset, Reason: "the wildcard '>' must be the last token"}
		}
		offset += len(token) + 1
	}
	return Filter{s}, nil
}

// String returns the filter as it was given to ParseFilter.
func (f Filter) String() string { return f.pattern }

// Matches tells whether the filter selects the key.
func (f Filter) Matches(key string) bool { return covers(f.pattern, key) }

// covers tells whether every key that narrow selects is selected by wide too; a key is a narrow filter of itself.
func covers(wide, narrow string) bool {
	for {
		w, wideRest, wideMore := strings.Cut(wide, ".")
		n, narrowRest, narrowMore := strings.Cut(narrow, ".")
		switch {
		case w == ">":
			return true
		case n == ">", w != "*" && w != n:
			return false
		case !wideMore || !narrowMore:
			return wideMore == narrowMore
		}
		wide, narrow = wideRest, narrowRest
	}
}

// overlap tells whether some key is selected by both.
func overlap(a, b string) bool {
	for {
		ta, restA, moreA := strings.Cut(a, ".")
		tb, restB, moreB := strings.Cut(b, ".")
		switch {
		case ta == ">" || tb == ">":
			return true
		case ta != tb && ta != "*" && tb != "*":
			return false
		case !moreA || !moreB:
			return moreA == moreB
		}
		a, b = restA, restB
	}
}

// Filters is a union of filters. An empty union selects every key.
type Filters []Filter

// Matches tells whether any of the filters selects the key.
func (fs Filters) Matches(key string) bool {
	for _, f := range fs {
		if f.Matches(key) {
			return true
		}
	}
	return len(fs) == 0
}

// cover returns disjoint filters that together select at least what fs does: a consumer with overlapping filters is
// refused by the server (10138). Exact is false if they select more, so that keys must be matched against fs once more.
func (fs Filters) cover() (disjoint []string, exact bool) {
	for i, f := range fs {
		if !fs.coveredByAnother(i) {
			disjoint = append(disjoint, f.pattern)
		}
	}
	if len(disjoint) == 0 {
		return []string{AllKeys.pattern}, true
	}
	for i := range disjoint {
		for j := range i {
			if overlap(disjoint[i], disjoint[j]) {
				return []string{AllKeys.pattern}, false
			}
		}
	}
	return disjoint, true
}

// coveredByAnother tells whether filter i adds nothing; of two equal filters the first stays.
func (fs Filters) coveredByAnother(i int) bool {
	for j, other := range fs {
		if i != j && covers(other.pattern, fs[i].pattern) && (j < i || other != fs[i]) {
			return true
		}
	}
	return false
}
