package feed

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"kvgateway/internal/feed/copies"
	"kvgateway/internal/kv"
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
