package feed

import (
	"strings"

	"kvgateway/internal/bound"
	"kvgateway/internal/kvclient"
)

// An interests finds the subscriptions whose filters match a key. Subscriptions with an equal
// filter share an entry, so that many streams of the same filter cost a tree of one. Literal
// filters, each of which matches one key, need no tree at all. The feed's mutex guards it.
type interests struct {
	literal map[string]*interest          // by the key
	wild    map[string]*interest          // by the filter
	tree    kvclient.FilterTree[interest] // of the same
}

// An interest is a filter with the subscriptions that have it; there is at least one.
type interest struct {
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

func (in *interests) entriesOf(pattern string) map[string]*interest {
	if isWild(pattern) {
		return in.wild
	}
	return in.literal
}

func isWild(pattern string) bool { return strings.ContainsAny(pattern, "*>") }

// What a subscription takes, in bytes, as measured on a 64-bit machine and rounded up.
const (
	subscriptionBytes = 448 // the subscription itself and its place in the feed
	interestBytes     = 264 // an interest with one subscription
	nodeBytes         = 112 // one token of a filter in the tree
)

// A filter with more than shortFilter tokens takes time rather than memory: of those that have n
// tokens a key can visit 2^n nodes. Each token beyond counts for longToken others, so that what the
// filters of one client cost a change stays at some milliseconds (BenchmarkMatch).
const (
	shortFilter = 8
	longToken   = 4
)

// weight estimates the bytes that a subscription with these filters takes. What it shares with
// others is counted for each of them, since any of them may stay longer than the others.
func filterBytes(patterns []string) int64 {
	bytes := subscriptionBytes
	for _, pattern := range patterns {
		bytes += interestBytes + 2*len(pattern) // once more in the name of what is read for it
		if isWild(pattern) {
			tokens := 1 + strings.Count(pattern, ".")
			bytes += nodeBytes * (tokens + (longToken-1)*max(0, tokens-shortFilter))
		}
	}
	return int64(bytes)
}

// interestBound bounds what all subscriptions hold.
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
func patternsOf(filters kvclient.Filters) []string {
	if len(filters) == 0 {
		return []string{kvclient.AllKeys.String()}
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
