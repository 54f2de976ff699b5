package stream

import "time"

// Pace says when a stream speaks although its source has nothing to say.
type Pace struct {
	// Heartbeat is the time between two heartbeats.
	Heartbeat time.Duration
	// Age is the time after which the stream ends.
	Age time.Duration
}

// A clock knows when a stream has to send something without being woken.
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
