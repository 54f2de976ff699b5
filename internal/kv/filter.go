package kv

import (
	"fmt"
	"strings"
)

const (
	// MaxFilters bounds the filters of one request.
	MaxFilters = 64

	// MaxFilterBytes bounds one filter, for the reason of [MaxKeyBytes].
	MaxFilterBytes = 1024

	// MaxWildcardTokens bounds the tokens of a filter that has a wildcard. The server compares such
	// filters with every subject of a stream, token by token, while it holds the stream's lock: 64
	// filters of 500 tokens stopped all writes for half a minute, also those of other buckets, and
	// 64 of 32 tokens for 0.13 s (measured). So the bytes of filters are not enough of a bound.
	MaxWildcardTokens = 32

	// MaxFilterTokens bounds the tokens of all filters of one request together. It is as many as
	// the longest key has, which is a filter that selects itself.
	MaxFilterTokens = 512
)

// A Filter selects keys as a NATS subject filter does: `*` stands for one token, and `>` as the
// last token for one or more. The zero Filter is not valid; make one with [ParseFilter].
type Filter struct {
	// pattern is the filter's text, which is valid.
	pattern string
}

// AllKeys is the filter that every key matches.
var AllKeys = Filter{">"}

// ParseFilter checks a filter. A wildcard must be a token of its own, and `>` must be the last:
// NATS takes `user*` literally, which would match nothing, so it is refused here. It returns a
// *[SyntaxError]. The filters of a request are parsed together, by [ParseFilters].
func ParseFilter(s string) (Filter, error) {
	if len(s) > MaxFilterBytes {
		return Filter{}, &SyntaxError{What: "filter", Offset: MaxFilterBytes,
			Reason: fmt.Sprintf("it has %d bytes and may have %d", len(s), MaxFilterBytes)}
	}
	if err := checkTokens("filter", s, "*>"); err != nil {
		return Filter{}, err
	}
	offset := 0
	for token := range strings.SplitSeq(s, ".") {
		if i := strings.IndexAny(token, "*>"); i >= 0 && len(token) > 1 {
			return Filter{}, &SyntaxError{What: "filter", Offset: offset + i,
				Reason: fmt.Sprintf("the wildcard %q must be a whole token, between dots",
					token[i])}
		}
		if token == ">" && offset != len(s)-1 {
			return Filter{}, &SyntaxError{What: "filter", Offset: offset,
				Reason: "the wildcard '>' must be the last token"}
		}
		offset += len(token) + 1
	}
	f := Filter{strings.Clone(s)} // it may live longer than the request that it came with
	if tokens := f.Tokens(); tokens > MaxWildcardTokens && !f.IsLiteral() {
		return Filter{}, &SyntaxError{What: "filters", Reason: fmt.Sprintf(
			"A filter with a wildcard has at most %d tokens, and this one has %d. "+
				"End it earlier with '>', and leave out of the answer what is too much",
			MaxWildcardTokens, tokens)}
	}
	return f, nil
}

// ParseFilters parses the filters of one request, all of them together, since their number and
// their tokens are bounded for the request. Every route parses its filters here
// (TestFilterTokensAreBoundedOnEveryRoute). It returns a *[SyntaxError].
func ParseFilters(patterns []string) (Filters, error) {
	if len(patterns) > MaxFilters {
		return nil, &SyntaxError{What: "filters", Reason: fmt.Sprintf(
			"A request has at most %d filters, and this one has %d. "+
				"Use wildcards, or send several requests",
			MaxFilters, len(patterns))}
	}
	var filters Filters
	tokens := 0
	for _, pattern := range patterns {
		f, err := ParseFilter(pattern)
		if err != nil {
			return nil, err
		}
		filters = append(filters, f)
		tokens += f.Tokens()
	}
	if tokens > MaxFilterTokens {
		return nil, &SyntaxError{What: "filters", Reason: fmt.Sprintf(
			"The filters of a request have at most %d tokens in all, and these have %d. "+
				"Use shorter or fewer filters, or send several requests", MaxFilterTokens, tokens)}
	}
	return filters, nil
}

// FilterOf returns the filter that selects the key and no other.
func FilterOf(k Key) Filter { return Filter{k.name} }

// PrefixFilter returns a filter that selects at least the keys that begin with prefix. It is made
// of as many whole tokens of the prefix as a filter may have. PrefixFilter returns false if the
// prefix has no whole token, or is not the beginning of a key.
func PrefixFilter(prefix string) (Filter, bool) {
	end := 0
	for range MaxWildcardTokens - 1 {
		dot := strings.IndexByte(prefix[end:], '.')
		if dot < 0 {
			break
		}
		end += dot + 1
	}
	if end == 0 {
		return Filter{}, false
	}
	f, err := ParseFilter(prefix[:end] + ">")
	return f, err == nil
}

// Tokens returns how many tokens the filter has.
func (f Filter) Tokens() int { return 1 + strings.Count(f.pattern, ".") }

// IsLiteral reports whether the filter has no wildcard, and so selects the one key of its name.
func (f Filter) IsLiteral() bool { return !strings.ContainsAny(f.pattern, "*>") }

// String returns the filter as it was given to ParseFilter.
func (f Filter) String() string { return f.pattern }

// Matches reports whether the filter selects the key.
func (f Filter) Matches(key string) bool { return Covers(f.pattern, key) }

// Covers reports whether wide selects every key that narrow selects. A key is a narrow filter that
// selects itself.
func Covers(wide, narrow string) bool {
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

// overlap reports whether some key is selected by both filters.
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

// Matches reports whether any of the filters selects the key.
func (fs Filters) Matches(key string) bool {
	for _, f := range fs {
		if f.Matches(key) {
			return true
		}
	}
	return len(fs) == 0
}

// maxWalks is how many filters the server is given that make it walk through the same subjects.
// When a consumer is created it walks through a stream's subjects once for each filter with a
// wildcard, with the stream's lock held: 64 filters of 8 tokens kept the lock of 11,000 keys for 25
// ms, and 8 such filters for 4 ms (measured). More are replaced by one filter for all of those
// subjects. Then the gateway reads more, without the lock, and selects with its own tree
// ([FilterTree]); a bucket of large values pays for that with the reading of all of them.
const maxWalks = 16

// A Matcher reports whether any of some filters selects a key, as [Filters.Matches] does, in a time
// that hardly grows with their number.
type Matcher struct {
	// filters are the filters, if they are few.
	filters Filters
	// tree has the filters, if they are many; else it is nil.
	tree *FilterTree[struct{}]
}

// maxCompared is up to how many filters comparing them one by one is faster than a tree.
const maxCompared = 4

// Matcher returns a matcher of the filters.
func (fs Filters) Matcher() Matcher {
	m := Matcher{filters: fs}
	if len(fs) > maxCompared {
		m.tree = new(FilterTree[struct{}])
		for _, f := range fs {
			m.tree.Set(f.pattern, &struct{}{})
		}
	}
	return m
}

// Matches reports whether any of the filters selects the key.
func (m Matcher) Matches(key string) bool {
	if m.tree != nil {
		return m.tree.Has(key)
	}
	return m.filters.Matches(key)
}

// Cover returns disjoint filters that together select at least what fs does. The server refuses a
// consumer with overlapping filters (10138), and many filters with the same beginning cost
// everybody else too much (see maxWalks). Exact is false if the returned filters select more, so
// that keys must be matched against fs once more.
func (fs Filters) Cover() (disjoint []string, exact bool) {
	walked, all := fs.fewerWalks()
	disjoint, exact = walked.disjoint()
	return disjoint, exact && all
}

// fewerWalks returns the filters, with one filter in the place of all those that make the server
// walk through the same subjects, if these are more than maxWalks. All says that none was replaced.
func (fs Filters) fewerWalks() (fewer Filters, all bool) {
	if len(fs) <= maxWalks {
		return fs, true
	}
	replaced := make(map[string]bool)
	for _, f := range fs {
		if f.IsLiteral() {
			fewer = append(fewer, f)
			continue
		}
		// The server walks through what is below the filter's literal beginning for each filter
		// with that beginning, or with a shorter one that leads there.
		beginning := f.LiteralPrefix()
		walks, shortest := 0, beginning
		for _, other := range fs {
			prefix := other.LiteralPrefix()
			if !other.IsLiteral() && strings.HasPrefix(beginning, prefix) {
				walks++
				shortest = shortest[:min(len(shortest), len(prefix))]
			}
		}
		switch {
		case walks <= maxWalks:
			fewer = append(fewer, f)
		case !replaced[shortest]:
			replaced[shortest] = true
			fewer = append(fewer, Filter{shortest + ">"})
		}
	}
	return fewer, len(replaced) == 0
}

// LiteralPrefix returns what stands before the filter's first wildcard, such as "a." for a.>, and
// all of a filter that has none.
func (f Filter) LiteralPrefix() string {
	if i := strings.IndexAny(f.pattern, "*>"); i >= 0 {
		return f.pattern[:i]
	}
	return f.pattern
}

// disjoint is Cover without regard to what the filters cost.
func (fs Filters) disjoint() (disjoint []string, exact bool) {
	for _, f := range fs.withoutCovered() {
		disjoint = append(disjoint, f.pattern)
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

// withoutCovered returns the filters that add something to the others. Of two equal filters the
// first one stays. It compares each with all others.
func (fs Filters) withoutCovered() (kept Filters) {
	starts := make([]string, len(fs))
	for i, f := range fs {
		starts[i] = f.start()
	}
	for i := range fs {
		if !fs.coveredByAnother(i, starts) {
			kept = append(kept, fs[i])
		}
	}
	return kept
}

// start returns what all keys that the filter selects begin with.
func (f Filter) start() string {
	if i := strings.IndexAny(f.pattern, "*>"); i >= 0 {
		return f.pattern[:i]
	}
	return f.pattern
}

// coveredByAnother reports whether filter i adds nothing. The starts of all filters rule most of
// them out for less than a comparison takes.
func (fs Filters) coveredByAnother(i int, starts []string) bool {
	f := fs[i]
	for j, other := range fs {
		if i != j && strings.HasPrefix(f.pattern, starts[j]) &&
			Covers(other.pattern, f.pattern) && (j < i || other != f) {
			return true
		}
	}
	return false
}
