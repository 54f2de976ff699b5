package stream

// FlushAt is how many bytes of a stream are collected at most before they are sent. One frame can
// exceed it.
const FlushAt = 32 << 10

// A Source says what a stream sends. Its methods are called by one goroutine at a time, which for a
// stream on a loop serves other streams as well: they must not block.
type Source interface {
	// Begin appends what the stream begins with.
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

	// Beat appends what shows that the stream is alive.
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
