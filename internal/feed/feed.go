package feed

import (
	"context"
	"sync"
	"time"

	"kvgateway/internal/bound"
	"kvgateway/internal/kvclient"
)

// A state is what a feed knows of its source.
type state uint8

const (
	starting state = iota // it has never been reached
	live                  //
	stale                 // it is lost
	missing               // there is no such bucket
)

// maxMarkers bounds the markers that a feed remembers. Of one that is forgotten nobody can tell later that its purge was harmless.
const maxMarkers = 1 << 16

// A Feed is the live view of one bucket.
type Feed struct {
	hub  *Hub
	name kvclient.BucketName

	// Guarded by hub.mu.
	users     int
	resting   bool               // its bucket is missing, and it has no source
	lingering *time.Timer        // ends it; nil while it has users
	idleSince time.Time          // when the last user left
	owner     string             // who has its place
	place     *bound.Hold        // among the feeds that have a source
	restPlace *bound.Hold        // among those that rest
	cancel    context.CancelFunc // ends its source

	mail       *mailbox
	checkSoon  chan struct{}
	sourceSide // of the goroutine that runs the source

	mu         sync.Mutex
	state      state
	lost       error // why the source is missing, or was never reached
	settled    chan struct{}
	generation uint64 // rises with every reset
	reason     string // of the last reset
	bucket     *kvclient.Bucket
	epoch      kvclient.Epoch
	position   kvclient.Revision          // everything up to here has been read
	exact      exactness                  // at which positions the changes up to there give exactly the bucket's state
	wanting    map[*Subscription]struct{} // those that wait for an exact position; see Subscription.wantsExact
	wanted     time.Time                  // a subscription asked whether the state is exact, last at this time, and it was not
	since      kvclient.Revision          // the store, too, can tell what happened after this
	trusted    kvclient.Revision          // points from here on are of this history
	era        string                     // of this feed since its last reset; only wholeEra names others too
	begun      time.Time                  // when the log was begun
	noticed    bool                       // other gateways must have noticed since why it was
	// trustedOfOthers is from which point on what other gateways give out is of this history, once
	// that is noticed.
	trustedOfOthers kvclient.Revision
	lifetime        time.Duration  // after which the store may forget; 0 if it does not
	terms           kvclient.Terms // on which the bucket keeps its entries: what was reported follows from them
	log             changeLog
	markers         map[string]kvclient.Revision // keys whose last entry is a marker that was read
	interest        interests
	subs            map[*Subscription]struct{}
	readings        map[readingKey]*reading
	ahead           kvclient.Revision              // the greatest that a subscription has come with, by another gateway's word
	snapshots       map[kvclient.Revision]struct{} // that were begun in this era, by what they stand for; see knowsSnapshot
	purged          kvclient.Revision              // markers up to here may have been purged since the log began
	purges          map[string]time.Time           // of keys with markers, when they were
	due             []*reading                     // that are to be started
	awaited         []awaited
	// positionCheck is the check of the message at the position; zero if it is not known.
	positionCheck kvclient.Check
	// losses counts how often the log went on after the source was lost.
	losses uint64
	// adopted is closed, and made anew, when the source has started once more.
	adopted  chan struct{}
	forgiven purged // since known was seen, and concerns nobody
	// absences counts the subscriptions that found the bucket missing before the source did. After
	// as many of them as refuted says, the source has found it there. See [Subscription.absence].
	absences, refuted uint64
}

func newFeed(h *Hub, name kvclient.BucketName) *Feed {
	return &Feed{
		hub:        h,
		name:       name,
		mail:       newMailbox(h.advisories),
		checkSoon:  make(chan struct{}, 1),
		settled:    make(chan struct{}),
		adopted:    make(chan struct{}),
		log:        changeLog{maxBytes: h.options.LogBytes, maxCount: h.options.LogChanges},
		markers:    make(map[string]kvclient.Revision),
		purges:     make(map[string]time.Time),
		interest:   newInterests(),
		subs:       make(map[*Subscription]struct{}),
		wanting:    make(map[*Subscription]struct{}),
		readings:   make(map[readingKey]*reading),
		snapshots:  make(map[kvclient.Revision]struct{}),
		sourceSide: sourceSide{now: time.Now, lastWord: time.Now},
	}
}

// settle waits until the feed has reached its source, or knows that there is none. It returns why it has not.
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

// unsettled returns what is closed when it is known whether there is a source; nil if it is, with why there is none.
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
	return nil, f.lost
}

// unsettle makes subscribers wait until the source has been asked for once more.
func (f *Feed) unsettle() {
	f.mu.Lock()
	defer f.mu.Unlock()
	select {
	case <-f.settled:
		f.settled = make(chan struct{})
	default:
	}
}

// setState notes what is known of the source and wakes whoever waits to hear it.
func (f *Feed) setState(s state, why error) {
	f.mu.Lock()
	f.lost = why
	before := f.state
	if before != starting || s != stale {
		f.state = s
	}
	select {
	case <-f.settled:
		if before == live && s == stale {
			f.settled = make(chan struct{}) // why is known when the source has been asked for again
		}
	default:
		close(f.settled)
	}
	f.mu.Unlock()
	if before != s {
		f.wakeAll()
	}
}

func (f *Feed) isLive() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.state == live
}

// adopt takes over where the stream is, at the start and after every loss of the source. It returns from where to read on.
// Begun tells that the log begins there.
func (f *Feed) adopt(b *kvclient.Bucket, s kvclient.StreamState, reset string) (position kvclient.Revision, begun bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.bucket = b
	close(f.adopted)
	f.adopted = make(chan struct{})
	if s.Lifetime > 0 && f.lifetime == 0 {
		f.since = max(f.since, f.position) // of markers before that nobody knows which were there
	}
	// What a stream discarded before it was told not to is gone, and nobody knows which it was.
	changed := s.Terms != f.terms
	f.lifetime, f.terms = s.Lifetime, s.Terms
	if s.Terms.Discards {
		f.exact.disclaim()
	}
	switch {
	case f.epoch == "" && f.generation == 0:
		f.begin(s)
		return f.position, true
	case s.Epoch != f.epoch:
		reset = ReasonEpoch
	case s.Last < f.position, s.Last < f.awaitedEnd():
		reset = ReasonAhead
	case changed:
		reset = ReasonConfig
	}
	if reset == "" {
		return f.position, false
	}
	before, trusted := f.position, f.trusted
	f.begin(s)
	if reset != ReasonEpoch {
		f.distrust(reset, before)
		f.trusted = max(f.trusted, trusted) // what an earlier reset voided may still be around
		if f.trusted > 0 {
			f.era = newEra(s.NothingRemoved())
		}
	}
	f.generation++
	f.reason = reset
	for sub := range f.subs {
		sub.wake()
	}
	return f.position, true
}

// awaitedEnd is the greatest revision up to which a subscription has yet to be told of everything: the
// stream had it. f.mu must be held.
func (f *Feed) awaitedEnd() (end kvclient.Revision) {
	for s := range f.subs {
		if s.syncDue && s.generation == f.generation {
			end = max(end, s.syncFrom)
		}
	}
	return end
}

// begin starts the log anew where the stream is now.
func (f *Feed) begin(s kvclient.StreamState) {
	f.epoch, f.position, f.positionCheck = s.Epoch, s.Last, kvclient.CheckOf(s.LastTime)
	if f.exact.begin(s.Last); s.Terms.Discards {
		f.exact.disclaim()
	}
	f.since, f.purged, f.trusted, f.era = s.Last, 0, s.Last+1, newEra(false)
	f.begun, f.noticed, f.trustedOfOthers = f.now(), false, 0
	if s.NothingRemoved() {
		f.trusted, f.era = 0, wholeEra
		if s.Lifetime == 0 { // markers that were there may vanish without a word
			f.since = 0
		}
	}
	for _, a := range f.awaited {
		a.tell() // what it waits for may never come
	}
	f.awaited = nil
	clear(f.wanting)
	f.log.restart(s.Last, f.positionCheck)
	clear(f.markers)
	clear(f.purges)
	clear(f.readings)
	clear(f.snapshots)
	f.ahead = 0
}

// take appends what the source delivered and wakes the subscriptions that it concerns. It does so without the lock: each that is woken asks
// for it at once, on another processor, and a thousand that find it taken are put to sleep once more.
func (f *Feed) take(entries []kvclient.Entry) {
	f.enter(entries)
	for i, wake := range f.woken {
		f.woken[i] = nil
		wake()
	}
	f.woken = f.woken[:0]
}

// enter appends what the source delivered, and leaves in woken how to wake the subscriptions that have something to tell now.
func (f *Feed) enter(entries []kvclient.Entry) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.now()
	for i := range entries {
		e := &entries[i]
		if e.Revision <= f.position {
			continue
		}
		late := f.delays.beyond(now.Sub(e.Created), now)
		if e.Revision != f.position+1 && f.lifetime > 0 && f.age(e, late) > f.lifetime*9/10 {
			f.void = ReasonHorizon // it may have been a marker, which vanished before it was read
		}
		f.clear = e.Created
		f.exact.read(f.position, e.Revision)
		f.passNotice()
		f.position, f.positionCheck, f.mark = e.Revision, e.Check, mark{e.Revision, e.Created}
		if e.RolledUpAll {
			f.exact.disclaim()
			f.void = ReasonPurged
		}
		if e.Key == "" {
			f.log.pass(e.Position)
			continue // outside the grammar
		}
		f.remember(e)
		f.log.add(&Change{Entry: *e, feed: f})
		f.interest.Match(e.Key, func(s *Subscription) {
			if s.arrived(e.Revision) {
				f.woken = append(f.woken, s.wake)
			}
		})
	}
	f.hub.stats.Changes.Add(uint64(len(entries)))
	f.tell()
	f.tellExact()
}

// age is how old what was skipped before an entry may have been when the entry was read, which came
// late by some time. It was stored after nothing was beyond the position.
func (f *Feed) age(e *kvclient.Entry, late time.Duration) time.Duration {
	if f.clear.IsZero() {
		return late
	}
	return late + max(0, e.Created.Sub(f.clear))
}

// remember keeps what is needed to judge a purge. What was stored over a marker, and purged with it, may be on its way still when the
// word of the purge has come.
func (f *Feed) remember(e *kvclient.Entry) {
	if at, known := f.purges[e.Key]; known {
		delete(f.purges, e.Key)
		if !e.IsMarker() && e.Created.Before(at) {
			f.void = ReasonPurged
		}
	}
	if !e.IsMarker() {
		delete(f.markers, e.Key)
		return
	}
	if len(f.markers) >= maxMarkers {
		clear(f.markers)
		f.forgo(e.Revision) // the store may lose them, and nobody would know
	}
	f.markers[e.Key] = e.Revision
}

// harmless reports whether the purge of a key's messages changes nothing that a subscription holds:
// the key's last entry was a marker, and was read. A subscription that has come with more than the
// feed has read may hold a later value. One that comes with an older position does not hear of the
// marker from the store any more.
func (f *Feed) harmless(key string, at time.Time) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	marker, deleted := f.markers[key]
	if !deleted || f.ahead > f.position {
		return false
	}
	if len(f.purges) >= maxMarkers {
		clear(f.purges)
	}
	f.purges[key] = at
	f.forgo(marker)
	return true
}

// forgo notes that the store may lack markers up to a revision. The feed is locked.
func (f *Feed) forgo(marker kvclient.Revision) {
	f.since, f.purged = max(f.since, marker), max(f.purged, marker)
}

func (f *Feed) wakeAll() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for s := range f.subs {
		s.wake()
	}
}

// unsure notes that the position is not what it seems, until the next start of the source.
func (f *Feed) unsure() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.exact.disclaim()
}

// soon asks for a check of how exact the position is.
func (f *Feed) soon() {
	select {
	case f.checkSoon <- struct{}{}:
	default:
	}
}
