package feed

import (
	"time"

	"kvgateway/internal/kv"
	"kvgateway/internal/kvclient"
)

// This file decides where a journal begins, and when it begins anew.

// adopt notes where the stream is, at the first start of the source and after every loss. It
// reports whether the journal begins there: at the first start, or because what subscriptions hold
// may not be so any more. reset is a reason for that which the source knows already, "" for none.
// promised is a revision that the stream had, at least.
//
// # A change of what entries end by is a reset
//
// When an entry expires follows from the stream's max_age, its allow_msg_ttl and its marker TTL,
// so a change of one of them makes untrue what was reported before. kv.Terms has these
// settings, and the prefix of the entries' subjects, which changes where a mirror becomes a stream
// of its own. Each look at the stream compares them, here and in noteAnswer, so that a change
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
// that name too: other gateways that find the stream whole accept such points (vouches).
func (j *journal) adopt(
	s kvclient.StreamState, reset string, promised kv.Revision, now time.Time,
) (begun bool) {
	if s.Lifetime > 0 && j.lifetime == 0 {
		// Markers can vanish from now on. Which of those before the position were there is not
		// known.
		j.storeHorizon = max(j.storeHorizon, j.Revision)
	}
	changed := s.Terms != j.terms
	j.lifetime, j.terms = s.Lifetime, s.Terms
	if s.Terms.Discards {
		j.exact.disclaim()
	}
	switch {
	case j.Epoch == "" && j.generation == 0:
		j.begin(s, now)
		return true
	case s.Epoch != j.Epoch:
		reset = ReasonEpoch
	case s.Last < j.Revision, s.Last < promised:
		reset = ReasonAhead
	case changed:
		reset = ReasonConfig
	}
	if reset == "" {
		return false
	}
	before, trusted := j.Revision, j.trustedFrom
	j.begin(s, now)
	if reset != ReasonEpoch {
		j.distrust(reset, before)
		// Points that an earlier reset has voided may still be around.
		j.trustedFrom = max(j.trustedFrom, trusted)
		if j.trustedFrom > 0 {
			j.era = newEra(s.NothingRemoved())
		}
	}
	j.generation++
	j.lastReset = reset
	return true
}

// begin empties the log and lets it begin where the stream is.
func (j *journal) begin(s kvclient.StreamState, now time.Time) {
	j.Position = kv.Position{Epoch: s.Epoch, Revision: s.Last, Check: kv.CheckOf(s.LastTime)}
	if j.exact.begin(s.Last); s.Terms.Discards {
		j.exact.disclaim()
	}
	j.storeHorizon, j.purgedTo, j.trustedFrom, j.era = s.Last, 0, s.Last+1, newEra(false)
	j.begunAt, j.othersNoticed, j.othersTrustedFrom = now, false, 0
	if s.NothingRemoved() {
		j.trustedFrom, j.era = 0, wholeEra
		if s.Lifetime == 0 { // otherwise markers that are there may vanish without a word
			j.storeHorizon = 0
		}
	}
	j.log.restart(s.Last, j.Check)
	j.forgetKeys()
	clear(j.snapshotsBegun)
	j.maxResumed, j.harmlessPurges, j.removals = 0, purgeCount{}, removals{}
}

// adopt hands where the stream is to the journal, and returns the revision after which to read on.
// Where the journal begins, whatever was to be read or waited for is void.
func (f *Feed) adopt(b *kvclient.Bucket, s kvclient.StreamState, reset string) (
	revision kv.Revision, begun bool,
) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.bucket = b
	generation := f.journal.generation
	begun = f.journal.adopt(s, reset, f.greatestSyncFromLocked(), f.now())
	f.journal.history = s.History
	f.waiters.started(begun)
	f.freshness.failSent(Lost)
	if begun {
		clear(f.readings)
		f.dropCopyLocked(DroppedReset)
		f.expectCopyLocked()
	}
	if generation != f.journal.generation {
		f.wakeAllLocked()
	}
	return f.journal.Revision, begun
}

// greatestSyncFromLocked returns the greatest revision from which on a subscription may tell
// Synced. The stream had that revision.
func (f *Feed) greatestSyncFromLocked() (end kv.Revision) {
	for s := range f.subs {
		if s.syncDue && s.generation == f.journal.generation {
			end = max(end, s.syncFrom)
		}
	}
	return end
}
