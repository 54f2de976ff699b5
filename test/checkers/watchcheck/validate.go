package main

import (
	"fmt"
	"slices"
	"time"
)

// Item is what one block meant to a logical client, for one bucket or, if Bucket is empty, for all
// that the client watches.
type Item struct {
	At time.Time // When it was read; of a connect, when the connection began.
	// Kind is the name of the event, or change, connect, closed, refused, unreadable, id (an id
	// alone) or bare (what promises nothing).
	Kind     string
	Bucket   string
	Epoch    string // Of a change or a position.
	Change   Change
	Size     int       // The length of a change's value.
	Expires  time.Time // When the client drops a change, zero for never.
	Revision uint64    // The position of a sync, bookmark or id.
	Exact    bool
	Digest   string // Of a sync or a bookmark, "" for none.
	Removed  []Removed
	Reason   string // Of a reset, a refusal or a problem.
	LastID   string // The id that a connect sent.
	Resumed  bool   // Of a connect: the last id had a position in this bucket.
	HasID    bool   // The block changed the last id.
}

// Removed is a key that is gone without a marker. Whoever holds that revision or an older one of
// the key drops it.
type Removed struct {
	Key      string
	Revision uint64
}

// A View is what a client requested of a bucket.
type View struct {
	Matches       func(string) bool // Reports whether a key is selected.
	History       bool              // The first snapshot has every retained revision.
	UpdatesOnly   bool
	IgnoreDeletes bool
	NoValues      bool
	Removals      bool // Keys that are gone are told.
	Lines         bool // NDJSON, where a refusal has its true status.
}

// Violation names the promise that was broken, and where in the trace.
type Violation struct {
	Promise, Detail string
	At              int // The index of the item, or the length of the trace.
}

// when returns the moment of a violation: that of its item, or of the last one.
func (v Violation) when(trace []Item) time.Time {
	if len(trace) == 0 {
		return time.Time{}
	}
	return trace[min(v.At, len(trace)-1)].At
}

// resetReasons are those of the contract, in its order. Any other one is a violation.
var resetReasons = []string{"epoch", "ahead", "horizon", "unknown-id", "purged", "filters",
	"config", "reverted"}

// passing are the problems that a stream may begin with, and after which a client tries again.
var passing = []string{"/problems/nats-unavailable", "/problems/timeout", "/problems/overloaded",
	"/problems/shutting-down", "/problems/too-many-streams", "/problems/busy"}

// Validate checks what one logical client was told of one bucket, with all its connections joined.
// Promises hold between resets, so the state begins anew at each.
//
// etcd's validators (go.etcd.io/etcd/tests/v3) are not used: they take etcd's own watch responses
// (mod revisions that the events of a transaction share, compaction errors) and a replay of etcd's
// key-value model. Neither snapshots, exact positions nor history limits exist there, and their
// progress notifications promise more than a bookmark without "exact".
func Validate(trace []Item, bucket *Bucket, view View) []Violation {
	v := &validator{bucket: bucket, view: view, history: view.History,
		folds: !view.UpdatesOnly && !view.IgnoreDeletes, selected: map[*Life]selection{}}
	v.restart()
	v.trace = trace
	for i, item := range trace {
		v.at, v.now = i, item.At
		v.step(item)
	}
	v.at = len(trace)
	v.finish()
	return v.found
}

// A validator goes through one trace.
type validator struct {
	bucket *Bucket
	view   View
	trace  []Item
	found  []Violation
	at     int       // The index of the item that is being checked.
	now    time.Time // When it was read.
	final  bool      // Everything is at rest.

	bookmarks bool      // Whether bookmarks came, which say whether they are exact.
	exact     bool      // Whether the last position was exact.
	folds     bool      // Whether folding the changes gives the state.
	history   bool      // Whether the snapshot owes every retained revision.
	gone      bool      // The bucket was deleted, and no reset came since.
	notBefore time.Time // The item was sent at this time at the earliest.
	connected time.Time
	revived   time.Time // When the connection said last that it is live again; zero for never.
	selected  map[*Life]selection
	// before is what was known before a reset, until an id comes: a client that resumes with the
	// old id still has the old state.
	before *known

	known
}

// A selection is the part of a life's revisions that a view is about.
type selection struct {
	revisions []uint64
	byKey     map[string][]uint64 // The revisions of each key, rising.
}

// known is what a client holds of a bucket between resets.
type known struct {
	life *Life // It is nil until something says the epoch.
	selection
	checked int // How many of the revisions were checked for having come.
	synced  bool
	// syncedAt is the revision from which on every revision that the bucket still holds is owed.
	syncedAt uint64
	position uint64 // Everything up to here was promised.
	last     uint64 // The last revision that came.
	seen     map[uint64]bool
	state    map[string]Change
	expires  map[string]time.Time // When the client drops a key; no entry means never.
}

// restart forgets all that the client holds.

func (v *validator) restart() {
	v.known = known{seen: map[uint64]bool{}, state: map[string]Change{},
		expires: map[string]time.Time{}}
}

func (v *validator) fail(promise, format string, args ...any) {
	v.found = append(v.found, Violation{promise, fmt.Sprintf(format, args...), v.at})
}

func (v *validator) step(item Item) {
	if item.HasID {
		v.before = nil
	}
	switch item.Kind {
	case "change":
		if v.enter(item.Epoch) {
			v.change(item)
		}
	case "sync", "bookmark", "id":
		if v.enter(item.Epoch) {
			v.point(item)
		}
	case "connect":
		v.connect(item)
	case "reset":
		v.reset(item)
	case "removed":
		v.removed(item)
	case "bucket-deleted":
		v.deleted()
	case "problem":
		if !slices.Contains(passing, item.Reason) {
			v.fail("resumable", "problem %s", item.Reason)
		}
	case "refused":
		v.refused(item)
	case "nowhere":
		if !v.gone {
			v.fail("bookmarkable", "a bookmark says that the bucket is missing, and no event did")
		}
	case "live":
		v.revived = item.At
	case "bare", "stale", "goaway", "closed", "heartbeat":
	default: // The contract does not know it.
		v.fail("resumable", "%s %s", item.Kind, item.Reason)
	}
}

func (v *validator) connect(item Item) {
	v.connected, v.revived = item.At, time.Time{}
	if item.At.After(v.notBefore) {
		v.notBefore = item.At
	}
	switch {
	case item.Resumed && v.before != nil:
		v.known, v.before = *v.before, nil
	case !item.Resumed:
		v.restart()
		v.before = nil
		v.gone, v.history = false, v.view.History
		v.folds = !v.view.UpdatesOnly && !v.view.IgnoreDeletes
	}
}

// reset checks that there was a cause. Each reason needs one of its own, except for a horizon,
// which any loss of the source explains.
func (v *validator) reset(item Item) {
	if !slices.Contains(resetReasons, item.Reason) {
		v.fail("resumable", "reset for the reason %q", item.Reason)
	}
	if !v.caused(item) {
		v.fail("resumable", "reset for the reason %q without a cause", item.Reason)
	}
	if !item.HasID && !v.gone && v.before == nil {
		old := v.known
		v.before = &old
	}
	v.restart()
	v.gone, v.folds, v.history = false, !v.view.IgnoreDeletes, false
}

// caused reports whether something happened before a reset that is a cause for its reason.
func (v *validator) caused(item Item) bool {
	before := func(at time.Time) bool { return !at.IsZero() && at.Before(item.At) }
	for i, l := range v.bucket.Lives {
		removed := slices.ContainsFunc(l.Removals, func(r *Removal) bool {
			return before(r.Start)
		}) || slices.ContainsFunc(l.Limits[1:], func(l Limit) bool { return before(l.At) })
		configured := slices.ContainsFunc(l.Configs, func(w Window) bool { return before(w.From) })
		lost := l.Parent != nil && before(l.Asked) // The server lost what it had.
		// A crash brings back what was removed or displaced; see crashed.
		crashed := slices.ContainsFunc(l.Crashes, func(w Window) bool { return before(w.From) })
		switch {
		case item.Reason == "reverted" && (removed || lost || crashed),
			item.Reason == "epoch" && i > 0 && before(l.Asked),
			item.Reason == "purged" && (removed || lost),
			item.Reason == "config" && configured,
			item.Reason == "ahead" && (lost || len(l.Rewritten) > 0),
			item.Reason == "unknown-id" && lost,
			item.Reason == "horizon":
			return true
		}
	}
	return false
}

// removed drops keys that are said to be gone. A key that lives is missing at the next exact point.
func (v *validator) removed(item Item) {
	if !v.view.Removals || len(item.Removed) == 0 {
		v.fail("resumable", "removed without having asked for it, or without a key")
	}
	for _, r := range item.Removed {
		if !v.view.Matches(r.Key) {
			v.fail("reliable", "%s is said to be removed, and is not selected", r.Key)
		}
		if c, ok := v.state[r.Key]; ok && c.Revision <= r.Revision {
			delete(v.state, r.Key)
			delete(v.expires, r.Key)
		}
	}
}

// deleted checks that the bucket was deleted, or was missing.
func (v *validator) deleted() {
	var branches []*Life
	if v.life != nil {
		branches = v.bucket.branches(v.life.Epoch)
	}
	certain := slices.ContainsFunc(branches, func(l *Life) bool {
		return !l.Deleted.IsZero() && l.Deleted.Before(v.now)
	})
	if !certain && (v.life != nil || !v.bucket.absent(time.Time{}, v.now)) {
		v.fail("resumable", "the bucket is said to be deleted, and was not")
	}
	v.restart()
	v.gone, v.before = true, nil
}

// refused checks a refusal by status. A browser never comes back after one, so there must be none,
// except where the bucket is missing.
func (v *validator) refused(item Item) {
	status := item.Reason
	switch {
	case status == "404" && v.bucket.absent(item.At.Add(-2*time.Second), item.At):
	case v.view.Lines && slices.Contains([]string{"503", "504", "429"}, status):
	default:
		v.fail("resumable", "refused with %s", status)
	}
}

// enter reports whether an item is about the life that the client follows. Between resets that is
// always the same life, and never one that is known to be over.
func (v *validator) enter(epoch string) bool {
	life := v.life
	if life == nil || life.Epoch != epoch {
		life = v.branch(epoch)
	}
	switch {
	case life == nil:
		v.fail("resumable", "epoch %q was never the bucket's", epoch)
		return false
	case v.gone:
		v.fail("resumable", "the bucket was deleted, and it goes on without a reset")
		return false
	case v.life != nil && v.life != life:
		v.fail("resumable", "epoch %s follows %s without a reset", epoch, v.life.Epoch)
		return false
	case v.life == life:
		v.move(v.trace[v.at])
		return true
	}
	v.live(life)
	if next := v.after(life); next != nil && v.connected.After(next.Created.Add(7*time.Second)) {
		v.fail("resumable", "epoch %s on a connection made when %s was long there",
			epoch, next.Epoch)
	}
	return true
}

// live makes a life the one that the client follows.
func (v *validator) live(life *Life) {
	v.life = life
	s, again := v.selected[life]
	if !again {
		s.revisions, s.byKey = life.selected(v.view.Matches)
		v.selected[life] = s
	}
	v.revisions, v.byKey = s.revisions, s.byKey
	v.checked, _ = slices.BinarySearch(v.revisions, v.position+1)
}

// after returns the life that follows another, or nil.
func (v *validator) after(l *Life) *Life {
	if i := slices.Index(v.bucket.Lives, l) + 1; i < len(v.bucket.Lives) {
		return v.bucket.Lives[i]
	}
	return nil
}
