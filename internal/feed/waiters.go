package feed

import (
	"slices"
	"time"

	"kvgateway/internal/kv"
)

// A waiters has those that wait for a revision, for an exact position, or for the next start of the
// feed's source. They are woken with the feed locked. Feed.mu guards it.
type waiters struct {
	// forRevision has those that wait for a revision, in no order.
	forRevision []awaiter
	// forExact has the subscriptions that wait for an exact position; see
	// Subscription.wantsExact.
	forExact map[*Subscription]struct{}
	// exactWantedAt is when a subscription last asked whether its state is exact, and it was not.
	exactWantedAt time.Time
	// nextStart is closed, and made anew, at each start of the source.
	nextStart chan struct{}
}

// An awaiter waits for a revision.
type awaiter struct {
	// revision is the one that it waits for.
	revision kv.Revision
	// wake is called once, when everything up to the revision has been read or the log begins
	// anew.
	wake func()
}

func newWaiters() waiters {
	return waiters{
		forExact:  make(map[*Subscription]struct{}),
		nextStart: make(chan struct{}),
	}
}

// reached wakes those that wait for a revision up to which everything has been read now.
func (w *waiters) reached(revision kv.Revision) {
	w.forRevision = slices.DeleteFunc(w.forRevision, func(a awaiter) bool {
		if a.revision > revision {
			return false
		}
		a.wake()
		return true
	})
}

// becameExact wakes the subscriptions that wait for an exact position.
func (w *waiters) becameExact() {
	for s := range w.forExact {
		s.wake()
	}
	clear(w.forExact)
}

// started lets those go on that wait for the next start of the source. begun says that the log
// begins there: then what the others wait for may never come, and they are released.
func (w *waiters) started(begun bool) {
	close(w.nextStart)
	w.nextStart = make(chan struct{})
	if !begun {
		return
	}
	for _, a := range w.forRevision {
		a.wake()
	}
	w.forRevision = nil
	clear(w.forExact) // whoever is reset asks again
}

// An absences numbers the subscriptions that found the bucket missing before the source did. See
// Subscription.absence. Feed.mu guards it.
type absences struct {
	// found is the number of the last one.
	found uint64
	// refuted is the number up to which the source has since found the bucket there.
	refuted uint64
}

// refute notes that the source has found the bucket there, in answer to a question that was sent
// after so many absences. It reports whether that is news.
func (a *absences) refute(upTo uint64) (news bool) {
	news = upTo > a.refuted
	a.refuted = max(a.refuted, upTo)
	return news
}

// areOpen reports whether there are absences that have yet to be refuted or confirmed.
func (a *absences) areOpen() bool { return a.found > a.refuted }
