package feed

import (
	"context"
	"sync"
	"time"

	"kvgateway/internal/bound"
	"kvgateway/internal/kvclient"
)

// A state is what a feed knows of its source.
type sourceState uint8

const (
	starting sourceState = iota // it has never been reached
	live                        //
	stale                       // it is lost
	missing                     // there is no such bucket
)

// maxMarkers bounds the markers that a feed remembers. Of one that is forgotten nobody can tell later that its purge was harmless.
const maxMarkers = 1 << 16

// A Feed is the live view of one bucket.
type Feed struct {
	hub  *Hub
	name kvclient.BucketName

	// Guarded by hub.mu.
	users       int
	resting     bool        // its bucket is missing, and it has no source
	lingerTimer *time.Timer // ends it; nil while it has users
	idleSince   time.Time   // when the last user left
	owner       string      // who has its place
	place       *bound.Hold
	stopSource  context.CancelFunc // ends its source

	mail       *mailbox
	verifySoon chan struct{}
	sourceSide // of the goroutine that runs the source

	mu             sync.Mutex
	state          sourceState
	sourceErr      error // why the source is missing, or was never reached
	settled        chan struct{}
	generation     uint64 // rises with every reset
	lastReset      string // of the last reset
	bucket         *kvclient.Bucket
	epoch          kvclient.Epoch
	position       kvclient.Revision          // everything up to here has been read
	exact          exactness                  // at which positions the changes up to there give exactly the bucket's state
	wantExact      map[*Subscription]struct{} // those that wait for an exact position; see Subscription.wantsExact
	exactWantedAt  time.Time                  // a subscription asked whether the state is exact, last at this time, and it was not
	storeHorizon   kvclient.Revision          // the store, too, can tell what happened after this
	trustedFrom    kvclient.Revision          // points from here on are of this history
	era            string                     // of this feed since its last reset; it names no other
	lifetime       time.Duration              // after which the store may forget; 0 if it does not
	discards       bool                       // it does for want of room, and never tells what: nothing is exact
	terms          kvclient.Terms             // on which the bucket keeps its entries: what was reported follows from them
	log            changeLog
	markers        map[string]kvclient.Revision // keys whose last entry is a marker that was read
	interests      interests
	subs           map[*Subscription]struct{}
	readings       map[readingKey]*reading
	maxResumed     kvclient.Revision              // the greatest that a subscription has come with, by another gateway's word
	snapshotsBegun map[kvclient.Revision]struct{} // that were begun in this era, by what they stand for; see knowsSnapshot
	purgedTo       kvclient.Revision              // markers up to here may have been purged since the log began
	purgedAt       map[string]time.Time           // of keys with markers, when they were
	dueReadings    []*reading                     // that are to be started
	awaiting       []awaiter
	// positionCheck is the check of the message at the position; zero if it is not known.
	positionCheck kvclient.Check
	// losses counts how often the log went on after the source was lost.
	losses uint64
	// adopted is closed, and made anew, when the source has started once more.
	adopted        chan struct{}
	harmlessPurges purgeCount // since known was seen, and concerns nobody
	// absences counts the subscriptions that found the bucket missing before the source did. After
	// as many of them as refuted says, the source has found it there. See [Subscription.absence].
	absences, refuted uint64
}

func newFeed(h *Hub, name kvclient.BucketName) *Feed {
	return &Feed{
		hub:            h,
		name:           name,
		mail:           newMailbox(h.mailboxLimit),
		verifySoon:     make(chan struct{}, 1),
		settled:        make(chan struct{}),
		adopted:        make(chan struct{}),
		log:            changeLog{maxBytes: h.options.LogBytes, maxCount: h.options.LogChanges},
		markers:        make(map[string]kvclient.Revision),
		purgedAt:       make(map[string]time.Time),
		interests:      newInterests(),
		subs:           make(map[*Subscription]struct{}),
		wantExact:      make(map[*Subscription]struct{}),
		readings:       make(map[readingKey]*reading),
		snapshotsBegun: make(map[kvclient.Revision]struct{}),
		sourceSide:     sourceSide{now: time.Now, lastHeard: time.Now},
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
	return nil, f.sourceErr
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
		f.storeHorizon = max(f.storeHorizon, f.position) // of markers before that nobody knows which were there
	}
	// What a stream discarded before it was told not to is gone, and nobody knows which it was.
	changed := s.Terms != f.terms || f.discards && !s.Discards
	f.lifetime, f.discards, f.terms = s.Lifetime, s.Discards, s.Terms
	if s.Discards {
		f.exact.disclaim()
	}
	switch {
	case f.epoch == "" && f.generation == 0:
		f.beginLog(s)
		return f.position, true
	case s.Epoch != f.epoch:
		reset = ReasonEpoch
	case s.Last < f.position, s.Last < f.greatestSyncFrom():
		reset = ReasonAhead
	case changed:
		reset = ReasonConfig
	}
	if reset == "" {
		return f.position, false
	}
	before, trusted := f.position, f.trustedFrom
	f.beginLog(s)
	if reset != ReasonEpoch {
		f.distrust(reset, before)
		f.trustedFrom = max(f.trustedFrom, trusted) // what an earlier reset voided may still be around
	}
	f.generation++
	f.lastReset = reset
	for sub := range f.subs {
		sub.wake()
	}
	return f.position, true
}

// awaitedEnd is the greatest revision up to which a subscription has yet to be told of everything: the
// stream had it. f.mu must be held.
func (f *Feed) greatestSyncFrom() (end kvclient.Revision) {
	for s := range f.subs {
		if s.syncDue && s.generation == f.generation {
			end = max(end, s.syncFrom)
		}
	}
	return end
}

// begin starts the log anew where the stream is now.
func (f *Feed) beginLog(s kvclient.StreamState) {
	f.epoch, f.position, f.positionCheck = s.Epoch, s.Last, kvclient.CheckOf(s.LastTime)
	if f.exact.begin(s.Last); s.Discards {
		f.exact.disclaim()
	}
	f.storeHorizon, f.purgedTo, f.trustedFrom, f.era = s.Last, 0, s.Last+1, newEra()
	if s.NothingRemoved() {
		f.trustedFrom = 0
		if s.Lifetime == 0 { // markers that were there may vanish without a word
			f.storeHorizon = 0
		}
	}
	for _, a := range f.awaiting {
		a.wake() // what it waits for may never come
	}
	f.awaiting = nil
	clear(f.wantExact)
	f.log.restart(s.Last, f.positionCheck)
	clear(f.markers)
	clear(f.purgedAt)
	clear(f.readings)
	clear(f.snapshotsBegun)
	f.maxResumed = 0
}

// take appends what the source delivered and wakes the subscriptions that it concerns. It does so without the lock: each that is woken asks
// for it at once, on another processor, and a thousand that find it taken are put to sleep once more.
func (f *Feed) take(entries []kvclient.Entry) {
	f.appendEntries(entries)
	for i, wake := range f.toWake {
		f.toWake[i] = nil
		wake()
	}
	f.toWake = f.toWake[:0]
}

// enter appends what the source delivered, and leaves in woken how to wake the subscriptions that have something to tell now.
func (f *Feed) appendEntries(entries []kvclient.Entry) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.now()
	for i := range entries {
		e := &entries[i]
		if e.Revision <= f.position {
			continue
		}
		late := f.delays.unusual(now.Sub(e.Created), now)
		if e.Revision != f.position+1 && f.lifetime > 0 && late > f.lifetime*9/10 {
			f.void = ReasonHorizon // it may have been a marker, which vanished before it was read
		}
		f.exact.read(f.position, e.Revision)
		f.position, f.positionCheck, f.anchor = e.Revision, e.Check, anchor{e.Revision, e.Created}
		if e.RolledUpAll {
			f.exact.disclaim()
			f.void = ReasonPurged
		}
		if e.Key == "" {
			f.log.pass(e.Position)
			continue // outside the grammar
		}
		f.trackMarker(e)
		f.log.add(&Change{Entry: *e, feed: f})
		f.interests.Match(e.Key, func(s *Subscription) {
			if s.arrived(e.Revision) {
				f.toWake = append(f.toWake, s.wake)
			}
		})
	}
	f.hub.stats.Changes.Add(uint64(len(entries)))
	f.wakeAwaiting()
	f.wakeExact()
}

// remember keeps what is needed to judge a purge. What was stored over a marker, and purged with it, may be on its way still when the
// word of the purge has come.
func (f *Feed) trackMarker(e *kvclient.Entry) {
	if at, known := f.purgedAt[e.Key]; known {
		delete(f.purgedAt, e.Key)
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
		f.noteMarkersLost(e.Revision) // the store may lose them, and nobody would know
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
	if !deleted || f.maxResumed > f.position {
		return false
	}
	if len(f.purgedAt) >= maxMarkers {
		clear(f.purgedAt)
	}
	f.purgedAt[key] = at
	f.noteMarkersLost(marker)
	return true
}

// forgo notes that the store may lack markers up to a revision. The feed is locked.
func (f *Feed) noteMarkersLost(marker kvclient.Revision) {
	f.storeHorizon, f.purgedTo = max(f.storeHorizon, marker), max(f.purgedTo, marker)
}

func (f *Feed) wakeAll() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for s := range f.subs {
		s.wake()
	}
}

// unsure notes that the position is not what it seems, until the next start of the source.
func (f *Feed) disclaimExact() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.exact.disclaim()
}

// soon asks for a check of how exact the position is.
func (f *Feed) requestVerify() {
	select {
	case f.verifySoon <- struct{}{}:
	default:
	}
}
