package feed

import (
	"slices"
	"time"

	"kvgateway/internal/kv"
)

// A modelReading does step by step what a reading's goroutine does, and reads from the model.
type modelReading struct {
	*reading
	begun bool
	// upTo is the revision up to which it is to read; 0 while it has not asked.
	upTo kv.Revision
	// check is that of the message there.
	check kv.Check
	// at is the revision up to which it has read.
	at kv.Revision
	// planned has what the consumer of a snapshot found when it was created.
	planned []kv.Revision
	// pending is the chunk that is handed over next, once missing has been explained.
	pending *chunk
	// missing has the markers that should have come.
	missing []*expectedMarker
	// awaits is the revision that the feed must have read before they can be explained.
	awaits kv.Revision
	// over: it is done, and can still be joined.
	over bool
	// maxAge is that of the bucket which it reads, as it was when that was asked for.
	maxAge time.Duration
	// fromCopy is how it is read from the copy; nil if it is read from the store.
	fromCopy *modelView
}

// collect takes over the readings that are due.
func (w *world) collect() {
	for _, r := range w.feed.dueReadings {
		m := &modelReading{reading: r, at: r.key.after}
		if w.copyRand.IntN(4) > 0 {
			m.fromCopy = new(modelView)
		}
		w.readings = append(w.readings, m)
		if r.key.replay {
			w.counts["replay"]++
		}
	}
	w.feed.dueReadings = nil
}

// readSome lets one of the readings go on.
func (w *world) readSome() {
	w.collect()
	if len(w.readings) == 0 {
		return
	}
	i := w.rand.IntN(len(w.readings))
	r := w.readings[i]
	switch {
	case r.ctx.Err() != nil:
		w.counts["dropped"]++
		if len(r.cursors) > 0 || w.feed.readings[r.key] == r.reading {
			w.fail("a reading was dropped with %d followers", len(r.cursors))
		}
		w.readings = slices.Delete(w.readings, i, i+1)
	case r.over:
		r.stopJoining()
		w.readings = slices.Delete(w.readings, i, i+1)
	case w.missing || w.epoch != r.epoch:
		w.failed(r, errRestart)
	case r.fromCopy != nil && r.fromCopy.asked.Last > w.last,
		r.upTo > w.last, r.awaits > w.last: // what it waits for was lost in a crash
		w.failed(r, kv.ErrTimeout)
	case !w.calm && w.rand.IntN(20) == 0 && w.rand.IntN(100) < w.chance.fail:
		w.failed(r, kv.ErrUnavailable)
	case !r.begun && r.fromCopy != nil:
		w.beginInCopy(r)
	case !r.begun:
		w.begin(r)
	case r.missing != nil:
		w.explain(r)
	default:
		w.readOn(r, 1+w.rand.IntN(4))
	}
}

// failed ends a reading with an error.
func (w *world) failed(r *modelReading, err error) {
	r.finish(0, err)
	r.stopJoining()
	r.over = true
}

// begin does what readAll does before it reads.
func (w *world) begin(r *modelReading) {
	if r.upTo == 0 {
		if r.maxAge = w.feed.journal.terms.MaxAge; r.key.to == 0 {
			r.maxAge = w.maxAge
		}
		if r.upTo = r.key.to; r.upTo == 0 {
			r.upTo, r.check = w.last, kv.CheckOf(w.lastTime)
		} else {
			r.check = r.key.toCheck
		}
		w.meanwhile()
	}
	if revision, _ := w.feed.where(); revision < r.upTo {
		return
	}
	if err := r.begin(r.upTo, r.check); err != nil {
		w.failed(r, err)
		return
	}
	r.begun = true
	w.note("reading above %d to %d begins, replay %v, remains %v, expects %d",
		r.key.after, r.upTo, r.key.replay, r.key.remains, len(r.expected))
	w.meanwhile()
	for _, e := range w.lastOf() {
		r.planned = append(r.planned, e.Revision)
	}
}

// readOn reads a chunk of up to count changes, and hands it over if no marker is missing.
func (w *world) readOn(r *modelReading, count int) {
	full := new(chunk)
	if r.fromCopy != nil {
		w.readOnInCopy(r, full, count)
	}
	for _, e := range w.messages {
		if r.fromCopy != nil {
			break
		}
		planned := r.key.history || slices.Contains(r.planned, e.Revision)
		selected := e.Revision > r.at && e.Revision <= r.to && r.filters.Matches(e.Key)
		if !selected || !planned || len(full.changes) == count {
			continue
		}
		e.Expires = expires(e.Created, r.maxAge)
		change := &Change{Entry: e}
		if !r.key.replay {
			change.Snapshot, change.SnapshotCheck = r.to, r.toCheck
		}
		full.changes = append(full.changes, change)
		full.bytes += change.readingBytes()
		r.at = e.Revision
	}
	if r.pending = full; len(full.changes) == 0 {
		r.pending = nil
	}
	if r.missing = r.reading.missingFrom(r.pending); r.missing != nil {
		r.awaits = w.last
		w.note("reading above %d misses %v, known at %d", r.key.after, *r.missing[0], r.awaits)
		return
	}
	w.handOver(r)
}

// explain does what accountFor does, once the feed has read enough.
func (w *world) explain(r *modelReading) {
	if revision, _ := w.feed.where(); revision < r.awaits {
		return
	}
	if !w.feed.journal.explains(r.missing) {
		w.counts["unvouched"]++
		w.failed(r, errUnvouched)
		return
	}
	r.missing = nil
	w.handOver(r)
}

// handOver hands the pending chunk over, or ends the reading if there is none.
func (w *world) handOver(r *modelReading) {
	if r.pending != nil {
		r.addChunk(r.pending)
		w.meanwhile()
		return
	}
	end := w.last
	if r.fromCopy != nil {
		end = max(r.fromCopy.asked.Last, r.fromCopy.at)
	}
	r.finish(end, nil)
	r.over = true
}
