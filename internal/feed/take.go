package feed

import (
	"time"

	"kvgateway/internal/kv"
	"kvgateway/internal/kvclient"
)

// This file takes over what the source delivers, and remembers what is needed to judge a purge.

// take appends entries to the log and wakes the subscriptions that they concern. It belongs to the
// source's goroutine.
//
// The subscriptions are woken without f.mu, since each asks for it at once, on another processor.
// While the feed held the lock until all were woken, a thousand goroutines were put to sleep a
// second time, which was a tenth of the time of a delivery. That a tail has a goroutine of its own
// between the connection and the feed costs nothing that shows (1.02 in twelve pairs, 100
// subscribers).
func (f *Feed) take(entries []kv.Entry) {
	f.appendEntries(entries)
	for i, wake := range f.toWake {
		f.toWake[i] = nil
		wake()
	}
	f.toWake = f.toWake[:0]
}

// appendEntries appends what the source delivered, and leaves in toWake how to wake the
// subscriptions that have something to tell now. If the entries show that subscriptions hold what
// is not so, it leaves the reason in f.void.
//
// Two things show that. A message with `Nats-Rollup: all` takes all others with it, and no
// advisory says so (TestRollupOfAllIsAReset). And where entries vanish by age, what was skipped
// may have been a marker that vanished before it was read: nobody is told of what ends by age. A
// marker can have one second to live, or what max_age gives it. So if something comes with a gap
// before it, and what was skipped there may be older than 0.9 of that time (ageOfSkipped), the feed
// begins anew (TestMarkerThatExpiresUnreadIsAReset). An answer that takes that long while much is
// overwritten is a reset, too.
func (f *Feed) appendEntries(entries []kv.Entry) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.now()
	for i := range entries {
		e := &entries[i]
		if e.Revision <= f.position {
			continue
		}
		late := f.delays.unusual(now.Sub(e.Created), now)
		skipped := e.Revision != f.position+1
		if skipped && f.lifetime > 0 && f.ageOfSkipped(e, late) > f.lifetime*9/10 {
			f.void = ReasonHorizon
		}
		f.caughtUpAt, f.deliveredAt = e.Created, e.Created
		f.exact.read(f.position, e.Revision)
		f.noteOthersNoticed()
		f.position, f.positionCheck = e.Revision, e.Check
		f.anchor = anchor{e.Revision, e.Created}
		if e.RolledUpAll {
			f.exact.disclaim()
			f.void = ReasonPurged
		}
		if e.Key == "" { // its subject is no key
			f.log.pass(e.Position)
			continue
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

// takeArrival takes what the tail delivered, and notes for how long there was nothing before.
func (f *Feed) takeArrival(a kvclient.Arrival) {
	f.noteCaughtUp(f.deliveredAt.Add(a.Idle))
	f.take(a.Entries)
}

// noteCaughtUp notes a time, by the server's clock, at which nothing was stored beyond the
// position.
func (f *Feed) noteCaughtUp(at time.Time) {
	if at.After(f.caughtUpAt) {
		f.caughtUpAt = at
	}
}

// ageOfSkipped returns how old what was skipped before an entry may have been when the entry was
// read, later than usual by the time late; see [delays] for what is usual. What was skipped was
// stored before the entry, and after caughtUpAt.
//
// How late the entry is does not suffice. While the connection stands still a marker can be stored
// and vanish, and what hides it may be stored last and come in time
// (TestMarkerThatExpiresDuringAStallIsNoticed). The bound has its limits: a feed for which
// everything is always that late would not notice.
func (f *Feed) ageOfSkipped(e *kv.Entry, late time.Duration) time.Duration {
	if f.caughtUpAt.IsZero() {
		return late
	}
	return late + max(0, e.Created.Sub(f.caughtUpAt))
}

// trackMarker keeps what is needed to judge the purge of a key: whether its last entry is a
// marker.
//
// Advisories can arrive before the entries that they concern. So a value may still be on its way
// that was stored over a marker and purged with it; by the marker alone the purge was judged
// harmless, and it was not. The times tell: the value was stored before the purge
// (TestPurgeThatOvertakesAnEntryIsAReset). f.mu must be held.
func (f *Feed) trackMarker(e *kv.Entry) {
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

// harmless reports whether the purge of a key's messages, at that time of the server's clock,
// changes nothing that a subscription holds: the key's last entry is a marker, and was read. If so
// it notes that the store may lack the marker, which a subscription that resumes from before it
// would not hear of any more.
//
// A subscription that came with an id of another gateway, beyond what the feed has read, may hold
// a later value of the key. Until the feed has caught up no purge is harmless
// (TestPurgeIsNotHarmlessToASubscriptionThatIsAhead).
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

// noteMarkersLost notes that the store may lack markers up to a revision. f.mu must be held.
func (f *Feed) noteMarkersLost(upTo kv.Revision) {
	f.storeHorizon, f.purgedTo = max(f.storeHorizon, upTo), max(f.purgedTo, upTo)
}
