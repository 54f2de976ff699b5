package feed

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"time"

	"kvgateway/internal/kvclient"
)

// This file decides what a feed can vouch for: which points of earlier subscriptions it takes, and whether a replay from the store
// is all that it should be.

// covers tells whether everything after a revision is known, from the log or from the store. The feed is locked.
func (f *Feed) covers(revision kvclient.Revision) bool {
	return revision >= f.log.horizon || revision >= f.since
}

// vouches tells whether a subscription may go on at a point that an earlier one was given in some
// era. The feed is locked.
//
// At the position where the log began, and at those that a reset has voided, the same point can be of
// two histories: nobody knows what was purged before, and a purge leaves the revision as it is. So it
// is taken only if it was given in the present era. The same holds for what another gateway gave out
// before it must have noticed what this feed began anew for: it may have missed a purge that lies
// below the point. A point without an era was not given out by a feed, but read from the stream.
//
// Where nothing was ever removed, every point is of this history, unless something was removed when it
// was given out, and a restored backup or a crash has undone that since. Its era says so.
func (f *Feed) vouches(point kvclient.Revision, era string) bool {
	if !f.covers(point) {
		return false
	}
	switch {
	case era == f.era:
		return true
	case f.trusted == 0:
		return era == "" || isWhole(era)
	case era == "":
		return point >= f.trusted
	}
	f.passNotice()
	return f.noticed && point >= f.trustedOfOthers
}

// noticeAfter is how long a gateway may take to notice that something was removed, at the most
// (contract, 5.6).
const noticeAfter = 30 * time.Second

// passNotice notes when every gateway must have noticed what the feed began anew for: what comes from
// then on they give out as this feed does. It is called before the position moves, and whenever that
// is asked for. The feed is locked.
func (f *Feed) passNotice() {
	if !f.noticed && f.now().Sub(f.begun) >= noticeAfter {
		f.noticed, f.trustedOfOthers = true, f.position+1
	}
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

// wholeEra is the era of every feed that began on a whole stream, from which nothing was ever removed,
// and has voided none of its points since.
const wholeEra = "0000"

// newEra returns a name that no other era of the bucket has, but for one in 46,000: what is known of a
// history by its era only is then taken for the present one. The eras of feeds that began on a whole
// stream have a zero in front, which tells others so.
func newEra(whole bool) string {
	short := kvclient.Base36(rand.Uint64())
	const digits = "123456789abcdefghijklmnopqrstuvwxyz"
	if short[0] = digits[rand.IntN(len(digits))]; whole {
		short[0], short[1] = wholeEra[0], digits[rand.IntN(len(digits))]
	}
	return string(short[:])
}

// isWhole reports whether an era is of a feed that began on a whole stream.
func isWhole(era string) bool { return era[0] == wholeEra[0] }

// distrust notes that the points up to a revision are of what a reset has voided. The feed is locked.
func (f *Feed) distrust(reset string, before kvclient.Revision) {
	if f.trusted == 0 && reset != ReasonAhead && reset != ReasonConfig {
		return // nothing was ever removed
	}
	f.trusted = max(f.trusted, f.position+1, before+1)
}

// An expected marker was read by the feed, and a reading must come by it.
type expected struct {
	revision kvclient.Revision
	key      string
	due      bool // who follows may hold what was before it
}

// begins notes the revision that the reading stands for, and the check of its message; the feed has
// read up to there. Where entries are read that have successors, markers must come that take back what
// was read before. It returns errUnvouched if one of them is known to be gone.
func (r *reading) begins(to kvclient.Revision, toCheck kvclient.Check) error {
	markers, err := r.markersTo(to, toCheck)
	if err != nil || markers == nil {
		return err
	}
	// The filters are matched without the feed's lock: 65,536 markers with long filters take half a
	// second.
	r.byKey = make(map[string]*expected)
	matcher := r.filters.Matcher()
	for _, m := range markers {
		if matcher.Matches(m.key) {
			m.due = r.key.after > 0 || r.key.replay
			r.expected, r.byKey[m.key] = append(r.expected, &m), &m
		}
	}
	slices.SortFunc(r.expected, func(a, b *expected) int { return cmp.Compare(a.revision, b.revision) })
	return nil
}

// markersTo notes what the reading stands for, and returns the markers that it may come by, nil if
// it need not come by any.
func (r *reading) markersTo(to kvclient.Revision, toCheck kvclient.Check) ([]expected, error) {
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
	case f.terms.EndUntold() && (r.key.replay || after > 0):
		return nil, errUnvouched // what took an entry's place may have vanished since
	case r.key.replay && after < f.since, after > 0 && after < f.purged:
		return nil, errUnvouched
	case after > 0 && f.lifetime > 0 && after < f.since:
		return nil, errUnvouched // a marker that the feed never read may have vanished by age since
	}
	markers := make([]expected, 0, 16)
	for name, revision := range f.markers {
		if revision > r.key.after && revision <= to {
			markers = append(markers, expected{revision: revision, key: name})
		}
	}
	return markers, nil
}

// missed takes from the markers that are expected those that come in the chunk, and returns those that should have come before its
// end; with nil, before the end of all.
func (r *reading) missed(c *chunk) (missed []*expected) {
	if c == nil {
		c = &chunk{changes: []*Change{{Entry: kvclient.Entry{Position: kvclient.Position{Revision: kvclient.MaxRevision}}}}}
	}
	for _, change := range c.changes {
		for ; len(r.expected) > 0 && r.expected[0].revision < change.Revision; r.expected = r.expected[1:] {
			if r.expected[0].due {
				missed = append(missed, r.expected[0])
			}
		}
		if len(r.expected) > 0 && r.expected[0].revision == change.Revision {
			r.expected = r.expected[1:]
		} else if e := r.byKey[change.Key]; e != nil {
			e.due = true
		}
	}
	return missed
}

// explains tells whether markers that a replay missed have been overwritten, so that something newer comes. Else they were purged
// or have expired, and whoever replays would never hear of them. The feed must have read what the stream had when they were missed.
func (f *Feed) explains(missed []*expected) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, m := range missed {
		if f.markers[m.key] == m.revision || m.revision <= f.since {
			f.forgo(m.revision)
			return false
		}
	}
	return true
}

// revive takes the markers back of keys that have a value after all, which the feed did not see: it was overwritten before. A reading
// has seen it, and should what followed be purged, that is not harmless.
func (f *Feed) revive(changes []*Change) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range changes {
		if marker, deleted := f.markers[c.Key]; deleted && marker < c.Revision && !c.IsMarker() {
			delete(f.markers, c.Key)
		}
	}
}
