package feed

import (
	"strings"

	"kvgateway/internal/bound"
	"kvgateway/internal/feed/copies"
	"kvgateway/internal/kv"
)

// This file keeps the digests that subscriptions tell: of the keys that their filters select, at
// the point that they have reached.
//
// A digest is kept by the feed's copy, for each set of filters that somebody asks for, so that a
// change costs the same however many subscriptions share it. A subscription that is behind the feed
// tells what the digest was at its own cursor, which the copy remembers for its last changes. There
// is none while the copy is being loaded, beyond what the copy remembers, and where there is no
// copy or no place for the set; see [copies.Digest.At] for the rest.

// A digestSet is a set of filters of which a feed keeps the digest. Feed.mu guards it.
type digestSet struct {
	// name has the filters as text.
	name string
	// filters are the filters, and patterns their texts.
	filters  kv.Filters
	patterns []string
	// users counts the subscriptions that ask for it.
	users int
	// place is what it takes of Hub.digestPlaces.
	place bound.Hold
	// of is the copy with which the digest was begun; nil for none.
	of *copies.Copy
	// kept is the digest; nil until it has begun.
	kept *copies.Digest
}

// digestBound bounds the digests that are kept.
func digestBound(set *bound.Set) *bound.Bound {
	return set.New(bound.Spec{
		Name:     "digests",
		Of:       "sets of filters of which a digest is kept for streams with digest=true",
		Unit:     bound.Places,
		Limit:    256,
		PerOwner: 128,
		AtLimit:  "the stream has no digests",
	})
}

// joinDigest makes the subscription tell digests, if it wants to, there is a copy, and there is a
// place. If it is the first to ask for this one, it goes through what the filters select. It locks
// the feed.
func (s *Subscription) joinDigest() {
	f := s.feed
	if !s.options.Digest || s.options.IgnoreDeletes || f.hub.copyMemory == nil {
		return
	}
	patterns := s.patterns()
	name := strings.Join(patterns, " ")
	f.mu.Lock()
	set := f.digests[name]
	if set == nil {
		set = &digestSet{name: name, filters: s.options.Filters, patterns: patterns}
		if !f.hub.digestPlaces.Try(&set.place, s.owner, 1, nil) {
			f.mu.Unlock()
			return
		}
		f.digests[name] = set
	}
	set.users++
	s.digest = set
	due := f.dueDigestsLocked()
	f.mu.Unlock()
	f.beginDigests(due)
}

// leaveDigestLocked makes the subscription tell no digest any more.
func (s *Subscription) leaveDigestLocked() {
	set := s.digest
	if set == nil {
		return
	}
	s.digest = nil
	if set.users--; set.users > 0 {
		return
	}
	delete(s.feed.digests, set.name)
	if set.kept != nil {
		set.kept.Drop()
	}
	set.place.Release()
}

// dueDigests are sets whose digests are to be begun with a copy.
type dueDigests struct {
	copy *copies.Copy
	sets []*digestSet
}

// dueDigestsLocked returns the sets whose digests are to be begun. Whoever calls it calls
// beginDigests.
func (f *Feed) dueDigestsLocked() (due dueDigests) {
	due.copy = f.memory.copy
	if !f.memory.complete {
		return due
	}
	for _, set := range f.digests {
		if set.of != f.memory.copy {
			set.of, set.kept = f.memory.copy, nil
			due.sets = append(due.sets, set)
		}
	}
	return due
}

// beginDigestsIfDue begins the digests that wait for a copy, on a goroutine of its own: a copy can
// have a million keys. It belongs to the source's goroutine.
func (src *source) beginDigestsIfDue() {
	f := src.feed
	f.mu.Lock()
	due := f.dueDigestsLocked()
	f.mu.Unlock()
	if len(due.sets) > 0 {
		f.hub.work.Go(func() { f.beginDigests(due) })
	}
}

// beginDigests begins digests. It locks the feed, though not while it goes through the copy.
func (f *Feed) beginDigests(due dueDigests) {
	for _, set := range due.sets {
		kept := due.copy.NewDigest(set.filters, set.patterns, f.serverNow())
		f.mu.Lock()
		switch {
		case kept == nil:
		case set.users == 0 || set.of != due.copy:
			kept.Drop()
		default:
			set.kept = kept
		}
		f.mu.Unlock()
	}
}

// digestText returns the digest of what the subscription has sent, if that is exact; "" if it tells
// none, or if it is not known. The feed is locked.
func (s *Subscription) digestText(exact bool) string {
	if !exact || s.digest == nil || s.digest.kept == nil || s.digest.of != s.feed.memory.copy {
		return ""
	}
	sum, known := s.digest.kept.At(s.cursor)
	if !known {
		return ""
	}
	return sum.String()
}
