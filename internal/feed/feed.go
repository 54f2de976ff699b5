package feed

import (
	"context"
	"sync"
	"time"

	"kvgateway/internal/bound"
	"kvgateway/internal/kv"
	"kvgateway/internal/kvclient"
)

// A sourceState is what a feed knows of its source. The table in the package documentation has the
// transitions.
type sourceState uint8

const (
	// starting: the source has never reached the stream.
	starting sourceState = iota
	// live: the source delivers what is stored.
	live
	// stale: the source is lost, and what is known may be old.
	stale
	// missing: there is no such bucket.
	missing
)

// maxMarkers bounds the markers that a feed remembers. Of a marker that it has forgotten, nobody
// can say later that its purge was harmless.
const maxMarkers = 1 << 16

// A Feed is the live view of one bucket: a source, a log, and the subscriptions that follow it.
//
// # Lives
//
// The hub makes a feed for the first user of a bucket and drops it some time after the last one
// has left. While the bucket is missing the feed rests: it keeps its subscriptions and has no
// goroutine. Where it has a place among the feeds that rest, it gives back the one that it had
// among those with a source.
//
// The log of a feed begins when the source first reaches the stream, at the stream's last
// revision. It begins anew, with a new generation and a new era, whenever what was delivered may
// not be so any more; then every subscription that was there is reset. Otherwise it goes on after
// each loss of the source, at the same position. Feed.adopt decides between the two at each start
// of the source.
//
// # What the feed can answer for
//
// Six revisions bound what the feed can say of the past. All of them count in the present epoch.
//
//	log.horizon        the log has every change above it
//	storeHorizon       everything that happened above it can be told from the store: nothing was
//	                   removed since without a trace
//	trustedFrom        points from here on are of this history, if they were read from the stream;
//	                   0 if all are, since the stream is whole and no reset has voided any
//	othersTrustedFrom  points from here on are of this history that other gateways gave out, once
//	                   othersNoticed is set
//	purgedTo           markers up to here may have been purged from the store
//	position           everything up to here has been read
//
// A subscription may resume at a point if the point is of this history (vouches) and if everything
// after it can be told, by the log or by the store (covers).
//
// # Invariants
//
// storeHorizon ≤ position, purgedTo ≤ position, and log.horizon ≤ position. othersTrustedFrom ≤
// position + 1; it is 0 until othersNoticed is set. The era is wholeEra only if trustedFrom is 0.
// A feed that rests has restPlace or place, and one with a source has place. Each change in the log
// has a revision above log.horizon and at most position. If a key is in markers, the last entry of
// the key that the feed has read is a marker of that revision. A reading in readings has at least
// one reader, or ended less than shareFor ago.
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
	// sourceSide is what only the source's goroutine may touch.
	sourceSide

	// mu guards all that follows, and the fields of the subscriptions.
	mu sync.Mutex
	// state is what is known of the source.
	state sourceState
	// sourceErr says why the source is missing, or was never reached; nil while it is live.
	sourceErr error
	// settled is closed once it is known whether there is a source. It is made anew when the
	// source is lost, or has to be asked for again.
	settled chan struct{}
	// generation rises with every reset of the feed. Subscriptions of an earlier one are to be
	// reset.
	generation uint64
	// lastReset is the reason of the last reset; "" before the first.
	lastReset string
	// bucket is the bucket as the last start of the source found it.
	bucket *kvclient.Bucket
	// epoch is the stream's; "" before the first start.
	epoch kv.Epoch
	// position is the revision up to which everything has been read, or is known to be gone.
	position kv.Revision
	// positionCheck is the check of the message at position; zero if it is not known.
	positionCheck kv.Check
	// exact knows at which positions the changes, folded, give exactly the bucket's state.
	exact exactness
	// wantExact has the subscriptions that wait for an exact position; see
	// Subscription.wantsExact.
	wantExact map[*Subscription]struct{}
	// exactWantedAt is when a subscription last asked whether its state is exact, and it was not.
	exactWantedAt time.Time
	// storeHorizon is the revision above which the store, too, can tell what happened.
	storeHorizon kv.Revision
	// trustedFrom is the first revision whose points, if they were read from the stream, are
	// certainly of this history; see vouches.
	trustedFrom kv.Revision
	// era names the time since the last reset of this feed. No other feed has the same name, but
	// for wholeEra.
	era string
	// begunAt is when the log began, by the gateway's clock.
	begunAt time.Time
	// othersNoticed: the log began so long ago that every other gateway must have noticed since
	// why it did.
	othersNoticed bool
	// othersTrustedFrom is the first revision whose points are certainly of this history when
	// another gateway gave them out; 0 until othersNoticed is set.
	othersTrustedFrom kv.Revision
	// lifetime is the least time after which the store may forget a message without a word; 0 if
	// it never does.
	lifetime time.Duration
	// terms are those under which the bucket keeps its entries. What was reported of their ends
	// follows from them. While terms.Discards is set no position is exact.
	terms kv.Terms
	// log has the recent changes.
	log changeLog
	// markers has the keys whose last entry that was read is a marker, with its revision.
	markers map[string]kv.Revision
	// interests finds the subscriptions whose filters match a key.
	interests interests
	// subs has all attached subscriptions.
	subs map[*Subscription]struct{}
	// readings has those that can still be joined.
	readings map[readingKey]*reading
	// dueReadings are to be started by startReadings, once the lock is released.
	dueReadings []*reading
	// maxResumed is the greatest revision at which a subscription has resumed. It is beyond
	// position if another gateway, which had read more, gave that point out.
	maxResumed kv.Revision
	// snapshotsBegun has the revisions of the snapshots that were begun in this stretch; see
	// knowsSnapshot.
	snapshotsBegun map[kv.Revision]struct{}
	// purgedTo: markers up to this revision may have been purged since the log began.
	purgedTo kv.Revision
	// purgedAt says when the messages of a key with a marker were last purged, by the server's
	// clock.
	purgedAt map[string]time.Time
	// awaiting has those that wait for a position, in no order.
	awaiting []awaiter
	// losses counts how often the log went on after the source was lost.
	losses uint64
	// adopted is closed, and made anew, at each start of the source.
	adopted chan struct{}
	// harmlessPurges counts what purges removed since lastTally without changing anything that a
	// subscription holds. The counts of the stream are compared after subtracting it.
	harmlessPurges purgeCount
	// absences numbers the subscriptions that found the bucket missing before the source did;
	// refuted is the number up to which the source has since found it there. See
	// Subscription.absence.
	absences, refuted uint64
}

// newFeed returns a feed without a place and without a source.
func newFeed(h *Hub, name kv.BucketName) *Feed {
	return &Feed{
		hub:            h,
		name:           name,
		mail:           newMailbox(h.mailboxLimit),
		verifySoon:     make(chan struct{}, 1),
		settled:        make(chan struct{}),
		adopted:        make(chan struct{}),
		log:            changeLog{maxBytes: h.options.LogBytes, maxCount: h.options.LogChanges},
		markers:        make(map[string]kv.Revision),
		purgedAt:       make(map[string]time.Time),
		interests:      newInterests(),
		subs:           make(map[*Subscription]struct{}),
		wantExact:      make(map[*Subscription]struct{}),
		readings:       make(map[readingKey]*reading),
		snapshotsBegun: make(map[kv.Revision]struct{}),
		sourceSide:     sourceSide{now: time.Now, lastHeard: time.Now},
	}
}

// settle waits until it is known whether there is a source. It returns nil if the source is live,
// or else why there is none.
func (f *Feed) settle(ctx context.Context) error {
	turn := bound.TurnOf(ctx)
	turn.Pause()
	defer turn.Resume()
	for {
		unsettled, why := f.unsettled()
		if unsettled == nil {
			return why
		}
		select {
		case <-unsettled:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// unsettled returns a channel that is closed when it is known whether there is a source. If it is
// known already, the channel is nil and why says why there is no source, nil if there is one.
func (f *Feed) unsettled() (until <-chan struct{}, why error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	select {
	case <-f.settled:
	default:
		return f.settled, nil
	}
	if f.state == live {
		return nil, nil
	}
	return nil, f.sourceErr
}

// unsettle makes new subscribers wait until the source has been asked for once more.
func (f *Feed) unsettle() {
	f.mu.Lock()
	defer f.mu.Unlock()
	select {
	case <-f.settled:
		f.settled = make(chan struct{})
	default:
	}
}

// setState notes what is known of the source, and why it is not live. If that is another state,
// all subscriptions are woken. A source that has never been reached does not become stale.
func (f *Feed) setState(s sourceState, why error) {
	f.mu.Lock()
	f.sourceErr = why
	before := f.state
	if before != starting || s != stale {
		f.state = s
	}
	select {
	case <-f.settled:
		if before == live && s == stale {
			// The reason is known only when the source has been asked for again.
			f.settled = make(chan struct{})
		}
	default:
		close(f.settled)
	}
	f.mu.Unlock()
	if before != s {
		f.wakeAll()
	}
}

// isLive reports whether there is a source. f.mu must not be held.
func (f *Feed) isLive() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.state == live
}

// wakeAll wakes all subscriptions. f.mu must not be held.
func (f *Feed) wakeAll() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for s := range f.subs {
		s.wake()
	}
}

// disclaimExact makes no position exact until the log begins anew.
func (f *Feed) disclaimExact() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.exact.disclaim()
}

// requestVerify asks for a verification, which can make the position exact. It may be called
// by any goroutine, with or without f.mu.
func (f *Feed) requestVerify() {
	select {
	case f.verifySoon <- struct{}{}:
	default:
	}
}
