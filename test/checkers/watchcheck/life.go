package main

import (
	"maps"
	"slices"
	"sort"
	"time"
)

// A Bucket is what is known of a bucket: its lives, in order. Faults delete it and create it again.
type Bucket struct {
	Name  string
	Lives []*Life
}

// A Life is one history of one epoch of a bucket: what was stored in it, and what may have been
// removed from it.
type Life struct {
	Epoch   string
	Asked   time.Time // When its creation was requested.
	Created time.Time // When its creation was known.
	Deleted time.Time // When its deletion was requested, zero while it lasts.
	// Parent is the life of the same epoch whose end was lost in a crash or by a restored data
	// directory. It is nil for a life that began with an empty bucket.
	Parent *Life `json:"-"`
	// Lost is when the end of this life was lost.
	Lost time.Time
	// N is the number in the subject that the life republishes to. A branch has its parent's.
	N int
	// Configs has a window for each change of the configuration that moved when entries expire. It
	// ends when every watcher must have been told.
	Configs []Window
	// Ages are the periods during which the stream removed messages by their age (max_age).
	Ages []Age
	// Lags are the times when a copy may have lagged behind its origin.
	Lags []Window
	// KeepsAll says that the stream does not act on times to live in messages.
	KeepsAll bool
	// Limits are those of the history; the first is in force from the beginning.
	Limits []Limit
	// Removals are those that may have taken messages out of the stream.
	Removals []*Removal
	// Crashes have a window for each time that the server was killed, which ends when it serves
	// again. A crash can bring back values that the marker of a removal hid, or that newer ones had
	// displaced (internal/natsd/doc.go, "What cannot be repaired"). Nothing is claimed of such a
	// key until it is written again.
	Crashes []Window

	Records map[uint64]*Record
	// Unknown revisions were stored and overwritten unseen. Nothing is claimed of them.
	Unknown map[uint64]bool
	// Rewritten are the unknown revisions that were given to two changes, since a crash of the
	// server took the first one back.
	Rewritten map[uint64]bool
	// End is the last known revision.
	End     uint64
	unknown []uint64 // The keys of Unknown, rising.
	known   []uint64 // The keys of Records, rising.
	shared  uint64   // The last revision that a branch has in common with its parent.
}

// A Window is a time during which nothing is claimed of a fold.
type Window struct{ From, To time.Time }

// unsettled reports whether the configuration may have been changed by now, while a client that was
// told of something at the moment told may not know of the change.
func (l *Life) unsettled(told, now time.Time) bool {
	return slices.ContainsFunc(l.Configs, func(w Window) bool { return w.holds(told, now) })
}

// holds reports whether a window concerns what a client is told at now, if that may have been sent
// as early as the moment told.
func (w Window) holds(told, now time.Time) bool {
	return !w.To.IsZero() && !w.From.After(now) && told.Before(w.To)
}

// Change is one revision of one key.
type Change struct {
	Revision uint64
	Key, Op  string
	Value    string // See digest.
}

// A Record is a change that the bucket stored, and how long the bucket held it.
type Record struct {
	Change
	At       time.Time     // When the server stored it.
	Size     int           // The length of its value.
	Previous uint64        // The revision that the key had before, 0 for none.
	Told     bool          // Whether Previous is known.
	Kept     bool          // Whether the bucket holds it at the end.
	TTL      time.Duration // Its own time to live, 0 for none.

	// Until is how long the bucket certainly held it. What is read before then must have it.
	Until time.Time
	// GoneFrom is when a removal may have hit it at the earliest, zero for never.
	GoneFrom time.Time
	// GoneBy is when every watcher must have learnt of a removal that did hit it, zero for never.
	GoneBy time.Time
	// Doubt is when nothing is claimed of the key because of this revision.
	Doubt Window
	// Alone says that what may have removed it left the older revisions of its key.
	Alone bool
}

// A Limit is the number of revisions of a key that are kept from a moment on.
type Limit struct {
	At time.Time
	N  int
}

// A Removal took messages out of the stream by other means than storing something.
type Removal struct {
	bucket     string
	Name       string
	Start, End time.Time
	// Known is when the gateway must have told its watchers at the latest.
	Known time.Time
	// Hits says of the i-th of a key's revisions whether it may have been removed, and whether it
	// certainly was.
	Hits func(l *Life, key string, revisions []uint64, i int) (maybe, certain bool) `json:"-"`
	// Alone says that it took one revision and left the older ones of its key.
	Alone bool
}

// everything makes the removal one of all that was stored for the matching keys before it.
func (r *Removal) everything(matches func(string) bool) {
	r.Hits = func(l *Life, key string, revisions []uint64, i int) (bool, bool) {
		at := l.Records[revisions[i]].At
		return matches(key) && !at.After(r.End), matches(key) && at.Before(r.Start)
	}
}

// anything makes the removal one that may hit whatever was stored before its end.
func (r *Removal) anything() {
	r.Hits = func(l *Life, _ string, revisions []uint64, i int) (bool, bool) {
		return !l.Records[revisions[i]].At.After(r.End), false
	}
}

// markers makes the removal one of the keys whose last revision is a marker, and of what is stored
// over such a marker meanwhile, which a native PurgeDeletes removes as well.
func (r *Removal) markers() {
	r.Hits = func(l *Life, _ string, revisions []uint64, i int) (bool, bool) {
		if at := l.Records[revisions[i]].At; !at.Before(r.Start) {
			return !at.After(r.End), false
		}
		last := sort.Search(len(revisions), func(j int) bool {
			return !l.Records[revisions[j]].At.Before(r.Start)
		}) - 1
		return l.Records[revisions[last]].Op != "put", false
	}
}

// never is later than every moment of a run.
var never = time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)

// unseenAround is how long before or after the server is killed a client may be told of a revision
// that the gateway got, while the message that republishes it did not arrive here any more.
const unseenAround = 100 * time.Millisecond

// lostUnseen reports whether a revision that a client is told of now may have been lost with the
// end of the life, unseen by the recorder.
func (l *Life) lostUnseen(now time.Time) bool {
	return !l.Lost.IsZero() && now.Sub(l.Lost).Abs() < unseenAround
}

// settle works out how long each revision was there. It needs to know all that happened.
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
	r.Until, r.GoneFrom, r.GoneBy = never, time.Time{}, time.Time{}
	r.Alone, r.Doubt = false, Window{}
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
	pushedOut := l.pushedOut(revisions, i)
	// After a crash it may have been away for a while.
	if r.Kept && !l.crashed(r.GoneFrom, never) && !l.crashed(pushedOut, never) {
		r.Until, r.GoneFrom, r.GoneBy = never, time.Time{}, time.Time{}
		return
	}
	if l.KeepsAll && l.lagged(r) { // The copy may never have had it.
		r.Until, r.Doubt = time.Time{}, Window{time.Time{}, never}
		return
	}
	r.Until = earliest(pushedOut, l.beforeUnknown(r.Revision),
		r.GoneFrom, l.Deleted, l.Lost)
}

// goneFrom notes that a removal may have hit the revision at a moment.
func (r *Record) goneFrom(at time.Time) {
	if r.GoneFrom.IsZero() || at.Before(r.GoneFrom) {
		r.GoneFrom = at
	}
}

// goneBy notes that every watcher must know at a moment that a removal hit the revision.
func (r *Record) goneBy(at time.Time) {
	if r.GoneBy.IsZero() || at.Before(r.GoneBy) {
		r.GoneBy = at
	}
}

// crashed reports whether the server may have been killed between a removal, if there was one, and
// a moment.
// A crash brings back what was removed, and what the history limit displaced.
func (l *Life) crashed(removal, upTo time.Time) bool {
	return !removal.IsZero() && slices.ContainsFunc(l.Crashes, func(w Window) bool {
		return w.To.After(removal) && !w.From.After(upTo)
	})
}

// pushedOut returns when newer revisions displaced the i-th one of a key.
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
		j := i + limit.N
		if j < len(revisions) && l.Records[revisions[j]].At.Before(limit.At.Add(time.Second)) {
			at = earliest(at, limit.At)
		}
	}
	return at
}

// limit returns how many revisions of a key were kept at a moment.
func (l *Life) limit(at time.Time) int {
	n := l.Limits[0].N
	for _, limit := range l.Limits[1:] {
		if limit.At.Before(at) {
			n = limit.N
		}
	}
	return n
}

// beforeUnknown returns the last known moment before a change that nobody saw and that may have
// overwritten anything.
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

// anyUnknown reports whether there is an unknown revision above one and up to another.
func (l *Life) anyUnknown(above, upTo uint64) bool {
	i, _ := slices.BinarySearch(l.unknown, above+1)
	return i < len(l.unknown) && l.unknown[i] <= upTo
}

// branches returns the lives with an epoch: one, unless a server has lost the end of it.
func (b *Bucket) branches(epoch string) (found []*Life) {
	for _, l := range b.Lives {
		if l.Epoch == epoch {
			found = append(found, l)
		}
	}
	return found
}

// life returns the newest of the lives with an epoch, or nil.
func (b *Bucket) life(epoch string) *Life {
	if found := b.branches(epoch); len(found) > 0 {
		return found[len(found)-1]
	}
	return nil
}

// last returns the life that the bucket has at the end.
func (b *Bucket) last() *Life { return b.Lives[len(b.Lives)-1] }

// absent reports whether the bucket may have seemed missing at some moment between two others. A
// gateway may learn of a re-creation 5 s late.
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
