package kvclient

import (
	"strings"

	"kvgateway/internal/kv"
)

// A Selection says which keys are meant: those that are named and those that the filters select, or
// all keys if it has neither; and of these, the ones that begin with the prefix.
type Selection struct {
	// Keys are the keys that are named.
	Keys []kv.Key
	// Filters select keys beside those.
	Filters kv.Filters
	// Prefix is what the keys begin with; "" for anything.
	Prefix string
}

// subjects returns the subjects whose last messages are everything that may be selected.
func (s Selection) subjects(prefix string) []string {
	seen := make(map[string]bool, len(s.Keys)+len(s.Filters)+1)
	var subjects []string
	add := func(pattern string) {
		if !seen[pattern] {
			seen[pattern] = true
			subjects = append(subjects, prefix+pattern)
		}
	}
	for _, k := range s.Keys {
		add(k.String())
	}
	if filters := s.ScanFilters(); len(filters) > 0 {
		for _, f := range filters {
			add(f.String())
		}
	} else if len(s.Keys) == 0 {
		add(kv.AllKeys.String())
	}
	return subjects
}

// ScanFilters returns filters that narrow what NATS has to send. Without filters and keys, the
// whole tokens of the prefix make one.
func (s Selection) ScanFilters() kv.Filters {
	if len(s.Filters) == 0 && len(s.Keys) == 0 {
		if f, ok := kv.PrefixFilter(s.Prefix); ok {
			return kv.Filters{f}
		}
	}
	return s.Filters
}

// matcher returns a function that reports whether a key is selected.
func (s Selection) matcher() func(key string) bool {
	named := make(map[string]bool, len(s.Keys))
	for _, k := range s.Keys {
		named[k.String()] = true
	}
	matcher := s.Filters.Matcher()
	return func(key string) bool {
		switch {
		case !strings.HasPrefix(key, s.Prefix):
			return false
		case len(s.Filters) == 0 && len(s.Keys) > 0:
			return named[key]
		}
		return named[key] || matcher.Matches(key)
	}
}
