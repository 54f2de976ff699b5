package feed

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"kvgateway/internal/bound"
	"kvgateway/internal/feed/copies"
	"kvgateway/internal/kv"
	"kvgateway/internal/kvclient"
)

// A Feed is the live view of one bucket: a source, a journal of what it has read, and the
// subscriptions that follow the journal's log. It holds the lock; what is decided of the bucket's
// past, the journal decides.
//
// # Lives
//
// The hub makes a feed for the first user of a bucket and drops it some time after the last one
// has left. While the bucket is missing the feed rests: it keeps its subscriptions and has no
// goroutine. Where it has a place among the feeds that rest, it gives back the one that it had
// among those with a source.
//
// Its journal begins anew whenever what was delivered may not be so any more, and otherwise goes on
// after each loss of the source; see [journal].
//
// # Invariants
//
// A feed that rests has restPlace or place, and one with a source has place. A reading in readings
// has at least one reader, or ended less than shareFor ago.
type Feed struct {
	// hub has this feed among its feeds.
	hub *Hub
	// name is the bucket's.
	name kv.BucketName

	// The following are guarded by hub.mu.

	// users counts the subscriptions that are open or being opened.
	users int
	// resting: the bucket is missing, and the feed has no source.
	resting bool
	// lingerTimer ends the feed when it fires; nil while the feed has users.
	lingerTimer *time.Timer
	// idleSince is when the last user left.
	idleSince time.Time
	// owner is the client whose share of places and log memory the feed uses.
	owner string
	// place is what the feed takes of Hub.feedPlaces. It is empty while the feed rests and has
	// restPlace.
	place *bound.Hold
	// restPlace is what the feed takes of Hub.restPlaces. It is taken when a subscription waits
	// for the bucket, or when the feed comes to rest, and given back when the feed is roused or the
	// source has found the bucket.
	restPlace *bound.Hold
	// stopSource ends the source's goroutine.
	stopSource context.CancelFunc

	// source reads the bucket's stream.
	source *source
	// now is the gateway's clock. It is set once, and any goroutine may call it.
	now func() time.Time

	// shown is the copy that can be read; nil for none. It is changed with mu held.
	shown atomic.Pointer[copies.Copy]
	// currentAt is when it was last known to be current; nil if that is not known. It is changed
	// with mu held.
	currentAt atomic.Pointer[time.Time]
	// serverAt is what the last answer said of the clock of the stream's server; nil before that.
	serverAt atomic.Pointer[serverTime]

	// crowd decides which reads of single keys share questions to the leader.
	crowd *crowd

	// mu guards all that follows, and the fields of the subscriptions.
	mu sync.Mutex
	// journal is what was read of the bucket.
	journal journal
	// status is what is known of the source.
	status sourceStatus
	// waiters has those that wait for a revision, an exact position or a start of the source.
	waiters waiters
	// freshness has those that wait to read what the leader has.
	freshness freshness
	// absences numbers the subscriptions that found the bucket missing before the source did.
	absences absences
	// bucket is the bucket as the last start of the source found it.
	bucket *kvclient.Bucket
	// interests finds the subscriptions whose filters match a key.
	interests interests
	// subs has all attached subscriptions.
	subs map[*Subscription]struct{}
	// readings has those that can still be joined.
	readings map[readingKey]*reading
	// memory is the bucket's copy in memory.
	memory memory
	// digests has the sets of filters of which subscriptions tell digests, by their names.
	digests map[string]*digestSet
	// nextAnswer has those that wait for the next question which they share; nil if nobody does.
	nextAnswer *sharedAnswer
	// askingTogether: a goroutine asks such questions.
	askingTogether bool
	// dueReadings are to be started by startReadings, once the lock is released.
	dueReadings []*reading
}

// newFeed returns a feed without a place and without a source.
func newFeed(h *Hub, name kv.BucketName) *Feed {
	f := &Feed{
		hub:       h,
		name:      name,
		status:    newSourceStatus(),
		waiters:   newWaiters(),
		journal:   newJournal(h.options),
		interests: newInterests(),
		subs:      make(map[*Subscription]struct{}),
		readings:  make(map[readingKey]*reading),
		digests:   make(map[string]*digestSet),
		now:       time.Now,
	}
	f.crowd = newCrowd(f.now())
	f.source = newSource(f)
	return f
}

// settle waits until it is known whether there is a source. It returns nil if the source is live,
// or else why there is none.
func (f *Feed) settle(ctx context.Context) error {
	turn := bound.TurnOf(ctx)
	turn.Pause()
	defer turn.Resume()
	for {
		f.mu.Lock()
		status, settled := f.status, f.status.isSettled()
		f.mu.Unlock()
		if settled {
			return status.why
		}
		select {
		case <-status.settled:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// setState notes what is known of the source now, and why it is not live. All subscriptions
// are woken if that is another state than before.
func (f *Feed) setState(s sourceState, why error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.setStateLocked(s, why)
}

// setStateLocked is setState with the lock held.
func (f *Feed) setStateLocked(s sourceState, why error) {
	if f.status.set(s, why) {
		f.wakeAllLocked()
	}
	if s != live {
		f.freshness.failAll(Lost)
	}
}

// dismissAll makes all subscriptions that there are now end with GoAway, for a reason.
func (f *Feed) dismissAll(reason string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for s := range f.subs {
		s.leave(reason)
		s.wake()
	}
}

// isLive reports whether there is a source.
func (f *Feed) isLive() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.status.state == live
}

// wakeAll wakes all subscriptions.
func (f *Feed) wakeAll() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.wakeAllLocked()
}

// wakeAllLocked wakes all subscriptions.
func (f *Feed) wakeAllLocked() {
	for s := range f.subs {
		s.wake()
	}
}
