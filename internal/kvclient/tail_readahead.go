package kvclient

import (
	"context"
	"time"

	"kvgateway/internal/bound"
)

const (
	// tailLeast is how many bytes the server may send a quiet tail ahead. That is asked for all the
	// time, for each feed.
	tailLeast = 16 << 10
	// tailMost is how many bytes it may send a busy one.
	tailMost = 4 << 20

	// tailExpires is after what time a quiet tail's request for more is made anew.
	tailExpires = 20 * time.Second
	// busyTailExpires is that time for a busy tail, which holds more.
	busyTailExpires = 2 * time.Second
)

// A batchEnd says why a batch of a tail has ended.
type batchEnd uint8

// The ends of a batch.
const (
	// batchExpired says that nothing more came in time.
	batchExpired batchEnd = iota
	// batchCounted says that the batch had as many messages as were asked for.
	batchCounted
	// batchFilled says that it had as many bytes as were asked for.
	batchFilled
	// batchTooSmall says that it had none, since the next message has more bytes than were asked
	// for.
	batchTooSmall
)

// A readAhead is how many bytes the server may send a tail before it is asked again, and what the
// tail holds of the connection's bound for that. A busy tail has more than a quiet one, as long as
// no other tail needs it (TestTailsShareTheirConnection). A message that is larger than both is
// asked for by itself.
//
//	the last batch        | the next one has
//	expired               | tailLeast
//	had all its messages  | as many bytes as before
//	had all its bytes     | twice as many, up to tailMost or the largest message
//	was too small         | the bytes of the largest message, which it waits for if need be
//
// If there is no room for that, the next batch has tailLeast.
type readAhead struct {
	// bound is the bound of the connection.
	bound *bound.Bound
	// message is how many bytes the largest message can have.
	message int64
	// hold is what the tail holds as long as it lives.
	hold bound.Hold
	// alone is what the tail holds for one batch with one large message.
	alone bound.Hold
}

// begin takes what a quiet tail has. It returns a *[bound.FullError] if there is no room.
func (a *readAhead) begin(ctx context.Context) error {
	return a.bound.Take(ctx, &a.hold, "", tailLeast, nil)
}

// next returns how many bytes to ask for after a batch that ended in this way, and for how long.
func (a *readAhead) next(ctx context.Context, last batchEnd) (
	bytes int64, expires time.Duration, err error) {
	a.alone.Release()
	before := a.hold.Size()
	a.hold.Shrink(tailLeast) // so that others, which wait, come first
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
	// At most half of the bound is claimed. The server's limit is above the bound, so there is room
	// for what a larger message has beyond that.
	if err := a.bound.Take(ctx, &a.alone, "", min(bytes, a.bound.Limit()/2), nil); err != nil {
		return 0, 0, err
	}
	return bytes, busyTailExpires, nil
}

// end gives back what the tail holds.
func (a *readAhead) end() {
	a.alone.Release()
	a.hold.Release()
}
