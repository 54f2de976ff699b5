package stream

import "time"

// FlushAt is how many bytes of a stream are collected at most before they are sent. One frame can
// exceed it.
const FlushAt = 32 << 10

// A Source says what a stream sends. Its methods are called by one goroutine at a time, which for a
// stream on a loop serves other streams as well: they must not block.
type Source interface {
	// Begin appends the first blocks of the stream.
	Begin(dst []byte) []byte

	// Next appends what there is to say to dst, which is empty, until it has [FlushAt] bytes.
	// Instead it may return bytes that other streams send too: these have no capacity to spare, and
	// the writer does not change them.
	//
	// One call may have several reasons: that the call before returned [AtOnce], and that the
	// stream was woken since, perhaps for several subscriptions. A source therefore asks all its
	// subscriptions at each call, and does not only go on with the one that had more to say. With a
	// source that went on where it was, an event under load waited for the heartbeat
	// (TestATurnTellsWhatCameSinceTheLast in internal/handlers).
	Next(dst []byte) (out []byte, when When)

	// Beat appends the block that shows that the stream is alive.
	Beat(dst []byte) []byte

	// GoAway appends the last block of a stream that the writer ends, with the reason.
	GoAway(dst []byte, reason string) []byte
}

// A When says when a source is to be asked again.
type When uint8

// The values of a When.
const (
	// WhenWoken: the source has nothing to say until the stream is woken.
	WhenWoken When = iota
	// AtOnce: the source may have more to say now.
	AtOnce
	// Never: the stream ends with what was returned.
	Never
)

// The reasons of the goaway of a stream that its writer ends.
const (
	// reasonMaxAge: the stream has reached its age.
	reasonMaxAge = "max-age"
	// reasonSlow: its client does not take what it holds.
	reasonSlow = "slow"
)

// Pace says when a stream speaks although its source has nothing to say.
type Pace struct {
	// Heartbeat is the time between two heartbeats.
	Heartbeat time.Duration
	// Age is the time after which the stream ends.
	Age time.Duration
}

// A clock knows when a stream has to speak unasked.
type clock struct {
	// every is the time between two heartbeats.
	every time.Duration
	// nextBeat is when the next heartbeat is due.
	nextBeat time.Time
	// end is when the stream reaches its age.
	end time.Time
}

// newClock returns the clock of a stream that begins now.
func newClock(now time.Time, pace Pace) clock {
	return clock{every: pace.Heartbeat, nextBeat: now.Add(pace.Heartbeat), end: now.Add(pace.Age)}
}

// due returns when something has to be said next: a heartbeat or, if that comes first, the goaway.
func (c *clock) due() time.Time {
	if c.end.Before(c.nextBeat) {
		return c.end
	}
	return c.nextBeat
}

// expired reports whether the stream has reached its age.
func (c *clock) expired(now time.Time) bool { return !now.Before(c.end) }

// noteBeat notes that a heartbeat was sent. One that is sent late does not make the next come
// early.
func (c *clock) noteBeat(now time.Time) {
	if c.nextBeat = c.nextBeat.Add(c.every); c.nextBeat.Before(now) {
		c.nextBeat = now.Add(c.every)
	}
}
