package feed

import (
	"cmp"
	"math/rand/v2"
	"slices"

	"kvgateway/internal/kvclient"
)

// This file decides what a feed can vouch for: which points of earlier subscriptions it takes, and whether a replay from the store
// is all that it should be.

// covers tells whether everything after a revision is known, from the log or from the store. The feed is locked.
func (f *Feed) covers(revision kvclient.Revision) bool {
	return revision >= f.log.horizon || revision >= f.storeHorizon
}

// vouches tells whether a subscription may go on at a point that an earlier one was given in some
// era. The feed is locked.
//
// At the position where the log began, and at those that a reset has voided, the same point can be of
// two histories: nobody knows what was purged before, and a purge leaves the revision as it is. So it
// is taken only if it was given in the present era.
func (f *Feed) vouches(point kvclient.Revision, era string) bool {
	return (point >= f.trustedFrom || era == f.era) && f.covers(point)
}

// stamp is what ids carry beside a point: the digest of the bucket's terms, and the feed's era. The
// feed is locked.
func (f *Feed) stamp() string { return f.terms.Digest() + f.era }

// splitStamp returns the digest of terms and the era that an id carries; "" for what it does not.
func splitStamp(stamp string) (terms, era string) {
	end := min(len(stamp), eraBytes)
	return stamp[:end], stamp[end:]
}

// eraBytes is the length of the name of an era, and of a digest of terms.
const eraBytes = 4

// newEra returns a name that no other era of the bucket has, but for one in a million: what is known of
// a history by its era only is then taken for the present one.
func newEra() string {
	short := kvclient.Base36(rand.Uint64())
	return string(short[:])
}

// distrust notes that the points up to a revision are of what a reset has voided. The feed is locked.
func (f *Feed) distrust(reset string, before kvclient.Revision) {
	if f.trustedFrom == 0 && reset != ReasonAhead && reset != ReasonConfig {
		return // nothing was ever removed
	}
	f.trustedFrom = max(f.trustedFrom, f.position+1, before+1)
}

// An expected marker was read by the feed, and a reading must come by it.
type expectedMarker struct {
	revision kvclient.Revision
	key      string
	required bool // who follows may hold what was before it
}

// begins notes the revision that the reading stands for, and the check of its message; the feed has
// read up to there. Where entries are read that have successors, markers must come that take back what
// was read before. It returns errUnvouched if one of them is known to be gone.
func (r *reading) begin(to kvclient.Revision, toCheck kvclient.Check) error {
	markers, err := r.markersTo(to, toCheck)
	if err != nil || markers == nil {
		return err
	}
	// The filters are matched without the feed's lock: 65,536 markers with long filters take half a
	// second.
	r.expectedByKey = make(map[string]*expectedMarker)
	matcher := r.filters.Matcher()
	for _, m := range markers {
		if matcher.Matches(m.key) {
			m.required = r.key.after > 0 || r.key.replay
			r.expected, r.expectedByKey[m.key] = append(r.expected, &m), &m
		}
	}
	slices.SortFunc(r.expected, func(a, b *expectedMarker) int { return cmp.Compare(a.revision, b.revision) })
	return nil
}

// markersTo notes what the reading stands for, and returns the markers that it may come by, nil if
// it need not come by any.
func (r *reading) markersTo(to kvclient.Revision, toCheck kvclient.Check) ([]expectedMarker, error) {
	f := r.feed
	f.mu.Lock()
	defer f.mu.Unlock()
	r.mu.Lock()
	r.to, r.toCheck = to, toCheck
	r.mu.Unlock()
	if !r.key.replay {
		f.beginSnapshot(to)
	}
	switch after := r.key.after; {
	case !r.key.history && after == 0, r.key.remains:
		// What survives was asked for, or has no successors. A client that comes back within a
		// snapshot may have asked for one with history before, and hold what a marker takes back.
		return nil, nil
	case r.key.replay && after < f.storeHorizon, after > 0 && after < f.purgedTo:
		return nil, errUnvouched
	case after > 0 && f.lifetime > 0 && after < f.storeHorizon:
		return nil, errUnvouched // a marker that the feed never read may have vanished by age since
	}
	markers := make([]expectedMarker, 0, 16)
	for name, revision := range f.markers {
		if revision > r.key.after && revision <= to {
			markers = append(markers, expectedMarker{revision: revision, key: name})
		}
	}
	return markers, nil
}

// missed takes from the markers that are expected those that come in the chunk, and returns those that should have come before its
// end; with nil, before the end of all.
func (r *reading) missingFrom(c *chunk) (missed []*expectedMarker) {
	if c == nil {
		c = &chunk{changes: []*Change{{Entry: kvclient.Entry{Position: kvclient.Position{Revision: kvclient.MaxRevision}}}}}
	}
	for _, change := range c.changes {
		for ; len(r.expected) > 0 && r.expected[0].revision < change.Revision; r.expected = r.expected[1:] {
			if r.expected[0].required {
				missed = append(missed, r.expected[0])
			}
		}
		if len(r.expected) > 0 && r.expected[0].revision == change.Revision {
			r.expected = r.expected[1:]
		} else if e := r.expectedByKey[change.Key]; e != nil {
			e.required = true
		}
	}
	return missed
}

// explains tells whether markers that a replay missed have been overwritten, so that something newer comes. Else they were purged
// or have expired, and whoever replays would never hear of them. The feed must have read what the stream had when they were missed.
func (f *Feed) explains(missed []*expectedMarker) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, m := range missed {
		if f.markers[m.key] == m.revision || m.revision <= f.storeHorizon {
			f.noteMarkersLost(m.revision)
			return false
		}
	}
	return true
}

// revive takes the markers back of keys that have a value after all, which the feed did not see: it was overwritten before. A reading
// has seen it, and should what followed be purged, that is not harmless.
func (f *Feed) dropRevivedMarkers(changes []*Change) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range changes {
		if marker, deleted := f.markers[c.Key]; deleted && marker < c.Revision && !c.IsMarker() {
			delete(f.markers, c.Key)
		}
	}
}
