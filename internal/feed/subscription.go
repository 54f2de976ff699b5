package feed

import (
	"context"
	"strings"

	"kvgateway/internal/bound"
	"kvgateway/internal/kvclient"
)

// SubscribeOptions say what a subscription is about and where it starts. Without a position it starts with a snapshot.
type SubscribeOptions struct {
	Filters        kvclient.Filters
	IncludeHistory bool // the snapshot has every retained entry
	UpdatesOnly    bool // no snapshot
	IgnoreDeletes  bool // no markers
	NoValues       bool

	// Resume is the point of an earlier subscription; nil for none.
	Resume *Point
	// UnknownPoint: there was an earlier subscription, but its point cannot be read.
	UnknownPoint bool
	// OtherContent: the point is of a subscription that was told of other entries, or in another
	// form, so that going on there would leave some of them out.
	OtherContent bool
	// Stamp is that of the earlier subscription when it was given its point; "" if that is not known.
	// See [Subscription.Stamp].
	Stamp string
	// From, if not 0, is the revision from which on to deliver what survives, as native watches do. A
	// point, readable or not, goes before it.
	From kvclient.Revision
}

// begins reports whether the subscriber says where to begin, at a point or a revision that can be read.
func (o *SubscribeOptions) begins() bool {
	return !o.OtherContent && !o.UnknownPoint && (o.Resume != nil || o.From > 0)
}

// resuming tells that the subscriber held a state before.
func (o *SubscribeOptions) resuming() bool { return o.Resume != nil || o.UnknownPoint }

type phase uint8

const (
	waiting   phase = iota // for a bucket
	inReading              // following a reading
	following              // the log
	ended
)

// maxLags is how often in a row a subscription may begin anew with a snapshot, since the log had moved on and the store could not tell
// what it lost, before it is ended.
const maxLags = 3

// A Subscription follows a feed. Its methods are for one goroutine at a time.
type Subscription struct {
	feed    *Feed
	options SubscribeOptions
	wake    func() // see [Hub.Subscribe]
	closed  bool
	tokens  int        // of its filters
	owner   string     // who holds what the subscription takes of the hub's bounds; "" for the gateway
	memory  bound.Hold // the bytes that it takes

	// Guarded by the feed's mutex: the source's goroutine sets pending.
	phase      phase
	generation uint64
	decided    bool              // the generation is that of the decision where to go on
	cursor     kvclient.Revision // everything up to here was sent, once following
	pending    kvclient.Revision // the first change that arrived since, or may have; 0 for none
	matched    kvclient.Revision // the last change that arrived as pending: its key is known to match
	place      *follower
	moves      uint64            // how often it was set to go on elsewhere, also by the source's goroutine
	sent       kvclient.Revision // of a snapshot; else everything up to here was sent, at most up to the cursor
	to         kvclient.Revision // the revision that the snapshot stands for; 0 while unknown
	// sentCheck and toCheck are the checks of the messages at sent and to; zero if not known.
	sentCheck, toCheck kvclient.Check
	lossesThen         uint64 // the feed's losses when it was asked where to go on
	counted            bool   // the snapshot was followed from its beginning
	syncDue            bool
	syncFrom           kvclient.Revision // the position from which on the state is complete
	keys               int
	folds              bool // what was sent, folded, gives the state
	wantsExact         bool // a bookmark said that it is not exact: that it is will be an event
	lags               int
	toldStale          bool
	toldGone           bool
	farewell           string
	resetFirst         string // the reason for a reset that comes before all else
	stamp              string // see Stamp
	// absence, if not 0, numbers the feed's absences: the bucket was missing when the subscription
	// came, and the source has yet to find it so, or there.
	absence uint64
}

// Stamp is what has to be known of a point beside the point itself: under which terms the bucket keeps
// its entries, and in which era of which feed it was given out. It is that of all points up to the next
// [Reset], which comes with another.
func (s *Subscription) Stamp() string { return s.stamp }

// Subscribe follows a bucket. Whenever there may be something to [Subscription.Poll], wake is called, perhaps with the feed locked, and
// perhaps once more after Close: it must neither wait nor call the feed; [Token] makes one of a channel. Subscribe returns
// [kvclient.ErrBucketNotFound] or [kvclient.ErrBadBucket] unless the subscriber resumes, and [kvclient.ErrUnavailable] or
// [kvclient.ErrTimeout] while the source is away.
//
// What the subscription takes is charged to the context's owner; a *[bound.FullError] says that
// there is no room for it.
func (h *Hub) Subscribe(ctx context.Context, name kvclient.BucketName, options SubscribeOptions, wake func()) (*Subscription, error) {
	s := &Subscription{options: options, wake: wake, tokens: tokensOf(options.Filters),
		owner: bound.OwnerOf(ctx), keys: -1,
		folds: !options.UpdatesOnly && !options.IgnoreDeletes}
	if err := h.filters.Take(ctx, &s.memory, s.owner, weight(s.patterns()), nil); err != nil {
		return nil, err
	}
	var err error
	if s.feed, err = h.feed(ctx, name); err != nil {
		s.memory.Release()
		return nil, err
	}
	if err := s.begin(ctx); err != nil {
		h.release(s.feed)
		s.memory.Release()
		return nil, err
	}
	h.stats.Subscriptions.Add(1)
	s.wake()
	return s, nil
}

// begin decides where the subscription starts, once it is known whether there is a source, and
// makes it part of the feed.
func (s *Subscription) begin(ctx context.Context) error {
	f := s.feed
	err := f.settle(ctx)
	if err == nil && s.options.begins() {
		err = s.resume(ctx)
	}
	gone := isMissing(err)
	if err != nil && !(gone && s.options.resuming()) {
		return err
	}
	if gone {
		if err := f.hub.mayRest(ctx, f); err != nil {
			return err
		}
	}
	f.mu.Lock()
	s.attach(gone)
	f.mu.Unlock()
	if gone {
		f.soon() // it may have yet to see it
	}
	f.start()
	return nil
}

// attach makes the subscription part of the feed; gone says that the bucket is known to be missing. The feed is locked.
func (s *Subscription) attach(gone bool) {
	f := s.feed
	f.subs[s] = struct{}{}
	f.interest.add(s)
	if !s.decided {
		s.generation = f.generation
		s.stamp = f.stamp()
	}
	if gone && f.state == live {
		f.absences++
		s.absence = f.absences
	}
	switch {
	case gone, f.state == missing:
		s.phase = waiting
	case s.isOutdated():
		s.resetFirst = ReasonHorizon
		s.restart()
	case s.resetFirst != "":
		s.restart()
	case s.options.UnknownPoint:
		s.resetFirst = ReasonUnknownID
		s.restart()
	case s.options.OtherContent:
		s.resetFirst = ReasonFilters
		s.restart()
	case s.phase == following:
		s.follow(s.cursor) // what came since the decision did not find it yet
	case s.phase == inReading:
	case s.options.UpdatesOnly:
		s.follow(f.position)
	default:
		s.restart()
	}
}

// refute notes that the source has found the bucket there, in answer to a question that was sent after
// so many absences. The feed is locked.
func (f *Feed) refute(absences uint64) {
	if absences <= f.refuted {
		return
	}
	f.refuted = absences
	for s := range f.subs {
		s.wake()
	}
}

func (s *Subscription) patterns() []string { return patternsOf(s.options.Filters) }

// resume decides where a subscription with a point, or a revision to start from, goes on.
func (s *Subscription) resume(ctx context.Context) error {
	era := s.feed.currentEra()
	s.lossesThen = era.losses
	bucket, state, err := s.feed.askInEpoch(ctx)
	if err != nil {
		return err
	}
	proof, err := s.feed.prove(ctx, bucket, state, s.options.Resume)
	if err != nil {
		return err
	}
	s.decide(state, proof)
	if proof == sameHistory && s.generation != era.generation {
		s.resetFirst = ReasonHorizon // it was proved of what a reset has voided since
	}
	return nil
}

// decide decides it from where the stream was, asked after the feed had settled, and from what the
// check of the point shows.
func (s *Subscription) decide(state kvclient.StreamState, proof proof) {
	f := s.feed
	f.mu.Lock()
	defer f.mu.Unlock()
	s.decided, s.generation, s.stamp = true, f.generation, f.stamp()
	terms, era := splitStamp(s.options.Stamp)
	s.syncDue, s.syncFrom = true, state.Last
	if s.options.From > 1 {
		s.folds = false // what is before is missing, also when it is resumed
	}
	if from := s.options.From; from > 0 && s.options.Resume == nil {
		if from > state.Last+1 {
			s.resetFirst = ReasonAhead
			return
		}
		s.replay(from - 1)
		return
	}
	point := *s.options.Resume
	switch {
	case point.Epoch == "":
		s.resetFirst = ReasonUnknownID
	case state.Epoch != f.epoch, point.Epoch != f.epoch && proof != sameHistory:
		s.resetFirst = ReasonEpoch
		f.soon()
	case terms != "" && terms != state.Terms.Digest():
		s.resetFirst = ReasonConfig
		f.soon()
	case point.Revision > max(state.Last, f.position): // a new leader may know less for a moment
		s.resetFirst = ReasonAhead
	case point.InSnapshot && point.Sent == 0:
		s.restart() // who holds nothing needs no proof
	case proof == otherHistory, point.Check.Known() && proof == unproved, !f.vouches(point.Revision, era):
		s.resetFirst = ReasonHorizon
	case point.InSnapshot && !f.knowsSnapshot(point.Revision):
		s.resetFirst = ReasonHorizon
	case point.InSnapshot:
		s.sent, s.to, s.toCheck = point.Sent, point.Revision, point.Check
		if !s.toCheck.Known() {
			s.toCheck = f.checkAt(s.to)
		}
		s.read(readingKey{history: s.options.IncludeHistory, after: s.sent, to: s.to, toCheck: s.toCheck})
	default:
		s.sent, s.sentCheck = point.Revision, point.Check
		f.ahead = max(f.ahead, point.Revision)
		s.follow(point.Revision)
	}
}

// restart begins with a snapshot. The feed is locked.
func (s *Subscription) restart() {
	s.syncDue, s.syncFrom, s.keys = true, 0, -1
	s.sent, s.to, s.sentCheck, s.toCheck = 0, 0, kvclient.Check{}, kvclient.Check{}
	s.folds, s.wantsExact = !s.options.IgnoreDeletes, false
	s.counted = !s.options.IncludeHistory
	s.read(readingKey{history: s.options.IncludeHistory})
}

// replay reads from the store what survives after a revision, up to where the log begins. That is all that came, unless the store has
// lost some already, as it may where a subscription asks for a revision without a point. The feed is locked.
func (s *Subscription) replay(after kvclient.Revision) {
	if after >= s.feed.log.horizon {
		s.follow(after)
		return
	}
	s.reached(after)
	log := &s.feed.log
	s.to, s.toCheck = log.horizon, log.horizonCheck
	s.read(readingKey{history: true, replay: true, remains: after < s.feed.since, after: after, to: s.to, toCheck: s.toCheck})
}

// read follows a reading. The feed is locked.
func (s *Subscription) read(key readingKey) {
	key.filters, key.noValues = strings.Join(s.patterns(), " "), s.options.NoValues
	s.leave()
	s.phase, s.pending = inReading, 0
	s.place = s.feed.join(s, key)
	s.wake() // others may have read it already
}

// follow follows the log. The feed is locked.
func (s *Subscription) follow(after kvclient.Revision) {
	s.leave()
	s.phase, s.cursor, s.pending, s.matched = following, after, 0, 0
	s.reached(after)
	if s.feed.position > after {
		s.pending = after + 1
	}
	if s.syncDue && s.syncFrom > s.feed.position {
		s.feed.await(s.syncFrom, s.wake) // what comes up to there may be for others only
	}
}

// reached notes that everything up to a revision was sent. The feed is locked.
func (s *Subscription) reached(revision kvclient.Revision) {
	if s.sent != revision || !s.sentCheck.Known() {
		s.sent, s.sentCheck = revision, s.feed.checkAt(revision)
	}
}

// leave gives up where the subscription goes on; it is told elsewhere where it does now. The feed is
// locked.
func (s *Subscription) leave() {
	s.moves++
	if s.place != nil {
		s.place.leave()
		s.place = nil
	}
}

// arrived notes that a change came that the subscription has to send, and tells whether it is to be woken. The feed is locked.
func (s *Subscription) arrived(revision kvclient.Revision) bool {
	if s.phase != following || s.pending != 0 {
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

// detach undoes attach.
func (s *Subscription) detach() {
	f := s.feed
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.subs, s)
	delete(f.wanting, s)
	f.interest.remove(s)
	s.leave()
	s.phase = ended
}

// Bucket is the name of the bucket that is followed.
func (s *Subscription) Bucket() kvclient.BucketName { return s.feed.name }

// Token makes a wake function that puts a token into a channel if it has room: its capacity should be 1.
func Token(channel chan<- struct{}) (wake func()) {
	return func() {
		select {
		case channel <- struct{}{}:
		default:
		}
	}
}
