package feed

import (
	"math/rand/v2"
	"time"

	"kvgateway/internal/kv"
)

// This file decides at which points of earlier subscriptions a new one may resume.

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
//	that of this feed           accepted                            accepted
//	none                        accepted from trustedFrom on        accepted
//	another, of a whole stream  accepted from othersTrustedFrom on, accepted
//	                            once othersNoticed is set
//	another                     the same                            not accepted
//
// # Points of other gateways
//
// Another gateway may have missed a purge that lies below the point, and of which this feed has
// heard: then what its client holds is not so, though the point is above what this feed found
// purged. So after its log has begun, the feed accepts points that others gave out only above the
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
func (j *journal) vouches(point kv.Revision, era string, now time.Time) bool {
	if !j.covers(point) {
		return false
	}
	switch {
	case era == j.era:
		return true
	case j.trustedFrom == 0:
		return era == "" || isWhole(era)
	case era == "":
		return point >= j.trustedFrom
	}
	j.noteOthersNoticed(now)
	return j.othersNoticed && point >= j.othersTrustedFrom
}

// noticeTime is how long a gateway may take at most to notice that something was removed (contract,
// 5.6).
const noticeTime = 30 * time.Second

// noteOthersNoticed notes, once noticeTime has passed, that every other gateway must have noticed
// why the log began: what comes from then on they give out as this feed does. It is called before
// the position moves, and whenever that is to be known.
func (j *journal) noteOthersNoticed(now time.Time) {
	if !j.othersNoticed && now.Sub(j.begunAt) >= noticeTime {
		j.othersNoticed, j.othersTrustedFrom = true, j.Revision+1
	}
}

// stamp returns what ids carry beside a point: the digest of the bucket's terms, and the feed's
// era.
func (j *journal) stamp() string { return j.terms.Digest() + j.era }

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
	// #nosec G404 -- it only has to differ, and v2 is seeded by the system
	short := kv.Base36(rand.Uint64())
	const digits = "123456789abcdefghijklmnopqrstuvwxyz"
	// #nosec G404 -- it only has to differ, and v2 is seeded by the system
	short[0] = digits[rand.IntN(len(digits))]
	if whole {
		// #nosec G404 -- it only has to differ, and v2 is seeded by the system
		short[0], short[1] = wholeEra[0], digits[rand.IntN(len(digits))]
	}
	return string(short[:])
}

// isWhole reports whether an era, which is not "", is of a feed whose stream was whole when the era
// began.
func isWhole(era string) bool { return era[0] == wholeEra[0] }

// distrustOthers notes that something may have been removed that this feed knows of by now, and
// that other gateways may have missed. What they gave out is accepted again as after a beginning.
// The points of this feed's era stay what they are (see removals). A feed that shares its era with
// others gets one of its own, which its subscriptions are told of (Restamped).
func (j *journal) distrustOthers(now time.Time) {
	if isWhole(j.era) {
		j.era = newEra(false)
	}
	j.trustedFrom = max(j.trustedFrom, j.Revision+1)
	j.begunAt, j.othersNoticed, j.othersTrustedFrom = now, false, 0
}

// distrust notes that the points up to the position, and up to the one before, belong to what a
// reset has voided.
func (j *journal) distrust(reset string, before kv.Revision) {
	if j.trustedFrom == 0 && reset != ReasonAhead && reset != ReasonConfig {
		return // nothing was ever removed
	}
	j.trustedFrom = max(j.trustedFrom, j.Revision+1, before+1)
}
