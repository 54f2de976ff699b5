package stream

import "errors"

// ErrClientGone ends a stream whose client has closed its connection.
var ErrClientGone = errors.New("the client has gone")

// ErrPanicked ends a stream whose source panicked. The text of the error has the stack.
var ErrPanicked = errors.New("the source of the stream panicked")

// errTooSlow ends a stream that has passed its age while its client had still not taken what was
// sent before.
var errTooSlow = errors.New("the stream reached its age, and its client did not read the rest")

// errTookNothing ends a stream whose client has not read anything for the patience of a write.
var errTookNothing = errors.New("the client reads nothing")

// errHeldTooMuch ends a stream so that what its client does not take makes room for others.
var errHeldTooMuch = errors.New("the client did not take what the stream held")

// errDismissed ends a stream that was dismissed, and whose client has not taken the goaway in time.
var errDismissed = errors.New("the stream had to end, and its client did not read the rest")

// errNoRoom ends a stream before it writes bytes for which there is no room.
var errNoRoom = errors.New("no room for what the stream has to send")

// The reasons of the goaway of a stream that its writer ends.
const (
	// reasonMaxAge: the stream has reached its age.
	reasonMaxAge = "max-age"
	// reasonSlow: its client does not take what it holds.
	reasonSlow = "slow"
)
