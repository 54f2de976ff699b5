package feed

import (
	"slices"
	"time"

	"kvgateway/internal/kv"
	"kvgateway/internal/kvclient"
)

// This file takes over what the source delivers, and wakes those that wait for it.

// take hands entries to the journal, and wakes the subscriptions that they concern. If the entries
// show that subscriptions hold what is not so, reset is the reason for their reset; otherwise it is
// "". It belongs to the source's goroutine.
//
// The subscriptions are woken without f.mu, since each asks for it at once, on another processor.
// While the feed held the lock until all were woken, a thousand goroutines were put to sleep a
// second time, which was a tenth of the time of a delivery. That a tail has a goroutine of its own
// between the connection and the feed costs nothing that shows (1.02 in twelve pairs, 100
// subscribers).
func (f *Feed) take(entries []kv.Entry) (reset string) {
	reset = f.appendEntries(entries)
	for i, wake := range f.toWake {
		f.toWake[i] = nil
		wake()
	}
	f.toWake = f.toWake[:0]
	return reset
}

// appendEntries is the part of take that needs the feed's lock. It leaves in toWake how to wake the
// subscriptions that have something to tell now.
//
// Where entries vanish by age, what was skipped may have been a marker that vanished before it was
// read: nobody is told of what ends by age. A marker can have one second to live, or what max_age
// gives it. So if something comes with a gap before it, and what was skipped there may be older
// than 0.9 of that time (ageOfSkipped), the feed begins anew
// (TestMarkerThatExpiresUnreadIsAReset). An answer that takes that long while much is overwritten
// is a reset, too.
func (f *Feed) appendEntries(entries []kv.Entry) (reset string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.now()
	for i := range entries {
		e := &entries[i]
		if e.Revision <= f.journal.position {
			continue
		}
		late := f.delays.unusual(now.Sub(e.Created), now)
		skipped := e.Revision != f.journal.position+1
		lifetime := f.journal.lifetime
		if skipped && lifetime > 0 && f.ageOfSkipped(e, late) > lifetime*9/10 {
			reset = ReasonHorizon
		}
		f.caughtUpAt, f.deliveredAt = e.Created, e.Created
		f.anchor = anchor{e.Revision, e.Created}
		change, found := f.journal.take(e, now)
		if found != "" {
			reset = found
		}
		if change == nil {
			continue
		}
		change.feed = f
		f.interests.Match(e.Key, func(s *Subscription) {
			if s.arrived(e.Revision) {
				f.toWake = append(f.toWake, s.wake)
			}
		})
	}
	f.hub.stats.Changes.Add(uint64(len(entries)))
	f.wakeAwaiting()
	f.wakeExact()
	return reset
}

// takeArrival takes what the tail delivered, and notes for how long there was nothing before.
// It returns what take does.
func (f *Feed) takeArrival(a kvclient.Arrival) (reset string) {
	f.noteCaughtUp(f.deliveredAt.Add(a.Idle))
	return f.take(a.Entries)
}

// noteCaughtUp notes a time, by the server's clock, at which nothing was stored beyond the
// position.
func (f *Feed) noteCaughtUp(at time.Time) {
	if at.After(f.caughtUpAt) {
		f.caughtUpAt = at
	}
}

// ageOfSkipped returns how old what was skipped before an entry may have been when the entry was
// read, later than usual by the time late; see [delays] for what is usual. What was skipped was
// stored before the entry, and after caughtUpAt.
//
// How late the entry is does not suffice. While the connection stands still a marker can be stored
// and vanish, and what hides it may be stored last and come in time
// (TestMarkerThatExpiresDuringAStallIsNoticed). The bound has its limits: a feed for which
// everything is always that late would not notice.
func (f *Feed) ageOfSkipped(e *kv.Entry, late time.Duration) time.Duration {
	if f.caughtUpAt.IsZero() {
		return late
	}
	return late + max(0, e.Created.Sub(f.caughtUpAt))
}

// where returns the position, and whether it is exact.
func (f *Feed) where() (kv.Revision, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.journal.position, f.journal.exact.holds(f.journal.position, f.journal.position)
}

// newQuestion returns what has to be remembered of a question to the stream that is about to be
// sent.
func (f *Feed) newQuestion() question {
	f.mu.Lock()
	defer f.mu.Unlock()
	q := f.journal.exact.ask(f.journal.position)
	q.absences = f.absences
	return q
}

// advance moves the position over revisions that are gone, to one whose message has this check.
func (f *Feed) advance(to kv.Revision, check kv.Check) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if to <= f.journal.position {
		return
	}
	f.journal.pass(to, check, f.now())
	f.wakeAwaiting() // nobody else has anything new to tell
}

// An awaiter waits for a position.
type awaiter struct {
	// revision is the position that it waits for.
	revision kv.Revision
	// wake is called once, with the feed locked, when the position is reached or the log begins
	// anew.
	wake func()
}

// whenRead calls wake when everything up to the revision has been read, perhaps at once. f.mu must
// be held.
func (f *Feed) whenRead(revision kv.Revision, wake func()) {
	f.awaiting = append(f.awaiting, awaiter{revision, wake})
	f.wakeAwaiting()
	f.requestVerify() // the revision may be gone, so that nothing will come
}

// wakeAwaiting wakes those whose revision has been reached. f.mu must be held.
func (f *Feed) wakeAwaiting() {
	f.awaiting = slices.DeleteFunc(f.awaiting, func(a awaiter) bool {
		if a.revision > f.journal.position {
			return false
		}
		a.wake()
		return true
	})
}

// wakeExact wakes the subscriptions that wait for an exact position, if there is one. f.mu must be
// held.
func (f *Feed) wakeExact() {
	if f.journal.exact.owed || len(f.wantExact) == 0 {
		return
	}
	for s := range f.wantExact {
		s.wake()
	}
	clear(f.wantExact)
}
