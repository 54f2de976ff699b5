package feed

import (
	"kvgateway/internal/kv"
	"slices"
)

// This file says how far a feed has come, and wakes those that wait for it to come further.

// where returns the position, and whether it is exact.
func (f *Feed) where() (kv.Revision, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.position, f.exact.holds(f.position, f.position)
}

// newQuestion returns what has to be remembered of a question to the stream that is about to be
// sent.
func (f *Feed) newQuestion() question {
	f.mu.Lock()
	defer f.mu.Unlock()
	q := f.exact.ask(f.position)
	q.absences = f.absences
	return q
}

// advance moves the position over revisions that are gone, to one whose message has this check.
func (f *Feed) advance(to kv.Revision, check kv.Check) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if to <= f.position {
		return
	}
	f.exact.pass(f.position, to)
	f.noteOthersNoticed()
	f.position, f.positionCheck = to, check
	f.log.pass(kv.Position{Epoch: f.epoch, Revision: to, Check: check})
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
		if a.revision > f.position {
			return false
		}
		a.wake()
		return true
	})
}
