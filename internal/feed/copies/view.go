package copies

import (
	"cmp"
	"slices"
	"sync/atomic"
	"time"

	"github.com/tidwall/btree"

	"kvgateway/internal/kv"
)

// A state is a copy at one moment. It does not change, but for chains that are cut.
type state struct {
	// byKey and byRevision are the trees.
	byKey      *btree.BTreeG[keyed]
	byRevision *btree.BTreeG[numbered]
	// at is the position.
	at kv.Position
	// horizon is that of the copy, which rises.
	horizon *atomic.Uint64
	// nextEnd is when the next entry vanishes; zero for never.
	nextEnd time.Time
	// hidden, unsure and unsureMarkers are what the view's methods return.
	hidden, unsure, unsureMarkers bool
	// copyID is that of the copy.
	copyID uint64
	// resurfaces is Options.Resurfaces.
	resurfaces bool
}

// A View is a copy as it was at one moment, or as it was at an earlier revision. It may be read by
// several goroutines, and entries that it returns must not be changed.
type View struct {
	*state
	// now is the time at which entries that have ended are not shown any more.
	now time.Time
	// revision is the one at which the view is pinned, or else that of the position.
	revision kv.Revision
}

// View returns the copy as it is at this time, by the server's clock. It returns false while the
// copy is loading, and when it has ended.
func (c *Copy) View(now time.Time) (View, bool) {
	c.hold.Progress()
	s := c.current.Load()
	if s == nil || !s.nextEnd.IsZero() && !now.Before(s.nextEnd) {
		if s = c.newState(now); s == nil {
			return View{}, false
		}
	}
	return View{state: s, now: now, revision: s.at.Revision}, true
}

// All returns what View does, and the entries that wait behind a transaction, in order. The view
// does not have them.
func (c *Copy) All(now time.Time) (v View, waiting []kv.Entry, ok bool) {
	c.mu.Lock()
	waiting = make([]kv.Entry, 0, len(c.held.entries))
	for _, e := range c.held.entries {
		waiting = append(waiting, e.Entry)
	}
	c.mu.Unlock()
	v, ok = c.View(now)
	return v, waiting, ok
}

// newState returns the state that the copy has at this time, nil if it shows none.
func (c *Copy) newState(now time.Time) *state {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stateNow(now)
}

// stateNow is newState with mu held.
func (c *Copy) stateNow(now time.Time) *state {
	if c.ended || !c.complete {
		return nil
	}
	c.sweep(now)
	if s := c.current.Load(); s != nil {
		return s // another reader has made it meanwhile
	}
	s := &state{
		byKey:      c.byKey.Copy(),
		byRevision: c.byRevision.Copy(),
		at:         c.at,
		horizon:    &c.horizon,
		hidden:     c.hidden,
		unsure:     c.unsureValues > 0,
		copyID:     c.id,
		resurfaces: c.options.Resurfaces,

		unsureMarkers: c.unsureMarkers > 0,
	}
	if first, some := c.expiring.Min(); some {
		s.nextEnd = first.entry.Expires
	}
	c.current.Store(s)
	return s
}

// Get returns the key's entry as [View.Get] does, and the position at which it is the key's. It is
// for readers of single keys: unlike a view it makes no writer copy nodes. It returns false while
// the copy is loading, and when it has ended.
func (c *Copy) Get(key string, now time.Time) (found Found, at kv.Position, ok bool) {
	c.hold.Progress()
	if s := c.current.Load(); s != nil {
		v := View{state: s, now: now, revision: s.at.Revision}
		return v.Get(key), s.at, true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended || !c.complete {
		return Found{}, kv.Position{}, false
	}
	in := state{byKey: c.byKey, resurfaces: c.options.Resurfaces}
	v := View{state: &in, now: now, revision: c.at.Revision}
	return v.Get(key), c.at, true
}

// Position returns the position at which the copy was. A pinned view is at an earlier revision.
func (v View) Position() kv.Position { return v.at }

// Revision returns the revision whose state the view shows.
func (v View) Revision() kv.Revision { return v.revision }

// At returns the view pinned at a revision. It returns false if the revision is beyond the view's,
// or if not everything is known any more that was there then.
func (v View) At(revision kv.Revision) (View, bool) {
	v.revision = revision
	return v, revision <= v.at.Revision && v.Holds()
}

// Holds reports whether what was read from the view is of its revision. Whoever has read a pinned
// view asks afterwards: while it reads, old versions may be forgotten.
func (v View) Holds() bool {
	return v.revision == v.at.Revision || uint64(v.revision) >= v.horizon.Load()
}

// HasHidden reports whether the bucket has, or had, keys outside the grammar, which no view shows.
func (v View) HasHidden() bool { return v.hidden }

// IsUnsure reports whether there may be values that the view does not show; see [Found].
func (v View) IsUnsure() bool { return v.unsure }

// IsUnsureOfMarkers reports whether there may be markers in the view that the store has not.
func (v View) IsUnsureOfMarkers() bool { return v.unsureMarkers }

// CopyID returns a number that tells the copy from all others, those of other gateways included. A
// page that is pinned at a revision shows the same in all views of one copy.
func (v View) CopyID() uint64 { return v.copyID }

// Len returns about how many entries there are, markers included.
func (v View) Len() int { return v.byKey.Len() }

// A Found says what a copy knows of a key.
type Found struct {
	// Entry is the key's entry, which may be a marker; nil if there is none.
	Entry *kv.Entry
	// Unsure says that the copy does not know what the store has, so that the store must be asked.
	// Entry is then nil.
	Unsure bool
	// UnsureOf is the revision of the entry that may be gone, where Unsure is set.
	UnsureOf kv.Revision
}

// Get returns what there is of a key.
func (v View) Get(key string) Found {
	found, ok := v.byKey.Get(keyed{key: key})
	if !ok {
		return Found{}
	}
	shown := found.at(v.revision)
	switch {
	case shown == nil:
		return Found{}
	case shown.unsure != sure:
		return Found{Unsure: true, UnsureOf: shown.entry.Revision}
	case v.hasEnded(shown) && outlives(v.resurfaces, shown):
		return Found{Unsure: true, UnsureOf: shown.entry.Revision}
	case v.hasEnded(shown):
		return Found{}
	}
	return Found{Entry: &shown.entry}
}

// hasEnded reports whether the version's time is over.
func (v View) hasEnded(shown *version) bool {
	end := shown.entry.Expires
	return !end.IsZero() && !v.now.Before(end)
}

// shows returns the entry that the view shows for a version in its tree; nil if none.
func (v View) shows(in *version) *kv.Entry {
	shown := in.at(v.revision)
	if shown == nil || shown.unsure == unsureValue || v.hasEnded(shown) {
		return nil
	}
	return &shown.entry
}

// Ascend calls visit with the entries that the filters select and whose key is greater than after,
// in the order of their keys, markers included, until visit returns false. It goes through no more
// of the keys than those that begin as a filter does, up to the filter's first wildcard.
func (v View) Ascend(filters kv.Filters, after string, visit func(*kv.Entry) bool) {
	if after != "" {
		after += "\x00"
	}
	v.AscendFrom(filters, after, visit)
}

// AscendFrom is Ascend from a key on, with this key itself.
func (v View) AscendFrom(filters kv.Filters, from string, visit func(*kv.Entry) bool) {
	matcher := filters.Matcher()
	goOn := true
	for _, r := range rangesOf(filters) {
		r.from = max(r.from, from)
		if !r.has(r.from) {
			continue
		}
		v.byKey.Ascend(keyed{key: r.from}, func(in keyed) bool {
			if !r.has(in.key) {
				return false
			}
			e := v.shows(in.version)
			if e != nil && (r.all || matcher.Matches(in.key)) {
				goOn = visit(e)
			}
			return goOn
		})
		if !goOn {
			return
		}
	}
}

// maxSorted bounds the keys that AscendRevisions sorts, which take eight bytes each.
const maxSorted = 1 << 16

// AscendRevisions calls visit with the entries that the filters select and whose revision is
// greater than after, in the order of their revisions, markers included, until visit returns false.
// It shows the current entries, whatever the view is pinned at. Where the filters' ranges have a
// small part of the keys, only those are looked at.
func (v View) AscendRevisions(
	filters kv.Filters, after kv.Revision, visit func(*kv.Entry) bool,
) {
	if selected, few := v.fewAbove(filters, after); few {
		for _, e := range selected {
			if !visit(e) {
				return
			}
		}
		return
	}
	matcher := filters.Matcher()
	v.byRevision.Ascend(numbered{revision: after + 1}, func(in numbered) bool {
		if !v.isCurrent(in.version) || !matcher.Matches(in.entry.Key) {
			return true
		}
		return visit(&in.entry)
	})
}

// fewAbove returns the current entries above a revision that the filters select, in the order of
// their revisions. It returns false, after a bounded number of them, if the filters' ranges have
// more than a quarter of the keys.
func (v View) fewAbove(filters kv.Filters, after kv.Revision) (selected []*kv.Entry, few bool) {
	left := min(v.byKey.Len()/4, maxSorted)
	matcher := filters.Matcher()
	for _, r := range rangesOf(filters) {
		v.byKey.Ascend(keyed{key: r.from}, func(in keyed) bool {
			if left < 0 || !r.has(in.key) {
				return false
			}
			left--
			if in.entry.Revision > after && v.isCurrent(in.version) &&
				(r.all || matcher.Matches(in.key)) {
				selected = append(selected, &in.entry)
			}
			return true
		})
		if left < 0 {
			return nil, false
		}
	}
	slices.SortFunc(selected, func(a, b *kv.Entry) int {
		return cmp.Compare(a.Revision, b.Revision)
	})
	return selected, true
}

// isCurrent reports whether a version in the trees is shown, whatever the view is pinned at.
func (v View) isCurrent(in *version) bool { return in.unsure != unsureValue && !v.hasEnded(in) }

// StoredAt returns when the message of a revision was stored, if it is the last one of a key. It
// returns false if there is no such entry.
func (v View) StoredAt(revision kv.Revision) (stored time.Time, ok bool) {
	found, ok := v.byRevision.Get(numbered{revision: revision})
	if !ok {
		return time.Time{}, false
	}
	return found.entry.Created, true
}
