package feed

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"kvgateway/internal/bound"
	"kvgateway/internal/kv"
	"kvgateway/internal/kvclient"
)

// This file heals: where the feed has doubts, it finds out what is gone, and goes on.
//
// # Doubts
//
// A feed is in doubt when something may have been removed that it does not know of: after a loss of
// the source, where the counts do not prove that nothing was removed; after a purge that concerns
// somebody; where the counts are too low; where what was skipped may have vanished by age. A feed
// that has a complete copy of the bucket then compares the copy with what the leader has, instead
// of beginning anew. Until that is done it delivers nothing, claims no exact position, and nothing
// is read from the copy.
// The source's own goroutine compares, so that nothing moves meanwhile: an id that was given out
// before it is known whether the stream has another history would vouch for a mixture of both. A
// stream waits for that as long as the list takes, which the memory of a copy bounds.
//
// # One key
//
// A purge whose advisory names a key needs no list: the leader is asked for that key. What the
// consumer has on its way may be from before the purge, so the time of the purge is kept
// (journal.trackMarker).
//
// # What cannot be healed
//
// The feed begins anew as before if it has no complete copy, if a subscription has resumed beyond
// P (it may hold what is purged and was never read here), if more than maxRemovals keys are gone,
// and if the comparison failed healTries times.

// healTries is how often in a row a comparison may fail before the feed begins anew.
const healTries = 3

const (
	// healWithin bounds one comparison. A copy has some hundred thousand keys at most, of which
	// the list takes a few seconds.
	healWithin = 15 * time.Second
	// healRounds is how many lists are read at most.
	healRounds = 4
	// fewMissing is how many keys the leader is asked for one by one, rather than another list.
	fewMissing = 64
	// gatherGap is how long after the last purge of a sweep the sweep counts as complete. The
	// advisories come one for each key.
	gatherGap = 50 * time.Millisecond
	// maxGather bounds the wait for a sweep to be complete.
	maxGather = time.Second
	// maxPurged is how many keys of a sweep are healed one by one.
	maxPurged = 256
)

var (
	// errReverted says that a key has an older entry than was reported, or another.
	errReverted = errors.New("an entry that was reported is not the key's last one any more")
	// errUnhealable says that there is nothing to compare with, or that too much is gone.
	errUnhealable = errors.New("there is no copy to heal with, or too much is gone")
)

// HealingStats count what was healed.
type HealingStats struct {
	// Heals counts the comparisons after which a feed went on, and Failed those after which its
	// log began anew.
	Heals, Failed atomic.Uint64
	// Removed counts the keys that were found gone, and Told how often a subscription was told of
	// one.
	Removed, Told atomic.Uint64
}

// healBound bounds the comparisons that are made at the same time.
func healBound(set *bound.Set) *bound.Bound {
	return set.New(bound.Spec{
		Name:    "healings",
		Of:      "buckets that are compared with NATS after a loss or a purge",
		Unit:    bound.Places,
		Limit:   4,
		Wait:    time.Minute,
		Queue:   1 << 16, // no more than there are feeds
		AtLimit: "the streams of the bucket wait until it is its turn",
	})
}

// newComparison returns a comparison of the feed's copy; nil if the feed cannot be healed.
func (src *source) newComparison() *comparison {
	f := src.feed
	f.mu.Lock()
	defer f.mu.Unlock()
	if src.truth == nil || !f.canHealLocked() {
		return nil
	}
	now := f.serverNow()
	view, waiting, ok := f.memory.copy.All(now)
	if !ok {
		return nil
	}
	c := &comparison{
		truth: src.truth, copy: f.memory.copy, view: view, held: make(map[string]*kv.Entry),
		at: f.journal.Position, now: now, fine: make(map[string]struct{}),
	}
	for i := range waiting {
		c.held[waiting[i].Key] = &waiting[i]
	}
	f.doubtLocked()
	return c
}

// heal compares all that the feed has with the stream. It returns nil if the log goes on, and
// otherwise the error that ends the source.
func (src *source) heal(reason string) error {
	src.audit.healTries++
	c := src.newComparison()
	switch {
	case c == nil:
		return src.carryOut(resetFor(reason))
	case src.audit.healTries > healTries:
		return src.failHealing(reason)
	}
	s, err := c.compareAll()
	switch {
	case errors.Is(err, errReverted):
		return src.failHealing(ReasonReverted)
	case errors.Is(err, errUnhealable):
		return src.failHealing(reason)
	case err != nil:
		return err
	case !src.feed.healed(c, reason):
		return src.failHealing(reason)
	}
	src.audit.noteHealed(s, src.feed.now())
	return nil
}

// noteDoubt notes that the feed is to be compared with the stream at the next start. It returns
// false if it cannot be.
func (src *source) noteDoubt(reason string) bool {
	f := src.feed
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.canHealLocked() {
		return false
	}
	src.audit.noteDoubt(reason)
	f.doubtLocked()
	return true
}

// failHealing lets the log begin anew, for a reason.
func (src *source) failHealing(reason string) error {
	src.feed.hub.stats.Healing.Failed.Add(1)
	return src.carryOut(resetFor(reason))
}

// gatherPurges waits for the other purges of the same sweep, so that all of them are told at once.
// It returns what another advisory that came meanwhile leads to.
func (src *source) gatherPurges(ctx context.Context) (err error) {
	restarts := src.audit.dueReset == ReasonPurged || src.audit.doubt == ReasonPurged
	if !restarts && len(src.purged) == 0 {
		return nil
	}
	more, enough := time.NewTimer(gatherGap), time.NewTimer(maxGather)
	defer more.Stop()
	defer enough.Stop()
	for {
		select {
		case <-src.mail.arrived:
			a, ok := src.mail.pop()
			switch {
			case !ok:
				continue
			case a.Kind == kvclient.StreamPurged:
				more.Reset(gatherGap)
			}
			if found := src.handleAdvisory(a); err == nil {
				err = found
			}
		case <-more.C:
			return err
		case <-enough.C:
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// healPurged asks the leader for the keys that were reported as purged, and returns as heal does.
func (src *source) healPurged() error {
	if len(src.purged) == 0 {
		return nil
	}
	purged := src.purged
	src.purged = nil
	c := src.newComparison()
	if c == nil {
		return src.carryOut(doubtFor(ReasonPurged))
	}
	for _, a := range purged {
		known, unsureOf := c.known(a.Key)
		if unsureOf > 0 {
			return src.carryOut(doubtFor(ReasonPurged))
		}
		if _, asked := c.fine[a.Key]; asked {
			continue
		}
		c.fine[a.Key] = struct{}{}
		switch err := c.compareKey(a.Key, known); {
		case errors.Is(err, errReverted):
			return src.failHealing(ReasonReverted)
		case err != nil:
			src.audit.noteDoubt(ReasonPurged)
			return err
		}
	}
	src.feed.notePurges(purged, c.gone)
	if !src.feed.healed(c, ReasonPurged) {
		return src.failHealing(ReasonPurged)
	}
	return nil
}

// canHealLocked reports whether a doubt can be healed.
func (f *Feed) canHealLocked() bool {
	m, j := &f.memory, &f.journal
	return m.complete && m.copy.Lost() == "" && j.maxResumed <= j.Revision && !j.terms.Discards
}

// doubtLocked lets nobody rely on what the feed has until it is healed.
func (f *Feed) doubtLocked() {
	f.journal.exact.disclaim()
	f.shown.Store(nil)
	f.currentAt.Store(nil)
	if m := &f.memory; m.complete {
		m.stopLoad() // a comparison with the store would find what is to be healed
		m.currency = currency{}
	}
}

// notePurges notes what was reported as purged, and is known by now, for the counts and for the
// entries that are on their way.
func (f *Feed) notePurges(purged []kvclient.Advisory, gone []*kv.Entry) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, a := range purged {
		f.journal.notePurge(a)
	}
	f.journal.harmlessPurges.keys += uint64(len(gone))
}

// healed carries out what a comparison has found. It returns false if the copy was dropped
// meanwhile.
func (f *Feed) healed(c *comparison, reason string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	m, j := &f.memory, &f.journal
	if m.copy != c.copy || !f.canHealLocked() {
		return false
	}
	first := j.removals.end()
	found := j.noteGone(c.gone, reason)
	for _, e := range c.gone {
		c.copy.Remove(e.Key, e.Revision)
	}
	if len(found) > 0 {
		clear(f.readings) // they may have read what is gone
	}
	for i, r := range found {
		// #nosec G115 -- an index is not negative
		f.interests.Match(r.Key, func(s *Subscription) { s.oweRemovals(first + uint64(i)) })
	}
	j.exact.resume()
	j.distrustOthers(f.now())
	m.checkAt = f.nextCheck()
	f.shown.Store(m.copy)
	f.settleCopyLocked()
	f.hub.stats.Healing.Heals.Add(1)
	f.hub.stats.Healing.Removed.Add(uint64(len(found)))
	f.hub.options.Logger.Info().Str("bucket", f.name.String()).Str("reason", reason).
		Int("removed", len(found)).Msg("feed healed")
	f.wakeAllLocked()
	f.source.requestVerify()
	return true
}

// noteGone remembers which keys are gone, and returns what subscriptions have to be told. Of a key
// whose last entry was a marker nobody holds anything, but the store cannot tell of the marker any
// more.
func (j *journal) noteGone(gone []*kv.Entry, reason string) (found []removal) {
	for _, e := range gone {
		if j.markers[e.Key] == e.Revision && e.IsMarker() {
			j.noteMarkersLost(e.Revision)
			continue
		}
		r := removal{Removal{e.Key, e.Revision}, j.Revision, reason}
		if e.IsMarker() {
			r.Revision = j.Revision // a reading may have had what came after the marker
			j.noteMarkersLost(e.Revision)
		}
		found = append(found, r)
	}
	j.removals.add(found)
	return found
}
