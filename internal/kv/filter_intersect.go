package kv

import (
	"fmt"
	"strings"
)

// Intersect returns the filter that selects the keys that both filters select. It returns false if
// there are none.
func Intersect(a, b Filter) (Filter, bool) {
	var tokens []string
	restA, restB, moreA, moreB := a.pattern, b.pattern, true, true
	for moreA && moreB {
		var ta, tb string
		if restA == ">" { // It stands for all that is left of b, which is at least one token.
			return Filter{joinTokens(tokens, restB)}, true
		}
		if restB == ">" {
			return Filter{joinTokens(tokens, restA)}, true
		}
		ta, restA, moreA = strings.Cut(restA, ".")
		tb, restB, moreB = strings.Cut(restB, ".")
		switch {
		case ta == tb, tb == "*":
			tokens = append(tokens, ta)
		case ta == "*":
			tokens = append(tokens, tb)
		default:
			return Filter{}, false
		}
	}
	if moreA != moreB {
		return Filter{}, false
	}
	return Filter{strings.Join(tokens, ".")}, true
}

// joinTokens returns a filter that begins with some tokens and goes on with the rest.
func joinTokens(tokens []string, rest string) string {
	return strings.Join(append(tokens, rest), ".")
}

// Narrow returns the filters of the keys that both unions select, without those that another one
// covers. Unlike an empty Filters, which selects every key, an empty result selects none: some
// reports whether there is any. It returns a *[SyntaxError] if the result has more filters or
// tokens than a request may have.
func Narrow(a, b Filters) (both Filters, some bool, err error) {
	if len(a) == 0 {
		a = Filters{AllKeys}
	}
	if len(b) == 0 {
		b = Filters{AllKeys}
	}
	found := make(map[Filter]bool)
	for _, f := range a {
		for _, g := range b {
			common, ok := Intersect(f, g)
			if !ok || found[common] {
				continue
			}
			// Each is compared with all others below, so there must not be many.
			if len(both) == 2*MaxFilters {
				return nil, false, errTooNarrow
			}
			found[common] = true
			both = append(both, common)
		}
	}
	kept := both.withoutCovered()
	if err := kept.CheckNarrowed(); err != nil {
		return nil, false, err
	}
	return kept, len(kept) > 0, nil
}

// CheckNarrowed returns a *[SyntaxError] if filters that were narrowed are more, or have more
// tokens, than those of a request may be.
func (fs Filters) CheckNarrowed() error {
	tokens := 0
	for _, f := range fs {
		tokens += f.Tokens()
	}
	if len(fs) > MaxFilters || tokens > MaxFilterTokens {
		return errTooNarrow
	}
	return nil
}

// errTooNarrow refuses filters whose intersection is too large.
var errTooNarrow = &SyntaxError{What: "filters", Reason: fmt.Sprintf(
	"Together with what the caller may see, the filters of the request come to more than "+
		"%d filters or %d tokens. Use fewer filters, or send several requests",
	MaxFilters, MaxFilterTokens)}

// coversFilter reports whether one of the filters selects all keys that f does.
func (fs Filters) coversFilter(f Filter) bool {
	for _, wide := range fs {
		if Covers(wide.pattern, f.pattern) {
			return true
		}
	}
	return false
}

// Within reports whether each of some filters lies within one of fs. Both unions may be empty, and
// then stand for every key. A filter that only several of fs cover together counts as outside.
func (fs Filters) Within(wide Filters) bool {
	if len(wide) == 0 {
		return true
	}
	if len(fs) == 0 {
		return wide.coversFilter(AllKeys)
	}
	for _, f := range fs {
		if !wide.coversFilter(f) {
			return false
		}
	}
	return true
}
