package feed

import (
	"strings"

	"kvgateway/internal/bound"
	"kvgateway/internal/kv"
)

// An interests finds the subscriptions whose filters match a key. A change is matched with the
// filters of all subscriptions while the feed is locked, so what counts is the time that this
// takes.
//
// Subscriptions with an equal filter share an entry, so that many of them cost as much as one.
// Literal filters, each of which matches one key, are found by the key. The others are in a tree
// whose nodes are a sixth of those of nats-server's gsl: a subscription with 512 tokens took 180
// KB there, and takes 40 KB here. A key of n tokens visits at most 2^n nodes, so what matters is
// how many long filters there are.
//
// # A subscription pays for its filters
//
// Each subscription is charged for what it takes, and long filters for more (filterBytes). One
// client's share is what costs a change 1.3 ms at worst (BenchmarkMatch); with gsl and 32 MiB it
// was 12.9 ms.
//
// Feed.mu guards an interests.
type interests struct {
	// literal has the filters without wildcards, by the key that each matches.
	literal map[string]*interest
	// wild has the filters with wildcards.
	wild map[string]*interest
	// tree finds the entries of wild whose filter matches a key.
	tree kv.FilterTree[interest]
}

// An interest stands for a filter.
type interest struct {
	// subs has the subscriptions with that filter; there is at least one.
	subs map[*Subscription]struct{}
}

func newInterests() interests {
	return interests{literal: make(map[string]*interest), wild: make(map[string]*interest)}
}

// Match calls visit with each subscription that has a filter which matches the key, once for each
// such filter.
func (in *interests) Match(key string, visit func(*Subscription)) {
	if i := in.literal[key]; i != nil {
		i.each(visit)
	}
	if len(in.wild) > 0 {
		in.tree.Match(key, func(i *interest) { i.each(visit) })
	}
}

// each calls visit with each subscription that has the filter.
func (i *interest) each(visit func(*Subscription)) {
	for s := range i.subs {
		visit(s)
	}
}

// add enters a subscription under each of its filters.
func (in *interests) add(s *Subscription) {
	for _, pattern := range s.patterns() {
		entries := in.entriesOf(pattern)
		i := entries[pattern]
		if i == nil {
			i = &interest{subs: make(map[*Subscription]struct{})}
			entries[pattern] = i
			if isWild(pattern) {
				in.tree.Set(pattern, i)
			}
		}
		i.subs[s] = struct{}{}
	}
}

// remove undoes add. A subscription that was not added is left alone.
func (in *interests) remove(s *Subscription) {
	for _, pattern := range s.patterns() {
		entries := in.entriesOf(pattern)
		i := entries[pattern]
		if i == nil {
			continue
		}
		if delete(i.subs, s); len(i.subs) > 0 {
			continue
		}
		delete(entries, pattern)
		if isWild(pattern) {
			in.tree.Set(pattern, nil)
		}
	}
}

// entriesOf returns the map that has the entry of a filter, or would have it.
func (in *interests) entriesOf(pattern string) map[string]*interest {
	if isWild(pattern) {
		return in.wild
	}
	return in.literal
}

func isWild(pattern string) bool { return strings.ContainsAny(pattern, "*>") }

// What a subscription takes, in bytes, as measured on a 64-bit machine and rounded up.
const (
	// subscriptionBytes is for the subscription itself, and for its entry in the feed.
	subscriptionBytes = 448
	// interestBytes is for an interest with one subscription.
	interestBytes = 264
	// nodeBytes is for one token of a filter in the tree.
	nodeBytes = 112
)

const (
	// shortFilter is how many tokens a filter may have at the ordinary price. Longer ones take
	// time rather than memory: of the filters with n tokens, a key can visit 2^n nodes.
	shortFilter = 8
	// longToken is for how many tokens each one beyond shortFilter counts, so that what the
	// filters of one client cost a change stays at some milliseconds (BenchmarkMatch).
	longToken = 4
)

// filterBytes estimates the bytes that a subscription with these filters takes. What it shares
// with others is counted for each of them, since any of them may stay longer than the others.
func filterBytes(patterns []string) int64 {
	bytes := subscriptionBytes
	for _, pattern := range patterns {
		bytes += interestBytes + 2*len(pattern) // readingKey.filters has the text once more
		if isWild(pattern) {
			tokens := 1 + strings.Count(pattern, ".")
			bytes += nodeBytes * (tokens + (longToken-1)*max(0, tokens-shortFilter))
		}
	}
	return int64(bytes)
}

// filterBound bounds what all subscriptions hold.
func filterBound(set *bound.Set) *bound.Bound {
	return set.New(bound.Spec{
		Name:     "stream-filters",
		Of:       "memory of the streams and long polls with their filters",
		Unit:     bound.Bytes,
		Limit:    64 << 20,
		PerOwner: 24 << 20,
		AtLimit:  "the stream or long poll is refused with 429 or 503",
	})
}

// patternsOf returns the filters as text, each once.
func patternsOf(filters kv.Filters) []string {
	if len(filters) == 0 {
		return []string{kv.AllKeys.String()}
	}
	seen := make(map[string]bool, len(filters))
	var patterns []string
	for _, f := range filters {
		if !seen[f.String()] {
			seen[f.String()] = true
			patterns = append(patterns, f.String())
		}
	}
	return patterns
}
