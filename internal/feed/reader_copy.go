package feed

import (
	"context"

	"kvgateway/internal/feed/copies"
	"kvgateway/internal/kv"
	"kvgateway/internal/kvclient"
)

// This file reads snapshots and replays from the copy of the bucket, if there is one.
//
// # A view stands for its position
//
// The view of a copy at position P has what was delivered up to P, folded. So a snapshot that is
// read from the view stands for P, and the log brings the rest. What the feed has yet to read of
// the keys whose entries it has skipped up to P comes later, and until then no position is exact
// (see [exactness]); nothing else is missing. A reading up to an earlier revision lacks what was
// overwritten between there and P, so it is complete only from P on (Subscription.syncFrom).
//
// # As new as the store
//
// Whoever comes after a write was acknowledged finds it in the snapshot. So the leader is asked
// where the stream is, after the subscription came, and the view is taken once the feed has read up
// to there. Readings that begin at the same time share the question (askTogether), and that is all
// that NATS hears of them.
//
// # What is read from NATS all the same
//
// The retained entries of a bucket that has a history above 1, since the copy has only the last of
// each key; what the copy is unsure of (package copies); and everything while there is no copy that
// can be read, while the source is lost, and where the counts of the stream differ from the copy's.
// The markers that a replay must include are looked for as in what is read from NATS
// (missingFrom): one that is neither there nor overwritten has expired.

// readCopy reads everything from the copy. It returns false, and has done nothing, if the copy
// cannot tell what is to be read. Otherwise it returns what readAll does.
func (r *reading) readCopy(ctx context.Context) (end kv.Revision, ok bool, err error) {
	f := r.feed
	if f.shown.Load() == nil || !f.isSuited() {
		return 0, false, nil
	}
	_, s, err := f.askTogether(ctx)
	if err == nil && s.Epoch != r.epoch {
		err = errRestart
	}
	if err == nil {
		err = f.awaitRead(ctx, max(s.Last, r.key.to))
	}
	if err != nil {
		return 0, true, err
	}
	view, ok := r.viewFor(s)
	if !ok {
		return 0, false, nil
	}
	f.hub.stats.MemorySnapshots.Add(1)
	to, toCheck := r.standsFor(view)
	if err := r.begin(to, toCheck); err != nil {
		return 0, true, err
	}
	c := r.newCollector(to, toCheck, r.awaitCursors)
	err = c.collect(ctx, func(visit func(kv.Entry) error) (err error) {
		view.AscendRevisions(r.filters, r.key.after, func(e *kv.Entry) bool {
			if e.Revision > to {
				return false
			}
			err = visit(*e)
			return err == nil
		})
		return err
	})
	return max(s.Last, view.Position().Revision), true, err
}

// isSuited is isSuitedLocked for those who do not hold the lock.
func (f *Feed) isSuited() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.isSuitedLocked()
}

// viewFor returns the copy as it is now, if it can tell what is to be read. The stream was in the
// state s, and the feed has read up to there.
func (r *reading) viewFor(s kvclient.StreamState) (v copies.View, ok bool) {
	f := r.feed
	f.mu.Lock()
	c := f.shown.Load()
	ok = c != nil && f.status.state == live && !f.copyDiffersLocked(s)
	f.mu.Unlock()
	if !ok || r.key.history && s.History != 1 {
		return v, false
	}
	v, ok = c.View(f.serverNow())
	return v, ok && v.Position().Epoch == r.epoch && v.Revision() >= r.key.to && !v.IsUnsure()
}

// standsFor returns the revision that the reading stands for if it is read from the view, and the
// check of its message.
func (r *reading) standsFor(view copies.View) (to kv.Revision, toCheck kv.Check) {
	if r.key.to > 0 {
		return r.key.to, r.key.toCheck
	}
	at := view.Position()
	return at.Revision, at.Check
}
