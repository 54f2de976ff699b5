package feed

import (
	"kvgateway/internal/kv"
)

// This file has the way of a change from the source to the subscriptions: receive calls deliver,
// which appends it to the journal, matches it with the filters, and wakes who has to send it.

// deliver hands entries to the journal and the audit, and wakes the subscriptions that they
// concern. It returns what the entries show: that nothing is wrong, or that subscriptions hold
// outdated state.
//
// The subscriptions are woken without f.mu, since each asks for it at once, on another processor.
// While the feed held the lock until all were woken, a thousand goroutines were put to sleep a
// second time, which was a tenth of the time of a delivery. That a tail has a goroutine of its own
// between the connection and the feed costs nothing that shows (1.02 in twelve pairs, 100
// subscribers).
func (src *source) deliver(entries []kv.Entry) verdict {
	found := src.appendEntries(entries)
	for i, wake := range src.toWake {
		src.toWake[i] = nil
		wake()
	}
	src.toWake = src.toWake[:0]
	return found
}

// appendEntries is the part of deliver that needs the feed's lock. It leaves in toWake how to wake
// the subscriptions that have something to tell now.
func (src *source) appendEntries(entries []kv.Entry) (found verdict) {
	f := src.feed
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.now()
	for i := range entries {
		e := &entries[i]
		if e.Revision <= f.journal.Revision {
			continue
		}
		gap := src.audit.noteEntry(e, f.journal.Revision, f.journal.lifetime, now)
		if gap.action != goOn {
			found = gap
		}
		purged := f.journal.purgeOvertook(e)
		change, reset := f.journal.append(e, now)
		f.applyLocked(e, purged)
		if reset != "" {
			found = doubtFor(reset)
		}
		if change == nil {
			continue
		}
		change.feed = f
		f.interests.Match(e.Key, func(s *Subscription) {
			if s.noteChange(e.Revision) {
				src.toWake = append(src.toWake, s.wake)
			}
		})
	}
	if found.action == doubt {
		f.doubtLocked()
	}
	f.settleCopyLocked()
	f.hub.stats.Changes.Add(uint64(len(entries)))
	f.waiters.reached(f.journal.Revision)
	f.wakeExactLocked()
	return found
}

// advance moves the position over revisions that are gone, to one whose message has this check.
func (src *source) advance(to kv.Revision, check kv.Check) {
	f := src.feed
	f.mu.Lock()
	defer f.mu.Unlock()
	if to <= f.journal.Revision {
		return
	}
	f.journal.pass(to, check, f.now())
	if c := f.memory.copy; c != nil {
		c.Pass(f.journal.Position, f.journal.exact.isExact())
		f.settleCopyLocked()
	}
	f.waiters.reached(to) // nobody else has anything new to tell
}

// whenReadLocked calls wake when everything up to the revision has been read, perhaps at once.
func (f *Feed) whenReadLocked(revision kv.Revision, wake func()) {
	f.waiters.forRevision = append(f.waiters.forRevision, awaiter{revision, wake})
	f.waiters.reached(f.journal.Revision)
	f.source.requestVerify() // the revision may be gone, so that nothing will come
}

// wakeExactLocked wakes the subscriptions and the callers that wait for an exact position, if there
// is one.
func (f *Feed) wakeExactLocked() {
	if !f.journal.exact.owed {
		f.waiters.becameExact()
		f.reachFreshLocked()
	}
}

// reachFreshLocked ends the waits for what is fresh at the feed's position, which is exact. While
// the copy holds a transaction back, it is not there yet.
func (f *Feed) reachFreshLocked() {
	if c := f.memory.copy; c == nil || c.Position().Revision == f.journal.Revision {
		f.freshness.reach(f.journal.Position)
	}
}
