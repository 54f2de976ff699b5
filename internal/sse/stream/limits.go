package stream

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"kvgateway/internal/bound"
)

// writePatience is the time in which a client must take some of what waits for it. A client that
// takes nothing for so long has its connection closed.
const writePatience = 30 * time.Second

// Limits are the bounds on what streams hold for their clients. All streams of a gateway share one
// Limits, which is safe for concurrent use.
//
// A stream cannot wait for room: what it has to send is in memory already, and a loop that waited
// would stop all its streams. So a stream whose client does not take what was written claims it at
// once ([bound.Bound.Insist]). If there is no room, the largest stream of the client that holds
// most is ended, and the client can resume it (TestStreamThatHoldsMostMakesRoom). A frame with
// which many streams wait is in memory once, and is counted once, by the address of its first byte.
// It counts for the client of one of these streams. When that one has taken it, it counts for the
// client of another stream that still waits.
//
// The kernel holds bytes for a client as well. A connection that was taken over has a send buffer
// of 128 KiB, where the kernel would let it grow to 4 MB.
type Limits struct {
	// bytes counts the bytes that the clients of streams have yet to take, beside those of other
	// answers. If it is nil, nothing is counted.
	bytes *bound.Bound
	// patience is the time in which a client must take some of what waits for it.
	patience time.Duration
	// socketBytes is the size of the send buffer of a connection that was taken over; 0 leaves it
	// to the system.
	socketBytes int

	// ending ends when streams that still wait for their clients are to be cut; see EndStreams.
	ending context.Context
	// end ends ending.
	end context.CancelFunc

	// slow counts the streams that were ended because they held too much.
	slow atomic.Uint64

	// mu guards frames, and the frames themselves.
	mu sync.Mutex
	// frames has the frames with which streams wait, by their first byte.
	frames map[*byte]*sharedFrame
}

// NewLimits makes the bounds of streams. bytes is the bound on all bytes that wait for clients.
func NewLimits(set *bound.Set, bytes *bound.Bound) *Limits {
	patience := set.New(bound.Spec{
		Name:     "stream-write",
		Of:       "the time in which the client of a stream must take some of what waits for it",
		Unit:     bound.Seconds,
		Duration: writePatience,
		AtLimit:  "the stream is cut; its client can resume it",
	})
	socket := set.New(bound.Spec{
		Name:    "stream-socket-bytes",
		Of:      "the send buffer of a connection that carries a stream of plain HTTP/1.1",
		Unit:    bound.Bytes,
		Limit:   128 << 10,
		AtLimit: "the kernel takes no more, and what is left counts as `answer-bytes`",
	})
	return newLimits(bytes, patience.Duration(), int(socket.Limit()))
}

// newLimits returns limits with those values.
func newLimits(bytes *bound.Bound, patience time.Duration, socketBytes int) *Limits {
	ending, end := context.WithCancel(context.Background())
	return &Limits{
		bytes: bytes, patience: patience, socketBytes: socketBytes, ending: ending, end: end,
	}
}

// EndStreams cuts the streams that a [Writer] writes and whose clients have not taken all that was
// sent. It is for the end of the process, when the sources have ended and a client that takes
// nothing would hold it up.
func (l *Limits) EndStreams() { l.end() }

// Slow returns how many streams were ended because they held too much for a client that did not
// take it.
func (l *Limits) Slow() uint64 { return l.slow.Load() }

// bindSocket bounds what the kernel keeps for a client that does not read. Without a bound the
// buffer of a socket grows to 4 MB.
func (l *Limits) bindSocket(conn net.Conn) {
	if c, ok := conn.(interface{ SetWriteBuffer(int) error }); ok && l.socketBytes > 0 {
		_ = c.SetWriteBuffer(l.socketBytes) // where it cannot be set, the system's own bound holds
	}
}
