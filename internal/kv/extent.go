package kv

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// SubjectPrefix is what the subjects of buckets begin with (ADR-8).
const SubjectPrefix = "$KV."

// A MirrorExtent is which keys of its origin a mirror holds under their names, as patterns of keys
// with the wildcards of NATS; nil for all of them, and none if it holds none. A write that goes to
// the origin outside of them never comes back: it would be acknowledged, and the key would be
// missing in the mirror for ever (TestMirrorRefusesWritesOutsideItsFilter).
type MirrorExtent []string

// Holds reports whether a mirror with that extent holds the key.
func (e MirrorExtent) Holds(k Key) bool {
	for _, pattern := range e {
		if Covers(pattern, k.String()) {
			return true
		}
	}
	return e == nil
}

// Extent returns the extent of a mirror of the source. Subjects that a transform changes are not in
// it, since the entry is not where it would be looked for.
func (s *Source) Extent() MirrorExtent {
	patterns := []string{s.FilterSubject}
	if len(s.SubjectTransforms) > 0 {
		patterns = patterns[:0]
		for _, t := range s.SubjectTransforms {
			if keepsSubjects(t.Source, t.Destination) {
				patterns = append(patterns, t.Source)
			}
		}
	}
	extent := MirrorExtent{}
	for _, pattern := range patterns {
		keys, some := s.keysIn(pattern)
		if keys == AllKeys.pattern {
			return nil
		}
		if some {
			extent = append(extent, keys)
		}
	}
	return extent
}

// ShowsKeys reports whether a mirror of the source can have entries where its keys are looked for:
// below the origin's subjects.
func (s *Source) ShowsKeys() bool {
	if len(s.SubjectTransforms) == 0 {
		_, some := s.keysIn(s.FilterSubject)
		return some
	}
	for _, t := range s.SubjectTransforms {
		pattern := t.Source
		if t.Destination != "" {
			pattern = wildcardNumber.ReplaceAllString(t.Destination, "*")
		}
		if _, some := s.keysIn(pattern); some {
			return true
		}
	}
	return false
}

// Bucket returns the name of the bucket that the source is.
func (s *Source) Bucket() string { return strings.TrimPrefix(s.Name, StreamPrefix) }

// keysIn returns the pattern of the keys of the source's bucket whose subjects match a pattern; ""
// matches all. The result some reports whether there can be any: "$KV.*.a.>" has "a.>", and "a.>"
// has none.
func (s *Source) keysIn(pattern string) (keys string, some bool) {
	if pattern == "" {
		return AllKeys.pattern, true
	}
	for _, token := range []string{"$KV", s.Bucket()} {
		want, rest, more := strings.Cut(pattern, ".")
		switch {
		case want == ">" && !more:
			return AllKeys.pattern, true
		case want != "*" && want != token || !more:
			return "", false
		}
		pattern = rest
	}
	return pattern, true
}

// filterFault says what is wrong with the filter of a mirror that can never have an entry; "" if
// nothing is.
func (s *Source) filterFault() string {
	if len(s.SubjectTransforms) > 0 || s.ShowsKeys() {
		return ""
	}
	prefix := SubjectPrefix + s.Bucket() + "."
	fault := fmt.Sprintf("filter_subject %.100q selects no key of %s: it is a filter of subjects, "+
		"and the subject of a key is %s followed by the key", s.FilterSubject, s.Bucket(), prefix)
	if _, err := ParseFilter(s.FilterSubject); err == nil {
		fault += fmt.Sprintf("; for the keys %.100s write %.200q",
			s.FilterSubject, prefix+s.FilterSubject)
	}
	return fault
}

// wildcardNumber is how a transform refers to a wildcard of its source (ADR-30).
var wildcardNumber = regexp.MustCompile(`(?i)\{\{\s*wildcard\(\s*(\d+)\s*\)\s*\}\}|\$(\d+)`)

// keepsSubjects reports whether a transform maps each subject to itself. Without a destination it
// only selects.
func keepsSubjects(source, destination string) bool {
	last, inOrder := 0, true
	pattern := wildcardNumber.ReplaceAllStringFunc(destination, func(reference string) string {
		digits := wildcardNumber.FindStringSubmatch(reference)
		number, err := strconv.Atoi(digits[1] + digits[2])
		inOrder = inOrder && err == nil && number == last+1
		last = number
		return "*"
	})
	return destination == "" || destination == source || inOrder && pattern == source
}
