package main

import (
	"fmt"
	"maps"
	"slices"
)

// Truth is what the stream stored, by revision, also what history 1 overwrote since.
type Truth struct {
	ByRevision map[uint64]Change
	// Previous is the revision that a key had before this one, where the server told; 0 for none.
	Previous map[uint64]uint64
	// Unknown revisions were stored and overwritten unseen: nothing is claimed of them.
	Unknown map[uint64]bool
	// Kept are the revisions that the bucket holds at the end: these, and each key's latest, must have come.
	Kept map[uint64]bool
}

// Change is one revision of one key.
type Change struct {
	Revision uint64
	Key, Op  string
	Value    string
}

// Item is what one block meant to a logical client.
type Item struct {
	Kind     string // the event's name, or change, connect, refused, unreadable, id (alone), bare (without meaning)
	Change   Change
	Revision uint64 // the position of sync and bookmark
	Exact    bool
	Reason   string // of a reset, a refusal or a problem
	Resumed  bool   // of a connect: a last id was sent
}

// Violation names the promise that was broken and where in the trace.
type Violation struct {
	Promise, Detail string
	At              int
}

// resetReasons are the only ones that the contract allows.
var resetReasons = []string{"epoch", "ahead", "horizon", "unknown-id", "purged"}

// passing are the problems that a stream may begin with and that a client tries again after.
var passing = []string{"/problems/nats-unavailable", "/problems/timeout", "/problems/overloaded", "/problems/shutting-down"}

// Validate checks one logical client's trace, all its connections joined, in one epoch. matches says which keys its
// filters select. Promises hold between resets, so state starts again at each.
//
// etcd's validators (go.etcd.io/etcd/tests/v3) are not used: they take etcd's own watch responses (mod revisions shared by
// the events of a transaction, compaction errors) and a replay of etcd's key-value model. Neither snapshots, exact points
// nor history limits exist there, and their progress notifications promise more than a bookmark without "exact".
func Validate(trace []Item, truth Truth, matches func(string) bool) []Violation {
	v := &validator{truth: truth, matches: matches, byKey: map[string][]uint64{}}
	for _, revision := range slices.Sorted(maps.Keys(truth.ByRevision)) {
		if key := truth.ByRevision[revision].Key; matches(key) {
			v.byKey[key] = append(v.byKey[key], revision)
		}
	}
	v.unknown = slices.Sorted(maps.Keys(truth.Unknown))
	v.restart()
	for i, item := range trace {
		v.at = i
		v.step(item)
	}
	v.at = len(trace)
	v.finish()
	return v.found
}

type validator struct {
	truth   Truth
	matches func(string) bool
	byKey   map[string][]uint64 // the known revisions of the keys that match, rising
	unknown []uint64            // rising
	found   []Violation
	at      int

	bookmarks, exact bool // whether bookmarks tell of exactness, and what the last point told
	synced           bool
	// syncedAt is where every kept revision is owed from: a snapshot owes each key's latest only, which compare checks.
	syncedAt uint64
	position uint64 // everything up to here was promised
	last     uint64
	seen     map[uint64]bool
	state    map[string]Change
}

func (v *validator) restart() {
	v.synced, v.position, v.last = false, 0, 0
	v.seen, v.state = map[uint64]bool{}, map[string]Change{}
}

func (v *validator) fail(promise, format string, args ...any) {
	v.found = append(v.found, Violation{promise, fmt.Sprintf(format, args...), v.at})
}

func (v *validator) step(item Item) {
	switch item.Kind {
	case "change":
		v.change(item.Change)
	case "sync", "bookmark", "id":
		if item.Kind == "sync" && !v.synced {
			v.synced, v.syncedAt = true, item.Revision
		}
		v.point(item)
	case "reset":
		if !slices.Contains(resetReasons, item.Reason) {
			v.fail("resumable", "reset for the reason %q", item.Reason)
		}
		v.restart()
	case "connect":
		if !item.Resumed {
			v.restart()
		}
	case "bare", "stale", "live", "goaway":
	case "problem":
		if !slices.Contains(passing, item.Reason) {
			v.fail("resumable", "problem %s", item.Reason)
		}
	default: // a refusal by status, a deletion that nobody asked for, or what the contract does not know
		v.fail("resumable", "%s %s", item.Kind, item.Reason)
	}
}

func (v *validator) change(c Change) {
	if v.seen[c.Revision] {
		v.fail("unique", "revision %d of %s came twice", c.Revision, c.Key)
	} else if c.Revision <= v.last {
		v.fail("ordered", "revision %d after %d", c.Revision, v.last)
	}
	if v.synced && c.Revision <= v.position && !v.seen[c.Revision] {
		v.fail("bookmarkable", "revision %d after the position %d", c.Revision, v.position)
	}
	if want, ok := v.truth.ByRevision[c.Revision]; (!ok || want != c) && !v.truth.Unknown[c.Revision] {
		v.fail("reliable", "got %+v, stored was %+v", c, want)
	}
	if !v.matches(c.Key) {
		v.fail("reliable", "%s is not selected", c.Key)
	}
	v.seen[c.Revision], v.last = true, max(v.last, c.Revision)
	v.state[c.Key] = c
}

// point checks a position; only an exact one speaks for the whole state.
func (v *validator) point(item Item) {
	if item.Revision < v.position {
		v.fail("bookmarkable", "position %d after %d", item.Revision, v.position)
	}
	v.position = max(v.position, item.Revision)
	if item.Kind != "id" {
		v.bookmarks, v.exact = v.bookmarks || item.Kind == "bookmark", item.Exact
	}
	if item.Exact {
		v.compare("seamless", item.Revision)
	}
}

func (v *validator) compare(promise string, upTo uint64) {
	got, want := values(v.state), map[string]uint64{}
	for key := range v.byKey {
		revision, certain := v.latest(key, upTo)
		switch {
		case !certain:
			delete(got, key)
		case v.truth.ByRevision[revision].Op == "put": // markers are no state, so a snapshot may leave them out
			want[key] = revision
		}
	}
	if !maps.Equal(got, want) {
		v.fail(promise, "at %d: %s", upTo, difference(got, want))
	}
}

// latest is a key's revision as of upTo, and whether no unknown revision could be it instead.
func (v *validator) latest(key string, upTo uint64) (revision uint64, certain bool) {
	known := v.byKey[key]
	next, _ := slices.BinarySearch(known, upTo)
	if next < len(known) && known[next] == upTo {
		next++
	}
	if next > 0 {
		revision = known[next-1]
	}
	if next == len(known) && v.truth.Kept[revision] {
		return revision, true // it still is the latest at the end
	}
	if next < len(known) {
		if previous, told := v.truth.Previous[known[next]]; told && previous <= upTo {
			return revision, previous == revision
		}
	}
	i, found := slices.BinarySearch(v.unknown, revision+1)
	return revision, !found && (i == len(v.unknown) || v.unknown[i] > upTo)
}

func values(state map[string]Change) map[string]uint64 {
	out := map[string]uint64{}
	for key, c := range state {
		if c.Op == "put" {
			out[key] = c.Revision
		}
	}
	return out
}

func difference(got, want map[string]uint64) string {
	for _, key := range slices.Sorted(maps.Keys(want)) {
		if got[key] != want[key] {
			return fmt.Sprintf("%s is at %d, should be at %d", key, got[key], want[key])
		}
	}
	for _, key := range slices.Sorted(maps.Keys(got)) {
		if want[key] == 0 {
			return fmt.Sprintf("%s is at %d, should be gone", key, got[key])
		}
	}
	return "equal"
}

// finish holds at rest: every revision still kept since the snapshot was delivered, and the fold is the bucket.
func (v *validator) finish() {
	if !v.synced {
		v.fail("reliable", "never synced")
		return
	}
	for _, revision := range slices.Sorted(maps.Keys(v.truth.Kept)) {
		c := v.truth.ByRevision[revision]
		if revision > v.syncedAt && v.matches(c.Key) && !v.seen[revision] {
			v.fail("reliable", "revision %d of %s is kept and was not delivered", revision, c.Key)
		}
	}
	if v.bookmarks && !v.exact {
		v.fail("seamless", "at rest and not exact at %d", v.position)
	}
	v.compare("seamless", ^uint64(0))
}
