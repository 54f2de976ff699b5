package copies

import (
	"cmp"
	"sync/atomic"

	"kvgateway/internal/kv"
)

// A version is an entry in a copy. It does not change, but for earlier, which is cut.
type version struct {
	// entry is what was stored. Its value is nil if only the key is left (see unsureValue).
	entry kv.Entry
	// unsure says what the copy does not know of the key.
	unsure unsure
	// earlier is the version before this one of the same key; nil if there is none, or if no page
	// can need it any more.
	earlier atomic.Pointer[version]
}

// An unsure says whether the copy knows what the store has for a key.
type unsure uint8

const (
	// sure: the store has this entry.
	sure unsure = iota
	// unsureMarker: the store has this marker, or nothing.
	unsureMarker
	// unsureValue: the entry's time is over, and what the store has now is not known.
	unsureValue
)

// versionBytes is what a version takes beside its texts and its value: the version itself, and its
// places in the trees.
const versionBytes = 320

// bytes returns what the version takes.
func (v *version) bytes() int64 {
	e := &v.entry
	n := versionBytes + len(e.Key) + cap(e.Value) + len(e.ContentType) + len(e.ContentEncoding)
	if t := e.Transaction; t != nil {
		n += 48 + len(t.ID)
	}
	if b := e.Bookkeeping; b != nil {
		n += 96 + len(b.MessageID) + len(b.Request) + len(b.TTL)
	}
	return int64(n)
}

// at returns the newest version in the chain that is not newer than the revision; nil if there is
// none.
func (v *version) at(revision kv.Revision) *version {
	for v != nil && v.entry.Revision > revision {
		v = v.earlier.Load()
	}
	return v
}

// cut cuts the chain behind a version. mu is held.
func (c *Copy) cut(v *version) {
	for v = v.earlier.Swap(nil); v != nil; v = v.earlier.Swap(nil) {
		c.bytes -= v.bytes()
	}
}

// A keyed is a version in the tree by key.
type keyed struct {
	key string
	*version
}

// A numbered is a version in the tree by revision.
type numbered struct {
	revision kv.Revision
	*version
}

// byKey is the order of keys.
func byKey(a, b keyed) bool { return a.key < b.key }

// byRevision is the order of revisions.
func byRevision(a, b numbered) bool { return a.revision < b.revision }

// byEnd is the order in which entries vanish.
func byEnd(a, b *version) bool {
	return cmp.Or(a.entry.Expires.Compare(b.entry.Expires),
		cmp.Compare(a.entry.Revision, b.entry.Revision)) < 0
}
