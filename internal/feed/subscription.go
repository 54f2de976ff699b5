package feed

import (
	"context"

	"kvgateway/internal/bound"
	"kvgateway/internal/kv"
)

// SubscribeOptions say what a subscription is about and where it starts. Without a point it starts
// with a snapshot.
type SubscribeOptions struct {
	// Filters select the keys; none selects all.
	Filters kv.Filters
	// IncludeHistory: the snapshot has every retained entry.
	IncludeHistory bool
	// UpdatesOnly: there is no snapshot.
	UpdatesOnly bool
	// IgnoreDeletes: no markers are sent.
	IgnoreDeletes bool
	// Removals: Removed is told where keys are gone without a marker, instead of a reset.
	Removals bool
	// Digest: where it is exact, it tells a digest of the state, if one is known.
	Digest bool
	// NoValues: snapshots and replays are read without values.
	NoValues bool

	// Resume is the point of an earlier subscription; nil for none.
	Resume *Point
	// UnknownPoint: there was an earlier subscription, but its point cannot be read.
	UnknownPoint bool
	// OtherContent: the point is of a subscription that was sent other entries, or in another
	// form, so that going on there would leave some of them out.
	OtherContent bool
	// Stamp is that of the earlier subscription when it was given its point; "" if that is not
	// known. See [Subscription.Stamp].
	Stamp string
	// From, if not 0, is the revision from which on to deliver what survives, as native watches
	// do. If there is a point, whether it can be read or not, the point decides where to begin.
	From kv.Revision
}

// hasStart reports whether the subscriber says where to begin: at a point that can be read, or at
// a revision.
func (o *SubscribeOptions) hasStart() bool {
	return !o.OtherContent && !o.UnknownPoint && (o.Resume != nil || o.From > 0)
}

// resuming reports whether the subscriber held a state before.
func (o *SubscribeOptions) resuming() bool { return o.Resume != nil || o.UnknownPoint }

// A subscriptionState is what a subscription does, and what it owes before anything else. The table
// in the package documentation has the transitions.
type subscriptionState uint8

const (
	// joining: it is not part of the feed yet, and no decision was made where it begins.
	joining subscriptionState = iota
	// foundMissing: there was no bucket when it came, and it was not told so. It is told
	// BucketDeleted if the source finds none either, and is reset if there is one after all.
	foundMissing
	// toldMissing: BucketDeleted was told, and it waits for a bucket.
	toldMissing
	// resetOwed: Reset is owed, for the reason Subscription.reason, and then the snapshot in whose
	// reading it is already.
	resetOwed
	// inReading: it sends what a reading has, a snapshot or a replay.
	inReading
	// following: it sends the changes of the log.
	following
	// leaving: GoAway is owed, for the reason Subscription.reason, and nothing else is sent.
	leaving
	// ended: it sends nothing any more.
	ended
)

// maxLags is how often in a row a subscription may begin anew with a snapshot, since the log had
// moved on and the store could not tell what it lost, before it is ended.
const maxLags = 3

// A Subscription sends what happens in a bucket to one client, at the client's pace. Its exported
// methods are for one goroutine at a time. Feed.mu guards it; see the package documentation.
//
// # What it is
//
// A subscription is a cursor. While following, everything up to cursor was sent, and pending is
// the first change above it that may concern the subscription, 0 if there is none. In a reading the
// cursor is readCursor, which is nil exactly if the state is neither inReading nor resetOwed. The
// feed only wakes a subscription; what there is to send is decided when it polls.
//
// A loss after which the log goes on can set the cursor back, on the source's goroutine and while a
// poll matches changes without the lock. relocations counts each time that the cursor was set anew,
// so that the poll notices (finishBatch).
//
// # What it owes
//
// A poll looks for these in this order. Each of the first six, but for Stale and
// Live, is the last event of its poll; the
// others can come together.
//
//	GoAway         the hub is closed, or the state is leaving
//	BucketDeleted  the bucket is missing, and the state is not toldMissing
//	Reset          all that was sent is void (isVoid), or the state is foundMissing,
//	               toldMissing or resetOwed; but not while the source is stale
//	Stale, Live    toldStale is not what the source is
//	Restamped      era is not the journal's
//	Removed        owesRemovals is set, and the subscription has passed what it concerns
//	Changed        the reading or the log has something
//	Synced         syncDue is set, and everything up to syncFrom was sent
//	BecameExact    wantsExact is set, and the state is exact
//
// # What is no state
//
// Four things are told beside the state, since each can be so in several states, together with any
// of the others. A generation that is not the feed's says that all that was sent is void: the feed
// can begin anew in any state. toldStale is what the client believes of the source. syncDue stays
// from a reading on until Synced is told from the log. wantsExact survives a replay, and not a
// snapshot.
//
// # What its ids say
//
// sent and sentCheck are what an id names. In a snapshot, sent is the last entry that was sent,
// and to is what the snapshot stands for. Otherwise everything up to sent was sent. sent can be
// lower than the cursor: the check of a revision that was gone before it was read is not known,
// and then sent stays at an earlier revision behind which nothing was left out.
//
// # Exactness
//
// The state that a client has by folding what it was sent is exact at the cursor if folds is set,
// if syncDue is not, if the cursor has reached syncFrom, and if the position is exact (see
// [exactness]).
type Subscription struct {
	// feed is the bucket's.
	feed *Feed
	// options are those that the subscriber gave.
	options SubscribeOptions
	// wake reports that there may be something to poll; see [Hub.Subscribe].
	wake func()
	// closed: Close was called.
	closed bool
	// tokens counts the tokens of the filters.
	tokens int
	// owner is the client that is charged for the subscription; "" for the gateway.
	owner string
	// memory is what the subscription takes of Hub.filterMemory.
	memory bound.Hold

	// The following are guarded by the feed's mutex: the source's goroutine sets pending.

	// state is what the subscription does.
	state subscriptionState
	// reason is that of the Reset or the GoAway which the state owes; meaningless in other states.
	reason string
	// generation is the feed's for which the subscription has begun, or was reset. If the feed's
	// is another, a reset is owed.
	generation uint64
	// cursor, while following, is the revision up to which everything was sent.
	cursor kv.Revision
	// pending is the first change above the cursor that arrived, or may have; 0 for none.
	pending kv.Revision
	// matched is the last change that was pending when it arrived: its key is known to match.
	matched kv.Revision
	// readCursor is where it is in a reading; nil if it is in none.
	readCursor *readingCursor
	// relocations counts how often the subscription was made to go on elsewhere, in the log or in
	// a reading; the source's goroutine does so, too.
	relocations uint64
	// sent is the revision of the last entry of a snapshot that was sent, or else one up to which
	// everything was sent, at most the cursor.
	sent kv.Revision
	// to is the revision that the snapshot, or the replay, stands for; 0 while that is not known.
	to kv.Revision
	// sentCheck and toCheck are the checks of the messages at sent and to; zero if not known.
	sentCheck, toCheck kv.Check
	// lossesThen is the feed's losses when the stream was asked where to go on.
	lossesThen uint64
	// countsKeys: the snapshot was read from its beginning, so that its keys can be counted.
	countsKeys bool
	// syncDue: Synced has yet to be sent.
	syncDue bool
	// syncFrom is the revision from which on the state is complete.
	syncFrom kv.Revision
	// keys is the number of keys that Synced reports; -1 for none.
	keys int
	// folds: what was sent, folded, gives the state.
	folds bool
	// wantsExact: a bookmark said that the state is not exact, so that BecameExact is owed.
	wantsExact bool
	// lags counts the resets in a row since the subscription was last at the end of the log.
	lags int
	// digest is the one that it tells; nil for none.
	digest *digestSet
	// toldStale: the subscription was told that the source is lost, and not yet that it is back.
	toldStale bool
	// owesRemovals: removals from the number nextRemoval on may have to be told; see removals.
	owesRemovals bool
	nextRemoval  uint64
	// era is the one that the ids have which the subscription gives out.
	era string
	// stamp is what Stamp returns.
	stamp string
	// absence, if not 0, numbers the feed's absences: the bucket was missing when the subscription
	// came, and the source has yet to find it missing too, or there. A server that has just
	// started does not know of every stream yet. Until the source has looked, the subscription is
	// told nothing. It is 0 unless the state is foundMissing.
	absence uint64
}

// Stamp returns what has to be known of a point beside the point itself: under which terms the
// bucket keeps its entries, and in which era of its feed the point was given out. It is that of all
// points up to the next [Reset] or [Restamped], which come with another.
func (s *Subscription) Stamp() string { return s.stamp }

// Subscribe watches a bucket. Whenever there may be something to [Subscription.Poll], wake is
// called, perhaps with the feed locked, and perhaps once more after Close: it must neither block
// nor call the feed; [WakeByToken] makes one of a channel.
//
// Subscribe returns [kv.ErrBucketNotFound] or [kv.ErrBadBucket] unless the subscriber
// resumes, and [kv.ErrUnavailable] or [kv.ErrTimeout] while the source is away. What
// the subscription takes is charged to the context's owner; a *[bound.FullError] says that there
// is no room for it.
func (h *Hub) Subscribe(
	ctx context.Context, name kv.BucketName, options SubscribeOptions, wake func(),
) (*Subscription, error) {
	s := &Subscription{
		options: options,
		wake:    wake,
		tokens:  tokensOf(options.Filters),
		owner:   bound.OwnerOf(ctx),
		keys:    -1,
		folds:   !options.UpdatesOnly && !options.IgnoreDeletes,
	}
	err := h.filterMemory.Take(ctx, &s.memory, s.owner, filterBytes(s.patterns()), nil)
	if err != nil {
		return nil, err
	}
	if s.feed, err = h.acquire(ctx, name); err != nil {
		s.memory.Release()
		return nil, err
	}
	if err := s.attachWhenSettled(ctx); err != nil {
		h.release(s.feed)
		s.memory.Release()
		return nil, err
	}
	s.joinDigest()
	h.stats.Subscriptions.Add(1)
	s.wake()
	return s, nil
}

// patterns returns the filters as text, each once.
func (s *Subscription) patterns() []string { return patternsOf(s.options.Filters) }

// noteChange notes that a change came that the subscription has to send, and reports whether the
// subscription is to be woken.
func (s *Subscription) noteChange(revision kv.Revision) bool {
	if s.state != following || s.pending != 0 {
		return false
	}
	s.pending, s.matched = revision, revision
	s.cursor = max(s.cursor, revision-1) // nothing between concerns it
	return true
}

// Close ends the subscription.
func (s *Subscription) Close() {
	if s.closed {
		return
	}
	s.closed = true
	s.detach()
	s.feed.hub.stats.Subscriptions.Add(-1)
	s.feed.hub.release(s.feed)
	s.memory.Release()
}

// isVoid reports whether all that was sent is void, since the log has begun anew.
func (s *Subscription) isVoid() bool { return s.generation != s.feed.journal.generation }

// detach undoes attach. It locks the feed.
func (s *Subscription) detach() {
	f := s.feed
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.subs, s)
	delete(f.waiters.forExact, s)
	f.interests.remove(s)
	s.leaveDigestLocked()
	s.relocate()
	s.state = ended
}

// Bucket returns the name of the bucket that is watched.
func (s *Subscription) Bucket() kv.BucketName { return s.feed.name }

// WakeByToken returns a wake function that puts a token into a channel if there is room. The
// channel's capacity should be 1.
func WakeByToken(channel chan<- struct{}) (wake func()) {
	return func() {
		select {
		case channel <- struct{}{}:
		default:
		}
	}
}
