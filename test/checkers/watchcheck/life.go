package main

import (
	"maps"
	"slices"
	"sort"
	"time"
)

// A Bucket is what is known of a bucket: its lives, in order. It is created anew now and then.
type Bucket struct {
	Name  string
	Lives []*Life
}

// A Life is one epoch of a bucket: what was stored in it, and what may have been removed from it.
type Life struct {
	Epoch   string
	Asked   time.Time // when its creation was asked for
	Created time.Time // when its creation was known
	Deleted time.Time // when its deletion was asked for; zero while it lives
	// Parent is the life of the same epoch whose end a crash or a restored data directory took back,
	// nil for a life that began with an empty bucket. Lost is when that happened to this life.
	Parent *Life `json:"-"`
	Lost   time.Time
	// N is the number in the subject that the life republishes to. A branch has its parent's.
	N int
	// Configs are when changes of the configuration were made that move when entries expire, up to
	// when everybody must have been told.
	Configs []Window
	// Ages are when and after what time the stream removed its messages (max_age).
	Ages []Age
	// Lags are when a copy may have been behind its origin.
	Lags []Window
	// KeepsAll says that times to live in messages mean nothing here.
	KeepsAll bool
	Limits   []Limit // of the history; the first is from the beginning
	Removals []*Removal
	// Crashes are when the server had been killed. A crash can bring back values that the marker of
	// a removal hid (internal/natsd/doc.go, "What cannot be repaired"). Of such a key nothing is
	// claimed until it is written again.
	Crashes []time.Time

	Records map[uint64]*Record
	// Unknown revisions were stored and overwritten unseen: nothing is claimed of them.
	Unknown map[uint64]bool
	// Rewritten are the unknown revisions that stood for two changes: a crash of the server took the first back.
	Rewritten map[uint64]bool
	End       uint64 // the last known revision
	unknown   []uint64
	known     []uint64 // rising, as the unknown ones
	shared    uint64   // the last revision that a branch has in common with its parent
}

// A Window is a time in which nothing is claimed of a fold.
type Window struct{ From, To time.Time }

// unsettled reports whether a change of the configuration may have been made at a moment, and may not
// be known to who was told of something at an earlier one.
func (l *Life) unsettled(told, now time.Time) bool {
	return slices.ContainsFunc(l.Configs, func(w Window) bool { return w.holds(told, now) })
}

// holds reports whether a window concerns who is told something at now that may have been said when it
// was told at the earliest.
func (w Window) holds(told, now time.Time) bool {
	return !w.To.IsZero() && !w.From.After(now) && told.Before(w.To)
}

// Change is one revision of one key.
type Change struct {
	Revision uint64
	Key, Op  string
	Value    string // its digest, see digest
}

// A Record is a change that the bucket stored, and how long it was there.
type Record struct {
	Change
	At       time.Time // when the server stored it
	Size     int
	Previous uint64        // the revision that the key had before, 0 for none
	Told     bool          // Previous is known
	Kept     bool          // the bucket holds it at the end
	TTL      time.Duration // its own time to live, 0 for none

	// Until is until when the bucket certainly held it: what is read before then must have it.
	Until time.Time
	// GoneFrom is when a removal may first have hit it, and GoneBy when who watches must have learnt of one that did; zero for never.
	GoneFrom, GoneBy time.Time
	// Doubt is when nothing is claimed of the key because of this revision.
	Doubt Window
	// Alone says that what may have removed it left the key's older revisions.
	Alone bool
}

// A Limit is how many revisions of a key are kept from a moment on.
type Limit struct {
	At time.Time
	N  int
}

// A Removal took messages out of the stream otherwise than by storing something.
type Removal struct {
	bucket     string
	Name       string
	Start, End time.Time
	// Known is when the gateway must have told its watchers at the latest.
	Known time.Time
	// Hits tells of the i-th of a key's revisions whether it may have been removed, and whether it certainly was.
	Hits func(l *Life, key string, revisions []uint64, i int) (maybe, certain bool) `json:"-"`
	// Alone says that it takes one revision and leaves the key's older ones.
	Alone bool
}

// everything hits what was stored before a purge of the keys that match.
func (r *Removal) everything(matches func(string) bool) {
	r.Hits = func(l *Life, key string, revisions []uint64, i int) (bool, bool) {
		at := l.Records[revisions[i]].At
		return matches(key) && !at.After(r.End), matches(key) && at.Before(r.Start)
	}
}

// anything may hit what was stored before its end.
func (r *Removal) anything() {
	r.Hits = func(l *Life, _ string, revisions []uint64, i int) (bool, bool) {
		return !l.Records[revisions[i]].At.After(r.End), false
	}
}

// markers hits the keys whose last revision is a marker, and what is stored over it meanwhile: a native PurgeDeletes takes that along.
func (r *Removal) markers() {
	r.Hits = func(l *Life, _ string, revisions []uint64, i int) (bool, bool) {
		if at := l.Records[revisions[i]].At; !at.Before(r.Start) {
			return !at.After(r.End), false
		}
		last := sort.Search(len(revisions), func(j int) bool { return !l.Records[revisions[j]].At.Before(r.Start) }) - 1
		return l.Records[revisions[last]].Op != "put", false
	}
}

var never = time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)

// settle works out how long each revision was there, once everything is known.
func (l *Life) settle() {
	l.unknown, l.known = slices.Sorted(maps.Keys(l.Unknown)), slices.Sorted(maps.Keys(l.Records))
	for _, revision := range l.known {
		if l.Parent != nil && l.Records[revision].At.Before(l.Asked) {
			l.shared = revision
		}
	}
	_, byKey := l.selected(func(string) bool { return true })
	for key, revisions := range byKey {
		for i := range revisions {
			l.settleOne(key, revisions, i)
		}
	}
}

func (l *Life) settleOne(key string, revisions []uint64, i int) {
	r := l.Records[revisions[i]]
	r.Until, r.GoneFrom, r.GoneBy, r.Alone, r.Doubt = never, time.Time{}, time.Time{}, false, Window{}
	for _, removal := range l.Removals {
		maybe, certain := removal.Hits(l, key, revisions, i)
		if maybe {
			r.goneFrom(removal.Start)
			r.Alone = removal.Alone
		}
		if certain {
			r.goneBy(removal.Known)
		}
	}
	l.age(r)
	if r.Kept && !l.crashed(r.GoneFrom, never) { // else it may have been away for a while
		r.Until, r.GoneFrom, r.GoneBy = never, time.Time{}, time.Time{}
		return
	}
	if l.KeepsAll && l.lagged(r) {
		r.Doubt = Window{time.Time{}, never}
		return
	}
	r.Until = earliest(l.pushedOut(revisions, i), l.beforeUnknown(r.Revision), r.GoneFrom, l.Deleted, l.Lost)
}

// goneFrom and goneBy note when a removal may have hit the revision, and when everybody must know.
func (r *Record) goneFrom(at time.Time) {
	if r.GoneFrom.IsZero() || at.Before(r.GoneFrom) {
		r.GoneFrom = at
	}
}

func (r *Record) goneBy(at time.Time) {
	if r.GoneBy.IsZero() || at.Before(r.GoneBy) {
		r.GoneBy = at
	}
}

// crashed tells whether the server was killed between a removal, if there was one, and a moment.
func (l *Life) crashed(removal, upTo time.Time) bool {
	return !removal.IsZero() && slices.ContainsFunc(l.Crashes, func(at time.Time) bool { return at.After(removal) && !at.After(upTo) })
}

// pushedOut is when a key's i-th revision went since newer ones took its place.
func (l *Life) pushedOut(revisions []uint64, i int) time.Time {
	at := never
	for j := i + 1; j < len(revisions); j++ {
		r := l.Records[revisions[j]]
		if r.Op == "purge" || r.Op == "expire" || j-i >= l.limit(r.At) {
			at = r.At
			break
		}
	}
	for _, limit := range l.Limits[1:] {
		if j := i + limit.N; j < len(revisions) && l.Records[revisions[j]].At.Before(limit.At.Add(time.Second)) {
			at = earliest(at, limit.At)
		}
	}
	return at
}

func (l *Life) limit(at time.Time) int {
	n := l.Limits[0].N
	for _, limit := range l.Limits[1:] {
		if limit.At.Before(at) {
			n = limit.N
		}
	}
	return n
}

// beforeUnknown is the last known moment before a change that nobody saw, which may have overwritten anything.
func (l *Life) beforeUnknown(revision uint64) time.Time {
	i, _ := slices.BinarySearch(l.unknown, revision)
	if i == len(l.unknown) {
		return never
	}
	for n := l.unknown[i] - 1; n >= revision; n-- {
		if r := l.Records[n]; r != nil {
			return r.At
		}
	}
	return time.Time{}
}

func earliest(times ...time.Time) time.Time {
	first := never
	for _, t := range times {
		if !t.IsZero() && t.Before(first) {
			first = t
		}
	}
	return first
}

// selected lists the known revisions of the keys that match, rising.
func (l *Life) selected(matches func(string) bool) (all []uint64, byKey map[string][]uint64) {
	byKey = map[string][]uint64{}
	for _, revision := range l.known {
		if key := l.Records[revision].Key; matches(key) {
			all, byKey[key] = append(all, revision), append(byKey[key], revision)
		}
	}
	return all, byKey
}

// anyUnknown tells whether there is an unknown revision above one and up to another.
func (l *Life) anyUnknown(above, upTo uint64) bool {
	i, _ := slices.BinarySearch(l.unknown, above+1)
	return i < len(l.unknown) && l.unknown[i] <= upTo
}

// branches are the lives with an epoch: one, unless a server has lost the end of it.
func (b *Bucket) branches(epoch string) (found []*Life) {
	for _, l := range b.Lives {
		if l.Epoch == epoch {
			found = append(found, l)
		}
	}
	return found
}

// life finds the newest of a bucket's lives with an epoch.
func (b *Bucket) life(epoch string) *Life {
	if found := b.branches(epoch); len(found) > 0 {
		return found[len(found)-1]
	}
	return nil
}

// last is the life that the bucket has at the end.
func (b *Bucket) last() *Life { return b.Lives[len(b.Lives)-1] }

// absent tells whether the bucket may have seemed missing at some moment between two. A gateway may learn of a re-creation 5 s late.
func (b *Bucket) absent(from, to time.Time) bool {
	for i, l := range b.Lives {
		if l.Deleted.IsZero() || l.Deleted.After(to) {
			continue
		}
		if i+1 == len(b.Lives) || b.Lives[i+1].Created.Add(5*time.Second).After(from) {
			return true
		}
	}
	return false
}
