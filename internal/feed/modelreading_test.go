package feed

import (
	"slices"
	"time"

	"kvgateway/internal/kvclient"
)

// A modelReading reads from the model, step by step, what a reading's goroutine reads from the store.
type modelReading struct {
	*reading
	begun   bool
	wants   kvclient.Revision   // up to where it is to read; 0 while it has not asked
	check   kvclient.Check      // of the message there
	at      kvclient.Revision   // everything up to here was read
	planned []kvclient.Revision // of a snapshot: what the consumer found when it was created
	full    *chunk              // that is handed over next
	missed  []*expectedMarker   // before that can be
	until   kvclient.Revision   // the feed must have read up to here before
	over    bool
	maxAge  time.Duration // as its bucket has it
}

// collect takes over the readings that are due.
func (w *world) collect() {
	for _, r := range w.feed.dueReadings {
		w.reads = append(w.reads, &modelReading{reading: r, at: r.key.after})
		if r.key.replay {
			w.counts["replay"]++
		}
	}
	w.feed.dueReadings = nil
}

// readSome lets one of the readings go on.
func (w *world) readSome() {
	w.collect()
	if len(w.reads) == 0 {
		return
	}
	i := w.rand.IntN(len(w.reads))
	r := w.reads[i]
	switch {
	case r.ctx.Err() != nil:
		w.counts["dropped"]++
		if len(r.cursors) > 0 || w.feed.readings[r.key] == r.reading {
			w.fail("a reading was dropped with %d followers", len(r.cursors))
		}
		w.reads = slices.Delete(w.reads, i, i+1)
	case r.over:
		r.stopJoining()
		w.reads = slices.Delete(w.reads, i, i+1)
	case w.missing || w.epoch != r.epoch:
		w.failed(r, errRestart)
	case r.wants > w.last, r.until > w.last: // what it waits for was lost in a crash
		w.failed(r, kvclient.ErrTimeout)
	case !w.calm && w.rand.IntN(20) == 0 && w.rand.IntN(100) < w.often.fail:
		w.failed(r, kvclient.ErrUnavailable)
	case !r.begun:
		w.begin(r)
	case r.missed != nil:
		w.explain(r)
	default:
		w.readOn(r, 1+w.rand.IntN(4))
	}
}

func (w *world) failed(r *modelReading, err error) {
	r.finish(0, err)
	r.stopJoining()
	r.over = true
}

func (w *world) begin(r *modelReading) {
	if r.wants == 0 {
		if r.maxAge = w.feed.terms.MaxAge; r.key.to == 0 {
			r.maxAge = w.maxAge
		}
		if r.wants = r.key.to; r.wants == 0 {
			r.wants, r.check = w.last, kvclient.CheckOf(w.lastTime)
		} else {
			r.check = r.key.toCheck
		}
		w.meanwhile()
	}
	if position, _ := w.feed.where(); position < r.wants {
		return
	}
	if err := r.begin(r.wants, r.check); err != nil {
		w.failed(r, err)
		return
	}
	r.begun = true
	w.note("reading above %d to %d begins, replay %v, remains %v, expects %d", r.key.after, r.wants, r.key.replay, r.key.remains, len(r.expected))
	w.meanwhile()
	for _, e := range w.lastOf() {
		r.planned = append(r.planned, e.Revision)
	}
}

// readOn reads some more, and hands it over if no marker is missing.
func (w *world) readOn(r *modelReading, count int) {
	full := new(chunk)
	for _, e := range w.messages {
		if e.Revision <= r.at || e.Revision > r.to || !r.filters.Matches(e.Key) || !r.key.history && !slices.Contains(r.planned, e.Revision) ||
			len(full.changes) == count {
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
	if r.full = full; len(full.changes) == 0 {
		r.full = nil
	}
	if r.missed = r.reading.missingFrom(r.full); r.missed != nil {
		r.until = w.last
		w.note("reading above %d misses %v, known at %d", r.key.after, *r.missed[0], r.until)
		return
	}
	w.handOver(r)
}

func (w *world) explain(r *modelReading) {
	if position, _ := w.feed.where(); position < r.until {
		return
	}
	if !w.feed.explains(r.missed) {
		w.counts["unvouched"]++
		w.failed(r, errUnvouched)
		return
	}
	r.missed = nil
	w.handOver(r)
}

func (w *world) handOver(r *modelReading) {
	if r.full != nil {
		r.addChunk(r.full)
		w.meanwhile()
		return
	}
	r.finish(w.last, nil)
	r.over = true
}
