package feed

import (
	"cmp"
	"kvgateway/internal/kv"
	"math/rand/v2"
	"slices"
	"time"
)

// This file decides what a feed can vouch for: at which points of earlier subscriptions a new one
// may resume, and whether a replay from the store is all that it should be.
//
// A bucket that takes times to live and leaves no markers cannot be replayed
// (kv.Terms.EndUntold). A value with an end of its own can take the place of another and
// vanish without a marker. The store has neither then, and a client that resumes from before both
// would keep the first one. So a reading that continues what a client holds is not vouched for, and
// the client is reset (TestReplayPastAnEntryThatEndedUntoldIsReset).

// covers reports whether everything after a revision can be told, by the log or by the store. f.mu
// must be held.
func (f *Feed) covers(revision kv.Revision) bool {
	return revision >= f.log.horizon || revision >= f.storeHorizon
}

// vouches reports whether a subscription may resume at a revision that an earlier one was given as
// a point, in the era of that name. The era is "" if no feed gave the point out, but the client
// read it from the stream.
//
// An id says a revision, and a purge leaves the revision as it is. So at the position where the
// log began, and at those that a reset has voided, the same point can be of two histories: nobody
// knows what was purged before. An id therefore also names the era in which it was given out, four
// characters for the time of a feed between two resets. What follows depends on the era, if
// everything after the point can be told at all (TestPointIsTakenOnlyIfItsHistoryIsProved,
// TestInterleavings):
//
//	era of the point            trustedFrom > 0                     trustedFrom = 0
//	--------------------------  ----------------------------------  ---------------
//	that of this feed           taken                               taken
//	none                        taken from trustedFrom on           taken
//	another, of a whole stream  taken from othersTrustedFrom on,    taken
//	                            once othersNoticed is set
//	another                     the same                            not taken
//
// # Points of other gateways
//
// Another gateway may have missed a purge that lies below the point, and of which this feed has
// heard: then what its client holds is not so, though the point is above what this feed found
// purged. So after its log has begun, the feed takes points that others gave out only above the
// position at which they must have noticed why it began, which takes them noticeTime at most. Until
// then the clients of another gateway, or of a feed that has ended, are reset.
//
// # Whole streams
//
// From a whole stream nothing was ever removed, so every point is of its history, with one
// exception: something was removed when the point was given out, and a restored backup or a crash
// has undone that since. The stream does not show it, but the era of the point does
// (TestIDFromAfterAPurgeThatABackupUndoesIsReset). Feeds that began on whole streams share
// wholeEra, and if a reset has voided points since, the name that they get shows that the stream
// was whole.
//
// f.mu must be held.
func (f *Feed) vouches(point kv.Revision, era string) bool {
	if !f.covers(point) {
		return false
	}
	switch {
	case era == f.era:
		return true
	case f.trustedFrom == 0:
		return era == "" || isWhole(era)
	case era == "":
		return point >= f.trustedFrom
	}
	f.noteOthersNoticed()
	return f.othersNoticed && point >= f.othersTrustedFrom
}

// noticeTime is how long a gateway may take at most to notice that something was removed (contract,
// 5.6).
const noticeTime = 30 * time.Second

// noteOthersNoticed notes, once noticeTime has passed, that every other gateway must have noticed
// why the log began: what comes from then on they give out as this feed does. It is called before
// the position moves, and whenever that is to be known. f.mu must be held.
func (f *Feed) noteOthersNoticed() {
	if !f.othersNoticed && f.now().Sub(f.begunAt) >= noticeTime {
		f.othersNoticed, f.othersTrustedFrom = true, f.position+1
	}
}

// stamp returns what ids carry beside a point: the digest of the bucket's terms, and the feed's
// era. f.mu must be held.
func (f *Feed) stamp() string { return f.terms.Digest() + f.era }

// splitStamp returns the digest of terms and the era that an id carries; "" for what it does not.
func splitStamp(stamp string) (terms, era string) {
	end := min(len(stamp), eraBytes)
	return stamp[:end], stamp[end:]
}

// eraBytes is the length of the name of an era, and of a digest of terms.
const eraBytes = 4

// wholeEra is the era of every feed that began on a whole stream, and has voided none of its points
// since.
const wholeEra = "0000"

// newEra returns a name that no other era of the bucket has, but for one in 46,000. With the same
// name, what is known of a history by its era only would be taken for the present one. whole says
// that the stream was whole when the era began: such names begin with exactly one zero, and others
// with none.
func newEra(whole bool) string {
	short := kv.Base36(rand.Uint64())
	const digits = "123456789abcdefghijklmnopqrstuvwxyz"
	if short[0] = digits[rand.IntN(len(digits))]; whole {
		short[0], short[1] = wholeEra[0], digits[rand.IntN(len(digits))]
	}
	return string(short[:])
}

// isWhole reports whether an era, which is not "", is of a feed whose stream was whole when the era
// began.
func isWhole(era string) bool { return era[0] == wholeEra[0] }

// distrust notes that the points up to the position, and up to the one before, belong to what a
// reset has voided. f.mu must be held.
func (f *Feed) distrust(reset string, before kv.Revision) {
	if f.trustedFrom == 0 && reset != ReasonAhead && reset != ReasonConfig {
		return // nothing was ever removed
	}
	f.trustedFrom = max(f.trustedFrom, f.position+1, before+1)
}

// An expectedMarker is one that the feed has read and that a reading must come by.
//
// A replay must come by the markers that the feed knows. Before anybody is given what comes after
// one that is missing, the feed reads what the stream had at that time: either the marker was
// overwritten, and something newer comes, or it was purged or has expired, and the subscriptions
// are reset. So it does not matter how late a purge is reported, and buckets whose entries expire
// are replayed as others are.
type expectedMarker struct {
	// revision is the marker's.
	revision kv.Revision
	// key is the one that was deleted.
	key string
	// required: a subscription may hold what was before the marker, so that it must hear of it.
	required bool
}

// begin notes the revision that the reading stands for, and the check of its message; the feed has
// read up to there. If entries are read that have successors, it also notes the markers that must
// come to take back what was read before. It returns errUnvouched if one of them is known to be
// gone.
func (r *reading) begin(to kv.Revision, toCheck kv.Check) error {
	markers, err := r.markersTo(to, toCheck)
	if err != nil || markers == nil {
		return err
	}
	// The filters are matched without the feed's lock: 65,536 markers with long filters take half
	// a second.
	r.expectedByKey = make(map[string]*expectedMarker)
	matcher := r.filters.Matcher()
	for _, m := range markers {
		if matcher.Matches(m.key) {
			m.required = r.key.after > 0 || r.key.replay
			r.expected, r.expectedByKey[m.key] = append(r.expected, &m), &m
		}
	}
	slices.SortFunc(r.expected, func(a, b *expectedMarker) int {
		return cmp.Compare(a.revision, b.revision)
	})
	return nil
}

// markersTo notes what the reading stands for. It returns the markers that it may come by, nil if
// it need not come by any, and errUnvouched if some are known to be gone.
func (r *reading) markersTo(
	to kv.Revision, toCheck kv.Check,
) ([]expectedMarker, error) {
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
		// What remains is enough, or no entry has a successor. With after > 0 a client comes back
		// within a snapshot. It may have asked for one with history before, and hold what a marker
		// takes back.
		return nil, nil
	case f.terms.EndUntold() && (r.key.replay || after > 0):
		return nil, errUnvouched // what took an entry's place may have vanished since
	case r.key.replay && after < f.storeHorizon, after > 0 && after < f.purgedTo:
		return nil, errUnvouched
	case after > 0 && f.lifetime > 0 && after < f.storeHorizon:
		return nil, errUnvouched // a marker that the feed never read may have vanished since
	}
	markers := make([]expectedMarker, 0, 16)
	for name, revision := range f.markers {
		if revision > r.key.after && revision <= to {
			markers = append(markers, expectedMarker{revision: revision, key: name})
		}
	}
	return markers, nil
}

// missingFrom removes the markers that come in the chunk from those that are expected. It returns
// the ones that should have come before the end of the chunk and did not; with nil, before the end
// of all.
func (r *reading) missingFrom(c *chunk) (missing []*expectedMarker) {
	if c == nil {
		end := kv.Position{Revision: kv.MaxRevision}
		c = &chunk{changes: []*Change{{Entry: kv.Entry{Position: end}}}}
	}
	for _, change := range c.changes {
		for len(r.expected) > 0 && r.expected[0].revision < change.Revision {
			if r.expected[0].required {
				missing = append(missing, r.expected[0])
			}
			r.expected = r.expected[1:]
		}
		if len(r.expected) > 0 && r.expected[0].revision == change.Revision {
			r.expected = r.expected[1:]
		} else if e := r.expectedByKey[change.Key]; e != nil {
			e.required = true
		}
	}
	return missing
}

// explains reports whether all markers that a reading missed have been overwritten, so that
// something newer comes. Otherwise they were purged or have expired, and the subscriptions would
// never hear of them. The feed must have read what the stream had when the markers were missed.
func (f *Feed) explains(missing []*expectedMarker) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, m := range missing {
		if f.markers[m.key] == m.revision || m.revision <= f.storeHorizon {
			f.noteMarkersLost(m.revision)
			return false
		}
	}
	return true
}

// dropRevivedMarkers forgets the markers of keys that have a value after all. The feed did not see
// the value, which was overwritten before its turn came, but a reading did. Should what followed
// be purged, that is not harmless.
func (f *Feed) dropRevivedMarkers(changes []*Change) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range changes {
		marker, deleted := f.markers[c.Key]
		if deleted && marker < c.Revision && !c.IsMarker() {
			delete(f.markers, c.Key)
		}
	}
}
