package feed

import (
	"slices"

	"kvgateway/internal/kvclient"
)

// A changeLog holds the recent changes of a bucket, in order: all that the feed read after the horizon.
type changeLog struct {
	changes  []*Change
	bytes    int
	horizon  kvclient.Revision
	maxBytes int
	maxCount int
}

func (l *changeLog) add(c *Change) {
	l.changes = append(l.changes, c)
	c.logged = true
	l.grow(c.size())
}

// grow counts bytes more, and drops the oldest changes where there is no room for them.
func (l *changeLog) grow(bytes int) {
	l.bytes += bytes
	drop := 0
	for ; drop < len(l.changes)-1 && (l.bytes > l.maxBytes || len(l.changes)-drop > l.maxCount); drop++ {
		l.bytes -= l.changes[drop].size()
		l.horizon = l.changes[drop].Revision
		l.changes[drop].logged = false
	}
	if drop > 0 {
		clear(l.changes[:drop]) // the array may live on for a while
		l.changes = l.changes[drop:]
	}
}

// restart empties the log; it is complete from that revision on.
func (l *changeLog) restart(at kvclient.Revision) {
	for _, c := range l.changes {
		c.logged = false
	}
	l.changes, l.bytes, l.horizon = nil, 0, at
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
