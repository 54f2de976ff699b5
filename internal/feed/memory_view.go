package feed

import (
	"context"

	"kvgateway/internal/feed/copies"
	"kvgateway/internal/kv"
)

// This file gives whole states of a bucket out of memory, for lists.

// A View is a bucket as it was in memory at one moment, or at an earlier revision.
type View = copies.View

// ViewFresh returns the bucket as it is in memory at an exact position, which is at least as new as
// everything that the stream's leader had when the caller came. It waits for such a position, for
// some milliseconds mostly and for freshPatience at most, and the caller's turn at work is paused
// meanwhile. If there is a reason why that cannot be, or takes longer, it returns the reason
// instead, at once if it is known beforehand. The error is one of [bound.Turn.Begin].
//
// The state has no half of a transaction. Times to live have ended by the clock of the stream's
// server.
func (m Memory) ViewFresh(ctx context.Context) (v copies.View, why Fallback, err error) {
	fresh, why, err := m.feed.awaitFresh(ctx)
	if why == Answered {
		var ok bool
		if v, ok = m.copy.View(fresh.At); !ok || v.Position().Epoch != fresh.Epoch {
			why = Absent
		} else if v, ok = m.latestExact(v, fresh.Revision); !ok {
			why = Absent
		}
	}
	m.feed.hub.stats.countRead(why)
	return v, why, err
}

// latestExact returns the view if its position is exact, and otherwise the view pinned at an
// earlier revision that is. It returns false if the copy is not at that revision, since a
// transaction is not complete, or does not have its state any more.
func (m Memory) latestExact(v copies.View, exact kv.Revision) (copies.View, bool) {
	if at := v.Position().Revision; at > exact && m.isExactAt(at) {
		return v, true
	}
	return v.At(exact)
}

// isExactAt reports whether the state at a revision is known to be exact: whether the entries that
// the feed has read up to there, folded, give the bucket's state.
func (m Memory) isExactAt(revision kv.Revision) bool {
	f := m.feed
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.memory.copy == m.copy && f.journal.exact.holds(revision, f.journal.Revision)
}

// ViewNow returns the bucket as it is in memory now. exact reports whether that is the bucket's
// state at the view's revision; otherwise some keys may have older entries than the bucket had
// then. It returns false if the copy was dropped meanwhile.
func (m Memory) ViewNow() (v copies.View, exact, ok bool) {
	if v, ok = m.View(); !ok {
		return v, false, false
	}
	return v, m.isExactAt(v.Revision()), true
}

// ViewAt returns the bucket as it was at a position, from which a state was given out before: by
// the copy with that id, or by that of another gateway. It returns false if that state cannot be
// had from memory any more, or never could: the feed of another gateway may have read an entry that
// was overwritten before this one's came to it.
//
// What was removed since without a trace in the stream is not there; see the package copies.
func (m Memory) ViewAt(at kv.Position, copyID uint64) (copies.View, bool) {
	v, ok := m.View()
	if !ok || v.Position().Epoch != at.Epoch {
		return v, false
	}
	if v.CopyID() != copyID && !m.isExactAt(at.Revision) {
		return v, false
	}
	return v.At(at.Revision)
}
