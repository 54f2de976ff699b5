package main

import (
	"fmt"
	"slices"
	"time"
)

// Item is what one block meant to a logical client, of one bucket or (Bucket empty) of all that it watches.
type Item struct {
	At       time.Time // when it was read; of a connect, when the connection began
	Kind     string    // the event's name, or change, connect, closed, refused, unreadable, id (alone), bare (without meaning)
	Bucket   string
	Epoch    string // of a change, or a position
	Change   Change
	Size     int       // of a change's value
	Expires  time.Time // of a change: when the client drops it; zero for never
	Revision uint64    // the position of sync, bookmark and id
	Exact    bool
	Reason   string // of a reset, a refusal or a problem
	LastID   string // that a connect sent
	Resumed  bool   // of a connect: the last id had a position in this bucket
	HasID    bool   // the block moved the last id
}

// A View is what a client asked of a bucket.
type View struct {
	Matches       func(string) bool
	History       bool // the first snapshot has every retained revision
	UpdatesOnly   bool
	IgnoreDeletes bool
	NoValues      bool
	Lines         bool // NDJSON: a refusal has its true status
}

// Violation names the promise that was broken and where in the trace.
type Violation struct {
	Promise, Detail string
	At              int
}

// when is the moment of a violation: that of the item, or the end of the trace.
func (v Violation) when(trace []Item) time.Time {
	if len(trace) == 0 {
		return time.Time{}
	}
	return trace[min(v.At, len(trace)-1)].At
}

// resetReasons are the only ones that the contract allows.
var resetReasons = []string{"epoch", "ahead", "horizon", "unknown-id", "purged", "filters", "config", "reverted"}

// passing are the problems that a stream may begin with and that a client tries again after.
var passing = []string{"/problems/nats-unavailable", "/problems/timeout", "/problems/overloaded", "/problems/shutting-down", "/problems/too-many-streams",
	"/problems/busy"}

// Validate checks what one logical client was told of one bucket, all its connections joined. Promises hold between resets, so
// state starts again at each.
//
// etcd's validators (go.etcd.io/etcd/tests/v3) are not used: they take etcd's own watch responses (mod revisions shared by
// the events of a transaction, compaction errors) and a replay of etcd's key-value model. Neither snapshots, exact points
// nor history limits exist there, and their progress notifications promise more than a bookmark without "exact".
func Validate(trace []Item, bucket *Bucket, view View) []Violation {
	v := &validator{bucket: bucket, view: view, history: view.History, folds: !view.UpdatesOnly && !view.IgnoreDeletes, selected: map[*Life]selection{}}
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

type validator struct {
	bucket *Bucket
	view   View
	trace  []Item
	found  []Violation
	at     int
	now    time.Time
	final  bool // everything is at rest

	bookmarks, exact bool // whether bookmarks tell of exactness, and what the last point told
	folds            bool // folding gives the state
	history          bool // a snapshot owes every retained revision
	gone             bool // the bucket was deleted, and no reset came since
	notBefore        time.Time
	connected        time.Time
	selected         map[*Life]selection
	before           *known // a reset, while no id has come since: who resumes with the old one has the old state still

	known
}

// A selection is what of a life's revisions the view is about.
type selection struct {
	revisions []uint64
	byKey     map[string][]uint64 // of each key, rising
}

// known is what a client holds of a bucket between resets.
type known struct {
	life *Life // nil until something tells the epoch
	selection
	checked int // of revisions: whether they came was looked at
	synced  bool
	// syncedAt is where every revision is owed from that the bucket still held.
	syncedAt uint64
	position uint64 // everything up to here was promised
	last     uint64
	seen     map[uint64]bool
	state    map[string]Change
	expires  map[string]time.Time // when a key of the state is dropped; without an entry for never
}

func (v *validator) restart() {
	v.known = known{seen: map[uint64]bool{}, state: map[string]Change{}, expires: map[string]time.Time{}}
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
			v.fail("bookmarkable", "the bookmark of a bucket that is missing, which it was not told to be")
		}
	case "bare", "stale", "live", "goaway", "closed", "heartbeat":
	default: // what the contract does not know
		v.fail("resumable", "%s %s", item.Kind, item.Reason)
	}
}

func (v *validator) connect(item Item) {
	v.connected = item.At
	if item.At.After(v.notBefore) {
		v.notBefore = item.At
	}
	switch {
	case item.Resumed && v.before != nil:
		v.known, v.before = *v.before, nil
	case !item.Resumed:
		v.restart()
		v.before = nil
		v.gone, v.history, v.folds = false, v.view.History, !v.view.UpdatesOnly && !v.view.IgnoreDeletes
	}
}

// reset checks that there was a cause: each reason but a horizon, which any loss of the source explains, needs one of its own.
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

func (v *validator) caused(item Item) bool {
	before := func(at time.Time) bool { return !at.IsZero() && at.Before(item.At) }
	for i, l := range v.bucket.Lives {
		removed := slices.ContainsFunc(l.Removals, func(r *Removal) bool { return before(r.Start) }) ||
			slices.ContainsFunc(l.Limits[1:], func(l Limit) bool { return before(l.At) })
		configured := slices.ContainsFunc(l.Configs, func(w Window) bool { return before(w.From) })
		lost := l.Parent != nil && before(l.Asked) // a server without what it had
		switch {
		case item.Reason == "epoch" && i > 0 && before(l.Asked),
			item.Reason == "purged" && (removed || lost),
			item.Reason == "config" && configured,
			item.Reason == "reverted" && (removed || lost || len(l.Crashes) > 0),
			item.Reason == "ahead" && (lost || len(l.Rewritten) > 0),
			item.Reason == "unknown-id" && lost,
			item.Reason == "horizon":
			return true
		}
	}
	return false
}

func (v *validator) deleted() {
	certain := v.life != nil && slices.ContainsFunc(v.bucket.branches(v.life.Epoch), func(l *Life) bool {
		return !l.Deleted.IsZero() && l.Deleted.Before(v.now)
	})
	if !certain && (v.life != nil || !v.bucket.absent(time.Time{}, v.now)) {
		v.fail("resumable", "the bucket is said to be deleted, and was not")
	}
	v.restart()
	v.gone, v.before = true, nil
}

// refused: a browser never comes back from a refusal by status, so there is none but for a bucket that is missing.
func (v *validator) refused(item Item) {
	status := item.Reason
	switch {
	case status == "404" && v.bucket.absent(item.At.Add(-2*time.Second), item.At):
	case v.view.Lines && slices.Contains([]string{"503", "504", "429"}, status):
	default:
		v.fail("resumable", "refused with %s", status)
	}
}

// enter makes sure that what comes is about one life of the bucket between resets, and not about one that is known to be over.
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
		v.fail("resumable", "epoch %s on a connection made when %s was long there", epoch, next.Epoch)
	}
	return true
}

// live makes a life the one that the client is told of.
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

func (v *validator) after(l *Life) *Life {
	if i := slices.Index(v.bucket.Lives, l) + 1; i < len(v.bucket.Lives) {
		return v.bucket.Lives[i]
	}
	return nil
}
