package feed

import (
	"cmp"
	"slices"

	"kvgateway/internal/bound"
	"kvgateway/internal/kv"
)

// A changeLog holds the recent changes of a bucket in order: all that the feed read above the
// horizon. It is the queue of every subscription, which holds a cursor in it and nothing else.
//
// The log grows at its end and drops its oldest changes when it has too many, or too many bytes,
// of which the encoded frames of its changes are a part. The horizon then rises to the revision of
// the newest change that was dropped. The newest change is never dropped.
//
// # The logs of all feeds share their memory
//
// A log may have up to 16 MiB, and a client that watched and filled a hundred buckets had 1.6 GiB
// in their logs. So beyond 64 KiB each log takes its bytes from a bound of 128 MiB, of which one
// client's feeds have at most half; where there is no room, the log drops its oldest changes
// earlier (TestLogsShareTheirMemory).
//
// Feed.mu guards it.
type changeLog struct {
	// changes are in the order of their revisions.
	changes []*Change
	// bytes is what they take, their frames included.
	bytes int
	// horizon is the revision above which the log is complete.
	horizon kv.Revision
	// horizonCheck is the check of the message at the horizon; zero if it is not known.
	horizonCheck kv.Check
	// maxBytes is how many bytes the log may have if there is room for them.
	maxBytes int
	// maxCount is how many changes it may have.
	maxCount int

	// memory is what the log takes of the bytes for all logs; nil if it has maxBytes for itself.
	memory *bound.Hold
	// roomBytes is how many bytes the log may have at present, minLogBytes in any case.
	roomBytes int
	// denied is for how many more changes the log does not ask for room, since there was none.
	denied int

	// passed has positions, in order, that were given out as ids although no change has them: of
	// messages that were gone, or whose subject was no key, when the feed came by.
	passed []kv.Position
}

const (
	// minLogBytes is how many bytes a log may have, however little room there is for all.
	minLogBytes = 64 << 10
	// logGrowStep is how many bytes a log takes at once of those for all logs.
	logGrowStep = 256 << 10
	// deniedFor is for how many changes a log does not ask for more room after there was none.
	deniedFor = 256
	// maxPassed bounds the positions that a log remembers besides its changes.
	maxPassed = 1 << 10
)

// logBound bounds what the logs of all feeds hold beyond minLogBytes each.
func logBound(set *bound.Set, bytes int) *bound.Bound {
	return set.New(bound.Spec{
		Name:     "feed-logs",
		Of:       "recent changes of the buckets that are watched, beyond 64 KiB for each",
		Unit:     bound.Bytes,
		Limit:    int64(bytes),
		PerOwner: int64(bytes) / 2,
		AtLimit: "the bucket's log keeps fewer changes, and more resumed streams read from " +
			"NATS",
	})
}

// isFull reports whether the log has more bytes than it may have. It takes more room if there is
// some.
func (l *changeLog) isFull() bool {
	switch {
	case l.bytes > l.maxBytes:
		return true
	case l.memory == nil, l.bytes <= max(l.roomBytes, minLogBytes):
		return false
	case l.denied > 0:
		l.denied--
		return true
	}
	want := min(l.maxBytes, l.bytes+logGrowStep)
	if !l.memory.Grow(int64(want)) {
		l.denied = deniedFor
		return true
	}
	l.roomBytes = want
	return false
}

// pass notes a position that no change has. It must be above all that were noted before.
func (l *changeLog) pass(p kv.Position) {
	if len(l.passed) == maxPassed {
		l.passed = slices.Delete(l.passed, 0, maxPassed/2)
	}
	l.passed = append(l.passed, p)
}

// check returns the check of the message of a revision, zero if the log does not have it.
func (l *changeLog) check(revision kv.Revision) kv.Check {
	if revision == l.horizon {
		return l.horizonCheck
	}
	i, ok := slices.BinarySearchFunc(l.changes, revision,
		func(c *Change, r kv.Revision) int { return cmp.Compare(c.Revision, r) })
	if ok {
		return l.changes[i].Check
	}
	i, ok = slices.BinarySearchFunc(l.passed, revision,
		func(p kv.Position, r kv.Revision) int { return cmp.Compare(p.Revision, r) })
	if ok {
		return l.passed[i].Check
	}
	return kv.Check{}
}

// add appends a change, whose revision must be above all others.
func (l *changeLog) add(c *Change) {
	l.changes = append(l.changes, c)
	c.logged = true
	l.grow(c.logBytes())
}

// grow counts more bytes, and drops the oldest changes if there is no room for them.
func (l *changeLog) grow(bytes int) {
	l.bytes += bytes
	drop := 0
	for ; drop < len(l.changes)-1 && (l.isFull() || len(l.changes)-drop > l.maxCount); drop++ {
		l.bytes -= l.changes[drop].logBytes()
		l.horizon, l.horizonCheck = l.changes[drop].Revision, l.changes[drop].Check
		l.changes[drop].logged = false
	}
	if drop > 0 {
		clear(l.changes[:drop]) // the array may live on for a while
		l.changes = l.changes[drop:]
	}
}

// restart empties the log. It is complete above that revision, whose message has this check.
func (l *changeLog) restart(at kv.Revision, check kv.Check) {
	for _, c := range l.changes {
		c.logged = false
	}
	l.changes, l.passed, l.bytes, l.horizon, l.horizonCheck = nil, nil, 0, at, check
	if l.memory != nil {
		l.memory.Shrink(0)
		l.roomBytes = 0
	}
}

// nearEnd is how many changes are looked at from the end before the rest is searched.
// Subscriptions that keep up are there, and a binary search brings ten other changes into the
// processor's cache for each of thousands of subscriptions.
const nearEnd = 8

// after returns the changes above a revision, which must not be below the horizon.
func (l *changeLog) after(revision kv.Revision) []*Change {
	for near := range min(nearEnd, len(l.changes)+1) {
		if i := len(l.changes) - near; i == 0 || l.changes[i-1].Revision <= revision {
			return l.changes[i:]
		}
	}
	i, _ := slices.BinarySearchFunc(l.changes, revision+1,
		func(c *Change, r kv.Revision) int {
			switch {
			case c.Revision < r:
				return -1
			case c.Revision > r:
				return 1
			}
			return 0
		})
	return l.changes[i:]
}
