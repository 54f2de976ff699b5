package feed

import (
	"slices"

	"kvgateway/internal/kvclient"
)

// This file says where a feed is, and tells those who wait for it to come further.

// where returns the position and whether the state there is exact.
func (f *Feed) where() (kvclient.Revision, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.position, f.exact.holds(f.position, f.position)
}

// question returns what is to be remembered of a question to the stream that is about to be sent.
func (f *Feed) question() question {
	f.mu.Lock()
	defer f.mu.Unlock()
	q := f.exact.ask(f.position)
	q.absences = f.absences
	return q
}

// advance moves the position over revisions that are gone, to one whose message has this check.
func (f *Feed) advance(to kvclient.Revision, check kvclient.Check) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if to <= f.position {
		return
	}
	f.exact.pass(f.position, to)
	f.passNotice()
	f.position, f.positionCheck = to, check
	f.log.pass(kvclient.Position{Epoch: f.epoch, Revision: to, Check: check})
	f.tell() // those that wait to get there; the others have nothing to tell
}

// An awaited revision has somebody to tell when the position is there.
type awaited struct {
	revision kvclient.Revision
	tell     func()
}

// await has somebody told when everything up to the revision has been read. The feed is locked.
func (f *Feed) await(revision kvclient.Revision, tell func()) {
	f.awaited = append(f.awaited, awaited{revision, tell})
	f.tell()
	f.soon() // it may be gone
}

// tell tells who waits for a revision. The feed is locked.
func (f *Feed) tell() {
	f.awaited = slices.DeleteFunc(f.awaited, func(a awaited) bool {
		if a.revision > f.position {
			return false
		}
		a.tell()
		return true
	})
}
