package feed

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"kvgateway/internal/feed/copies"
	"kvgateway/internal/kv"
	"kvgateway/internal/kvclient"
)

// A modelLoad does step by step what the goroutine of a copyLoad does, and reads from the model.
type modelLoad struct {
	copy  *copies.Copy
	epoch kv.Epoch
	// asked: it knows up to which revision, upTo, it is to read.
	asked bool
	upTo  kv.Revision
	// maxAge is the bucket's, as it was when that was asked for.
	maxAge time.Duration
	// begun: planned has what the consumer found when it was created and has yet to deliver.
	begun   bool
	planned []kv.Entry
}

// loadSome lets the load of the feed's copy go on, or begins one.
func (w *world) loadSome() {
	f, l := w.feed, w.load
	f.beginDigests(f.dueDigestsLocked())
	f.memory.retryAt = time.Time{}
	switch {
	case l == nil:
		if c := f.beginCopyLocked(); c != nil {
			w.load = &modelLoad{copy: c, epoch: f.journal.Epoch}
		}
	case f.memory.copy != l.copy:
		w.counts["copy dropped in its load"]++
		w.load = nil
	case w.missing, w.epoch != l.epoch, l.upTo > w.last:
		f.dropCopyLocked(DroppedFailed)
		w.load = nil
	case !l.asked:
		l.asked, l.upTo, l.maxAge = true, w.last, w.maxAge
	case !l.begun && f.journal.Revision < l.upTo:
	case !l.begun:
		l.begun = true
		for _, e := range w.lastOf() {
			if e.Revision <= l.upTo {
				l.planned = append(l.planned, e)
			}
		}
		slices.SortFunc(l.planned, func(a, b kv.Entry) int {
			return cmp.Compare(a.Revision, b.Revision)
		})
	case len(l.planned) == 0:
		w.note("the copy was read up to %d", l.upTo)
		f.copyScanned(l.copy, w.last)
		w.load = nil
	default:
		w.loadOn(l, 1+w.copyRand.IntN(4))
	}
}

// loadOn brings up to count entries to the copy, but for those that are not stored any more.
func (w *world) loadOn(l *modelLoad, count int) {
	count = min(count, len(l.planned))
	for _, e := range l.planned[:count] {
		if w.storedAt(e.Revision).Equal(e.Created) {
			e.Expires = expires(e.Created, l.maxAge)
			l.copy.Load(e)
			w.feed.journal.noteRead([]*Change{{Entry: e}})
		}
	}
	l.planned = l.planned[count:]
}

// A modelView is what a reading reads from the copy.
type modelView struct {
	// asked is where the stream was; its epoch is "" until that is known.
	asked kvclient.StreamState
	// at is the position of the view, and planned what it has for the reading.
	at      kv.Revision
	planned []kv.Entry
}

// beginInCopy does what readCopy does before it reads, or lets the store be read instead.
func (w *world) beginInCopy(r *modelReading) {
	f, c := w.feed, r.fromCopy
	switch {
	case c.asked.Epoch == "" && f.memory.awaited != nil && w.copyRand.IntN(8) > 0:
		return // it waits for the copy
	case c.asked.Epoch == "" && f.shown.Load() == nil:
		r.fromCopy = nil
		return
	case c.asked.Epoch == "":
		c.asked = w.state()
		w.meanwhile()
		return
	case f.journal.Revision < max(c.asked.Last, r.key.to):
		return
	}
	view, ok := r.viewFor(c.asked)
	if !ok {
		w.counts["not from the copy"]++
		r.fromCopy = nil
		return
	}
	w.meanwhile()
	to, check := r.standsFor(view)
	if err := r.begin(to, check); err != nil {
		w.failed(r, err)
		return
	}
	w.counts["read from the copy"]++
	switch {
	case r.key.replay:
		w.counts["replay from the copy"]++
	case r.key.after > 0:
		w.counts["continued in the copy"]++
	}
	r.begun, c.at = true, view.Position().Revision
	view.AscendRevisions(r.filters, r.key.after, func(e *kv.Entry) bool {
		if e.Revision <= to {
			c.planned = append(c.planned, *e)
		}
		return e.Revision <= to
	})
	w.note("reading above %d to %d of the copy at %d, replay %v, expects %d",
		r.key.after, to, c.at, r.key.replay, len(r.expected))
}

// readOnInCopy brings up to count entries of the view into a chunk.
func (w *world) readOnInCopy(r *modelReading, full *chunk, count int) {
	c := r.fromCopy
	count = min(count, len(c.planned))
	for _, e := range c.planned[:count] {
		change := &Change{Entry: e}
		if !r.key.replay {
			change.Snapshot, change.SnapshotCheck = r.to, r.toCheck
		}
		full.changes = append(full.changes, change)
		full.bytes += change.readingBytes()
	}
	c.planned = c.planned[count:]
}

// knowsAll reports whether the feed has heard of all purges, new settings and losses.
func (w *world) knowsAll() bool {
	return w.knowsPurges == w.purges && w.knowsUpdates == w.updates && w.knowsLosses == w.losses
}

// compareCopy compares the feed's copy with the model, at a position that is exact. See
// client.compare for when nobody can be right.
func (w *world) compareCopy() {
	f := w.feed
	if !f.memory.complete {
		return
	}
	v, ok := f.memory.copy.View(w.clock)
	if !ok {
		w.fail("a copy is complete and shows nothing")
		return
	}
	if h := f.journal.log.horizon; h > 0 {
		if _, ok := v.At(h - 1); ok {
			w.fail("the copy keeps what was before the log, which begins at %d", h)
		}
	}
	known := w.knowsAll()
	if v.Position() != f.journal.Position {
		w.fail("the copy is at %v, the feed at %v", v.Position(), f.journal.Position)
	}
	exact := f.status.state == live && f.journal.exact.holds(v.Revision(), f.journal.Revision)
	if !known || !exact || f.journal.Epoch != w.epoch || w.missing {
		return
	}
	w.counts["copy exact"]++
	held := make(map[string]string)
	v.Ascend(nil, "", func(e *kv.Entry) bool {
		if !e.IsMarker() {
			held[e.Key] = string(e.Value)
		}
		return true
	})
	if want := w.selected(v.Revision(), nil); !maps.Equal(held, want) {
		w.fail("the copy has %v at %d, which is exact; want %v", held, v.Revision(), want)
	}
	if at := v.Revision(); at > 0 {
		w.compareEarlier(v, at-min(at, kv.Revision(w.copyRand.IntN(6))))
	}
}

// compareEarlier compares the copy with the model at an earlier revision, if that is exact and can
// be pinned.
func (w *world) compareEarlier(v copies.View, at kv.Revision) {
	pinned, ok := v.At(at)
	exact := w.feed.journal.exact.holds(at, w.feed.journal.Revision)
	if !ok || !exact || w.maxAge > 0 || w.purges > 0 || w.updates > 0 {
		return // what is gone is not shown
	}
	w.counts["copy pinned"]++
	held := make(map[string]string)
	pinned.Ascend(nil, "", func(e *kv.Entry) bool {
		if !e.IsMarker() {
			held[e.Key] = string(e.Value)
		}
		return true
	})
	if want := w.selected(at, nil); !maps.Equal(held, want) {
		w.fail("the copy has %v at the earlier revision %d; want %v", held, at, want)
	}
}
