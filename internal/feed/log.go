package feed

import (
	"cmp"
	"slices"

	"kvgateway/internal/bound"
	"kvgateway/internal/kvclient"
)

// A changeLog holds the recent changes of a bucket, in order: all that the feed read after the horizon.
type changeLog struct {
	changes  []*Change
	bytes    int
	horizon  kvclient.Revision
	maxBytes int // that it may have, if there is room for them
	maxCount int

	// The logs of all feeds share a bound of bytes, from which each takes more as it grows.
	memory    *bound.Hold // nil where the log has maxBytes for itself
	roomBytes int         // bytes that it may have now
	denied    int         // changes for which not to ask for more, since there was no room a moment ago

	// horizonCheck is the check of the message at the horizon; zero if it is not known.
	horizonCheck kvclient.Check
	// passed are positions, in order, that were given out as ids and that no change has: of messages
	// which were gone or outside the grammar when the feed came by.
	passed []kvclient.Position
}

const (
	// leastLog is how many bytes a log may have, however little room there is for all.
	minLogBytes = 64 << 10
	// logStep is how much a log takes at once of what there is for all.
	logGrowStep = 256 << 10
	// deniedFor is for how many changes a log does not ask for more when there was no room.
	deniedFor = 256
)

// logBound bounds what the logs of all feeds hold beyond leastLog each.
func logBound(set *bound.Set, bytes int) *bound.Bound {
	return set.New(bound.Spec{
		Name:     "feed-logs",
		Of:       "recent changes of the buckets that are followed, beyond 64 KiB for each",
		Unit:     bound.Bytes,
		Limit:    int64(bytes),
		PerOwner: int64(bytes) / 2,
		AtLimit:  "the bucket's log keeps fewer changes, and more resumed streams read from NATS",
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

// maxPassed bounds the positions that a log remembers besides its changes.
const maxPassed = 1 << 10

// pass notes a position that no change has.
func (l *changeLog) pass(p kvclient.Position) {
	if len(l.passed) == maxPassed {
		l.passed = slices.Delete(l.passed, 0, maxPassed/2)
	}
	l.passed = append(l.passed, p)
}

// check returns the check of the message of a revision, zero if the log does not have it.
func (l *changeLog) check(revision kvclient.Revision) kvclient.Check {
	if revision == l.horizon {
		return l.horizonCheck
	}
	if i, ok := slices.BinarySearchFunc(l.changes, revision, func(c *Change, r kvclient.Revision) int {
		return cmp.Compare(c.Revision, r)
	}); ok {
		return l.changes[i].Check
	}
	if i, ok := slices.BinarySearchFunc(l.passed, revision, func(p kvclient.Position, r kvclient.Revision) int {
		return cmp.Compare(p.Revision, r)
	}); ok {
		return l.passed[i].Check
	}
	return kvclient.Check{}
}

func (l *changeLog) add(c *Change) {
	l.changes = append(l.changes, c)
	c.logged = true
	l.grow(c.logBytes())
}

// grow counts bytes more, and drops the oldest changes where there is no room for them.
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

// restart empties the log; it is complete from that revision on, whose message has this check.
func (l *changeLog) restart(at kvclient.Revision, check kvclient.Check) {
	for _, c := range l.changes {
		c.logged = false
	}
	l.changes, l.passed, l.bytes, l.horizon, l.horizonCheck = nil, nil, 0, at, check
	if l.memory != nil {
		l.memory.Shrink(0)
		l.roomBytes = 0
	}
}

// nearEnd is how many changes are looked at from the end before the rest is searched: who keeps up is there, and a search takes ten others
// into the cache for each of thousands.
const nearEnd = 8

// after returns the changes above a revision, which must not be below the horizon.
func (l *changeLog) after(revision kvclient.Revision) []*Change {
	for near := range min(nearEnd, len(l.changes)+1) {
		if i := len(l.changes) - near; i == 0 || l.changes[i-1].Revision <= revision {
			return l.changes[i:]
		}
	}
	i, _ := slices.BinarySearchFunc(l.changes, revision+1, func(c *Change, r kvclient.Revision) int {
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
