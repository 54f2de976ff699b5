// Package feed keeps one live view of each watched bucket: a source that reads the bucket's stream once for all who watch, a
// bounded log of the recent changes, and subscriptions that follow it, each with its own filters and at its own pace.
//
// The log is the queue of every subscription: a subscription is a cursor in it and holds nothing itself, so that a slow
// reader costs nobody else anything. What the log no longer has is read from the store, if the store can still tell it; where
// that cannot be proved, the subscription is reset and gets a snapshot.
//
// The package knows no HTTP, and of NATS only what kvclient tells.
package feed

import (
	"sync/atomic"

	"kvgateway/internal/kvclient"
)

// MaxRepresentations bounds the forms in which a change is encoded.
const MaxRepresentations = 16

// A Change is an entry that arrived. Its encoded frames are shared by all subscriptions that send it.
type Change struct {
	kvclient.Entry
	// Snapshot is the revision that the snapshot stands for of which this entry is part; 0 for a change that came live or by
	// replay.
	Snapshot kvclient.Revision
	// SnapshotCheck is the check of the message which has that revision; zero if it is not known.
	SnapshotCheck kvclient.Check

	frames [MaxRepresentations]atomic.Pointer[[]byte]

	feed       *Feed // that has it in its log, or had; nil for a part of a reading
	logged     bool  // it has; guarded by the feed's mutex
	frameBytes int   // bytes of the frames that count in the log; guarded by the same
}

// changeBytes is what a change takes besides its key, its value and its frames.
const changeBytes = 384

// Frame returns the change in a representation, encoded by whoever needs it first. The feed must not be locked.
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

// framed counts a frame in the log, while the change is there.
func (f *Feed) countFrame(c *Change, bytes int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if c.logged {
		c.frameBytes += bytes
		f.log.grow(bytes)
	}
}

// weight is what a part of a reading counts against the bounds of bytes: the entry, and about two encoded frames of it.
func (c *Change) readingBytes() int { return changeBytes + len(c.Key) + 3*len(c.Value) }

// size is what a change takes in the log.
func (c *Change) logBytes() int { return changeBytes + len(c.Key) + len(c.Value) + c.frameBytes }

// A Kind says what an Event tells.
type Kind uint8

const (
	Changed       Kind = iota
	Synced             // the initial state, or the replay, is complete
	Reset              // what was sent before is void; a snapshot and Synced follow
	Stale              // the source is lost; what is known may be old
	Live               // the source is back
	BucketDeleted      // the state is empty
	GoAway             // the subscription has ended
	BecameExact        // the state is exact at the point, after a bookmark said that it was not
)

// Reasons of Reset and GoAway.
const (
	ReasonEpoch     = "epoch"      // the bucket was deleted and created again
	ReasonAhead     = "ahead"      // the position is beyond what the bucket has
	ReasonHorizon   = "horizon"    // nobody can prove what happened since the position
	ReasonUnknownID = "unknown-id" // the position cannot be read
	ReasonPurged    = "purged"     // entries were removed without a trace in the stream
	ReasonFilters   = "filters"    // the position was given out by a stream of another content
	ReasonConfig    = "config"     // the bucket's settings changed, and with them when entries vanish
	ReasonSlow      = "slow"       // the reader cannot be caught up
	ReasonShutdown  = "shutdown"
)

// An Event is what a subscription has to tell.
type Event struct {
	Kind   Kind
	Change *Change // with Changed
	Reason string  // with Reset and GoAway
	Stamp  string  // with Reset: see [Subscription.Stamp]
	Point  Point   // with Synced and BecameExact; with Reset and BucketDeleted, that of a client which holds nothing
	Keys   int     // with Synced: keys with a value in the snapshot; -1 if it was none
	Exact  bool    // with Synced
}

// A Point is how far a subscription has come: everything up to the position was sent; or, in a snapshot that stands for the
// position, its entries up to Sent.
type Point struct {
	kvclient.Position
	InSnapshot bool
	Sent       kvclient.Revision
}

// nowhere is a point of no bucket: who comes back with it, to whichever bucket is there then, is reset.
var nowhere = Point{Position: kvclient.Position{Epoch: "0"}}
