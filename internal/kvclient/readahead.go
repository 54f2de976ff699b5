package kvclient

import (
	"context"
	"time"

	"kvgateway/internal/bound"
)

const (
	// tailLeast is what the server may send a quiet tail ahead, in bytes. It is asked for all the
	// time, for each feed.
	tailLeast = 16 << 10
	// tailMost is what it may send a busy one.
	tailMost = 4 << 20

	tailExpires     = 20 * time.Second // after which a quiet tail's request for more is made anew
	busyTailExpires = 2 * time.Second  // and a busy tail's, which holds more
)

// A batchEnd says why a batch of a tail has ended.
type batchEnd uint8

const (
	// batchExpired: nothing more came in time.
	batchExpired batchEnd = iota
	// batchCounted: it had as many messages as were asked for.
	batchCounted
	// batchFilled: it had as many bytes.
	batchFilled
	// batchTooSmall: it had none, since the next message has more bytes than were asked for.
	batchTooSmall
)

// An ahead is how many bytes the server may send a tail before it is asked again, and what the tail
// holds of the connection's bound for that. A busy tail has more than a quiet one, as long as no
// other needs it. What is larger than both is asked for alone.
type readAhead struct {
	bound   *bound.Bound
	message int64      // how large one message can be
	hold    bound.Hold // for as long as the tail lives
	alone   bound.Hold // for one batch
}

// begin takes what a quiet tail has. It returns a *[bound.FullError] if there is no room.
func (a *readAhead) begin(ctx context.Context) error {
	return a.bound.Take(ctx, &a.hold, "", tailLeast, nil)
}

// next returns how many bytes to ask for after a batch that has ended so, and for how long.
func (a *readAhead) next(ctx context.Context, last batchEnd) (
	bytes int64, expires time.Duration, err error) {
	a.alone.Release()
	before := a.hold.Size()
	a.hold.Shrink(tailLeast) // so that others, who wait, come first
	switch last {
	case batchExpired:
		return tailLeast, tailExpires, nil
	case batchTooSmall:
		bytes = a.message
	case batchFilled:
		bytes = min(2*before, max(tailMost, a.message))
	case batchCounted:
		bytes = before
	}
	switch {
	case bytes > tailLeast && a.hold.Grow(bytes):
		return bytes, busyTailExpires, nil
	case last != batchTooSmall:
		return tailLeast, tailExpires, nil
	}
	// The rest of a very large message has room beside the bound, which is below the server's.
	if err := a.bound.Take(ctx, &a.alone, "", min(bytes, a.bound.Limit()/2), nil); err != nil {
		return 0, 0, err
	}
	return bytes, busyTailExpires, nil
}

func (a *readAhead) end() {
	a.alone.Release()
	a.hold.Release()
}
