package stream

import (
	"net"
	"sync/atomic"
	"time"
)

// A LoopStream is a stream that a loop writes, on a connection taken over from net/http.
// [Loops.New] makes it, [Loops.Start] gives it a connection, and it ends by itself.
//
// Its states are told apart by the fields: it is new until started is set, full while rest has
// bytes, last if sourceEnded is set as well, ended once ended is set, and else open. The package
// documentation has the table of events and states.
//
// The fields are of three kinds. The flags at the top are set by any goroutine, and the one that
// sets a flag then wakes the stream. The connection and the source are set by Start, before
// started, and do not change. All others belong to the goroutine of the loop.
//
// Start leads to the first visit. After that these hold between two visits of a stream that has not
// ended:
//   - if rest is empty, the stream is in the timetable at the time of its clock, and deadline is
//     zero;
//   - if rest has bytes, the stream is in the timetable at deadline, rest is counted in loop.unsent
//     and, except for what Start put there, in held, and the source is not asked.
type LoopStream struct {
	// loop is the loop that writes the stream.
	loop *loop
	// owner is the client of the stream.
	owner string
	// started says that the stream has its connection. A stream without cannot be woken.
	started atomic.Bool
	// queued says that the stream is in the loop's list of ready ones.
	queued atomic.Bool
	// clientGone says that the client has closed its connection.
	clientGone atomic.Bool
	// evicted says that what the stream holds has to make room for others.
	evicted atomic.Bool
	// dismissable says that the stream is to end with a goaway.
	dismissable
	// halfClosed says that the client sends no more. It may read on, or have closed the connection
	// altogether, which shows when something is sent: then the answer is a reset.
	halfClosed atomic.Bool
	// probe says that something is to be sent, to find out which of the two it is.
	probe atomic.Bool

	// conn is the connection. Only the loop closes it, so fd stays valid until then.
	conn net.Conn
	// fd is the file descriptor of conn.
	fd int
	// watchNumber tells the stream from an earlier one whose socket had the same fd.
	watchNumber uint32
	// source says what the stream sends.
	source Source
	// onEnd is called once, with the number of bytes sent and the reason, when the stream ends.
	onEnd func(sent int64, err error)

	// clock says when the stream has to send something without being woken. It is not looked at
	// while rest has bytes.
	clock clock
	// rest has the bytes that the socket did not take.
	rest []byte
	// held counts the rest among the bytes that wait for clients. It is nil until there was one.
	held *unsentHold
	// blockBegun says that the socket took a part of what is in rest, so that the client may be
	// within a block.
	blockBegun bool
	// deadline is until when the socket must take some of the rest. It is zero without a rest, and
	// until the first visit.
	deadline time.Time
	// sent is how many bytes the socket took.
	sent int64
	// sourceEnded says that the source has nothing more to send, ever, or that the goaway was
	// appended.
	sourceEnded bool
	// ended says that the stream has ended and its connection is closed.
	ended bool
	// heapIndex is the index of the stream in the timetable of the loop, notInHeap if it is not
	// there.
	heapIndex int
}

// notInHeap is the heapIndex of a stream that is not in a timetable.
const notInHeap = -1

// Wake tells that the source may have something to say. It never blocks.
func (s *LoopStream) Wake() {
	if s.started.Load() && s.queued.CompareAndSwap(false, true) {
		s.loop.add(s)
	}
}

// GoAway makes the stream end with a goaway for a reason. Its source is not asked for anything else
// from the next visit on. A client that has not taken by a time what was sent before, and the
// goaway, is cut. GoAway can be called on any goroutine, also before the stream has begun and after
// it has ended, and never blocks.
func (s *LoopStream) GoAway(reason string, by time.Time) {
	s.dismiss(reason, by)
	s.Wake()
}

// due returns when the stream must be visited if nothing else happens.
func (s *LoopStream) due() time.Time {
	if !s.deadline.IsZero() {
		return s.deadline
	}
	return s.clock.due()
}
