package feed

import (
	"sync/atomic"

	"kvgateway/internal/kv"
)

// MaxRepresentations bounds the forms in which a change is encoded.
const MaxRepresentations = 16

// A Change is an entry that arrived. It does not change any more, but for its frames, which are
// encoded by whoever needs them first and are shared by all subscriptions that send it.
type Change struct {
	// Entry is what arrived.
	kv.Entry
	// Snapshot is the revision that the snapshot stands for of which this entry is part; 0 for a
	// change that came live or by a replay.
	Snapshot kv.Revision
	// SnapshotCheck is the check of the message which has that revision; zero if it is not known.
	SnapshotCheck kv.Check

	// frames has the change in each representation; nil where nobody has needed it.
	frames [MaxRepresentations]atomic.Pointer[[]byte]

	// feed has the change in its log, or had it; nil for a part of a reading.
	feed *Feed
	// logged: the change is in the log. Feed.mu guards it.
	logged bool
	// frameBytes counts the bytes of the frames that count in the log. Feed.mu guards it.
	frameBytes int
}

// changeBytes is what a change takes besides its key, its value and its frames.
const changeBytes = 384

// Frame returns the change in a representation, encoded by whoever needs it first. It may
// lock the feed.
func (c *Change) Frame(representation int, encode func(*Change) []byte) []byte {
	slot := &c.frames[representation]
	if frame := slot.Load(); frame != nil {
		return *frame
	}
	frame := encode(c)
	if !slot.CompareAndSwap(nil, &frame) {
		return *slot.Load()
	}
	if c.feed != nil {
		c.feed.countFrame(c, len(frame))
	}
	return frame
}

// countFrame counts the bytes of a frame in the log, while its change is there.
func (f *Feed) countFrame(c *Change, bytes int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if c.logged {
		c.frameBytes += bytes
		f.journal.log.grow(bytes)
	}
}

// readingBytes is what the change counts as part of a reading: the entry, and about two encoded
// frames of it.
func (c *Change) readingBytes() int { return changeBytes + len(c.Key) + 3*len(c.Value) }

// logBytes is what the change takes in the log.
func (c *Change) logBytes() int { return changeBytes + len(c.Key) + len(c.Value) + c.frameBytes }

// A Kind says what an Event reports.
type Kind uint8

const (
	// Changed carries a change.
	Changed Kind = iota
	// Synced says that the initial state, or the replay, is complete.
	Synced
	// Reset says that what was sent before is void; a snapshot and Synced follow.
	Reset
	// Stale says that the source is lost, so that what is known may be old.
	Stale
	// Live says that the source is back.
	Live
	// BucketDeleted says that there is no such bucket: the state is empty.
	BucketDeleted
	// Removed says that keys are gone without a marker.
	Removed
	// Restamped says that points have another stamp from here on. Clients are sent nothing.
	Restamped
	// GoAway says that the subscription has ended.
	GoAway
	// BecameExact says that the state is exact at the point, after a bookmark said that it was
	// not.
	BecameExact
)

// Reasons of Reset and GoAway.
const (
	// ReasonEpoch: the bucket was deleted and created again.
	ReasonEpoch = "epoch"
	// ReasonAhead: the position is beyond what the bucket has.
	ReasonAhead = "ahead"
	// ReasonHorizon: nobody can prove what happened since the position.
	ReasonHorizon = "horizon"
	// ReasonUnknownID: the position cannot be read.
	ReasonUnknownID = "unknown-id"
	// ReasonPurged: entries were removed without a trace in the stream.
	ReasonPurged = "purged"
	// ReasonReverted: a key has an older entry again than the one that was reported.
	ReasonReverted = "reverted"
	// ReasonFilters: the position was given out by a subscription with another content.
	ReasonFilters = "filters"
	// ReasonConfig: the bucket's settings changed, and with them when its entries vanish.
	ReasonConfig = "config"
	// ReasonSlow: the reader cannot be caught up.
	ReasonSlow = "slow"
	// ReasonShutdown: the gateway shuts down.
	ReasonShutdown = "shutdown"
	// ReasonPermissions: NATS does not let the caller read the bucket any more.
	ReasonPermissions = "permissions"
)

// An Event is what a subscription has to send.
type Event struct {
	// Kind says what happened, and which of the other fields are set.
	Kind Kind
	// Change comes with Changed.
	Change *Change
	// Reason comes with Reset and GoAway.
	Reason string
	// Removed comes with Removed.
	Removed []Removal
	// Stamp comes with Reset and Restamped: see [Subscription.Stamp].
	Stamp string
	// Point comes with Synced and BecameExact. With Reset and BucketDeleted it is that of a client
	// which holds nothing.
	Point Point
	// Keys comes with Synced: the number of keys with a value in the snapshot, -1 if there was
	// none.
	Keys int
	// Exact comes with Synced: the state is exact at Point.
	Exact bool
	// Digest comes with Synced if that is exact, and with BecameExact, where it is wanted and
	// known: the digest of the state at Point. See [copies.Sum].
	Digest string
}

// A Point is how far a subscription has come. An event's id is made of one.
type Point struct {
	// Position is the one up to which everything was sent; or, if InSnapshot is set, the one that
	// the snapshot stands for.
	kv.Position
	// InSnapshot: of the snapshot only the entries up to Sent were sent.
	InSnapshot bool
	// Sent is the revision of the last entry that was sent, if InSnapshot is set; 0 for none.
	Sent kv.Revision
}

// nowhere is a point in an epoch that no bucket has: whoever comes back with it is reset,
// whichever bucket is there then.
var nowhere = Point{Position: kv.Position{Epoch: "0"}}
