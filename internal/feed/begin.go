package feed

import (
	"kvgateway/internal/kv"
	"kvgateway/internal/kvclient"
)

// This file decides where the log of a feed begins, and when it begins anew.

// adopt takes over where the stream is, at the first start of the source and after every loss. It
// returns the revision after which to read on. begun reports that the log begins there: at the
// first start, or because what subscriptions hold may not be so any more. reset is a reason for
// that which the source knows already, "" for none.
//
// # A change of what entries end by is a reset
//
// When an entry expires follows from the stream's max_age, its allow_msg_ttl and its marker TTL,
// so a change of one of them makes untrue what was reported before. kv.Terms has these
// settings, and the prefix of the entries' subjects, which changes where a mirror becomes a stream
// of its own. Each look at the stream compares them, here and in compareAnswer, so that a change
// is seen whoever made it, whether or not an advisory came
// (TestConfigurationChangeIsAResetWhereEndsChange changes every setting). An id carries a digest
// of the terms under which it was given out, so that any gateway sees that they have changed since
// (TestIDOfOtherTermsIsReset).
//
// # A stream that discards its oldest messages
//
// Buckets of the first KV clients did so. Nobody is told which messages go, so no position of such
// a stream is ever exact (TestStreamThatDiscardsTheOldestIsNeverExact). The same holds for streams
// whose messages are removed once consumers have read them, and for those with schedules, which
// remove their own messages (TestBucketWithSchedulesIsNeverExact). kv.Terms.Discards says so.
// It is one of the terms, so when the stream is told to stop discarding that is a reset too, since
// what it had dropped by then is not known (TestDiscardForAMomentIsAReset).
//
// # The era after a reset
//
// A reset of a feed that began on a whole stream may void some of its points. wholeEra would not
// show that, so the feed then gets an era of its own. Whether the stream is whole now is part of
// that name too: other gateways that find the stream whole take such points (vouches).
func (f *Feed) adopt(b *kvclient.Bucket, s kvclient.StreamState, reset string) (
	position kv.Revision, begun bool,
) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.bucket = b
	close(f.adopted)
	f.adopted = make(chan struct{})
	if s.Lifetime > 0 && f.lifetime == 0 {
		// Markers can vanish from now on. Which of those before the position were there is not
		// known.
		f.storeHorizon = max(f.storeHorizon, f.position)
	}
	changed := s.Terms != f.terms
	f.lifetime, f.terms = s.Lifetime, s.Terms
	if s.Terms.Discards {
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
		// Points that an earlier reset has voided may still be around.
		f.trustedFrom = max(f.trustedFrom, trusted)
		if f.trustedFrom > 0 {
			f.era = newEra(s.NothingRemoved())
		}
	}
	f.generation++
	f.lastReset = reset
	for sub := range f.subs {
		sub.wake()
	}
	return f.position, true
}

// greatestSyncFrom returns the greatest revision from which on a subscription may tell Synced. The
// stream had that revision. f.mu must be held.
func (f *Feed) greatestSyncFrom() (end kv.Revision) {
	for s := range f.subs {
		if s.syncDue && s.generation == f.generation {
			end = max(end, s.syncFrom)
		}
	}
	return end
}

// beginLog empties the log and lets it begin where the stream is. f.mu must be held.
func (f *Feed) beginLog(s kvclient.StreamState) {
	f.epoch, f.position, f.positionCheck = s.Epoch, s.Last, kv.CheckOf(s.LastTime)
	if f.exact.begin(s.Last); s.Terms.Discards {
		f.exact.disclaim()
	}
	f.storeHorizon, f.purgedTo, f.trustedFrom, f.era = s.Last, 0, s.Last+1, newEra(false)
	f.begunAt, f.othersNoticed, f.othersTrustedFrom = f.now(), false, 0
	if s.NothingRemoved() {
		f.trustedFrom, f.era = 0, wholeEra
		if s.Lifetime == 0 { // otherwise markers that are there may vanish without a word
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
