package feed

import (
	"context"
	"sync"
	"time"

	"kvgateway/internal/bound"
	"kvgateway/internal/kv"
	"kvgateway/internal/kvclient"
)

// A Feed is the live view of one bucket: a source, a journal of what it has read, and the
// subscriptions that follow the journal's log. It holds the lock, and does all that asks NATS or
// wakes somebody; what is decided of the bucket's past, the journal decides.
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

	// mail holds advisories until the source's goroutine handles them.
	mail *mailbox
	// verifySoon has a token while a verification was asked for; its capacity is 1.
	verifySoon chan struct{}
	// now is the gateway's clock. It is set once, and any goroutine may call it.
	now func() time.Time

	// The following belong to the source's goroutine, so that no lock guards them.

	// audit is what the source needs to judge what it sees.
	audit audit
	// lastHeard returns when the source said something last. It can be asked after the source was
	// lost, too.
	lastHeard func() time.Time
	// toWake is what take is to call for the entries that arrived. Its array is used again.
	toWake []func()

	// mu guards all that follows, and the fields of the subscriptions.
	mu sync.Mutex
	// journal is what was read of the bucket.
	journal journal
	// status is what is known of the source.
	status sourceStatus
	// waiters has who waits for the feed to come somewhere.
	waiters waiters
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
	// dueReadings are to be started by startReadings, once the lock is released.
	dueReadings []*reading
}

// newFeed returns a feed without a place and without a source.
func newFeed(h *Hub, name kv.BucketName) *Feed {
	return &Feed{
		hub:        h,
		name:       name,
		mail:       newMailbox(h.mailboxLimit),
		verifySoon: make(chan struct{}, 1),
		status:     newSourceStatus(),
		waiters:    newWaiters(),
		journal:    newJournal(h.options),
		interests:  newInterests(),
		subs:       make(map[*Subscription]struct{}),
		readings:   make(map[readingKey]*reading),
		now:        time.Now,
		lastHeard:  time.Now,
	}
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

// setState takes over what is known of the source now, and why it is not live. All subscriptions
// are woken if that is another state than before.
func (f *Feed) setState(s sourceState, why error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.status.set(s, why) {
		f.wakeAllLocked()
	}
}

// isLive reports whether there is a source. f.mu must not be held.
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

// disclaimExact makes no position exact until the log begins anew.
func (f *Feed) disclaimExact() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.journal.exact.disclaim()
}

// requestVerify asks for a verification, which can make the position exact. It may be called
// by any goroutine, with or without f.mu.
func (f *Feed) requestVerify() {
	select {
	case f.verifySoon <- struct{}{}:
	default:
	}
}
