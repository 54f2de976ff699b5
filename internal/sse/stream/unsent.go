package stream

import (
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"kvgateway/internal/bound"
)

// Limits are the bounds on what streams hold for their clients. All streams of a gateway share one
// Limits, which is safe for concurrent use.
//
// A stream cannot wait for room: what it has to send is in memory already, and a loop that waited
// would stop all its streams. So a stream whose client does not take what was written claims it at
// once ([bound.Bound.Insist]). If there is no room, the largest stream of the client that holds
// most is ended, and the client can resume it (TestStreamThatHoldsMostMakesRoom). A frame with
// which many streams wait is in memory once, and is counted once, by the address of its first byte.
// It counts for the client of one of these streams, and for another's when that has taken it.
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

	// slow counts the streams that were ended because they held too much.
	slow atomic.Uint64

	// mu guards frames, and the frames themselves.
	mu sync.Mutex
	// frames has the frames with which streams wait, by their first byte.
	frames map[*byte]*sharedFrame
}

// A sharedFrame is a frame with which several streams may wait. Limits.mu guards it.
type sharedFrame struct {
	// hold counts the frame.
	hold bound.Hold
	// waiting has the streams that wait with the frame.
	waiting map[*unsentHold]struct{}
	// payer is the one of them for whose client the frame counts.
	payer *unsentHold
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
	return &Limits{bytes: bytes, patience: patience.Duration(), socketBytes: int(socket.Limit())}
}

// Slow returns how many streams were ended because they held too much for a client that did not
// take it.
func (l *Limits) Slow() uint64 { return l.slow.Load() }

// An unsentHold counts what a stream holds while its client does not take it: either bytes of its
// own, or a frame that other streams may hold too. Its methods are called by the goroutine that
// writes the stream; evict is called on other goroutines.
type unsentHold struct {
	// limits are the bounds that all streams share.
	limits *Limits
	// owner is the client of the stream.
	owner string
	// evict makes the stream give up what it holds.
	evict func()
	// hold counts bytes that are the stream's own.
	hold bound.Hold
	// frame is the first byte of the frame that is held, nil if there is none.
	frame *byte
}

// keep counts data, which other streams may have too if it is shared. It returns false if there is
// no room, and nobody who holds more can make some.
func (u *unsentHold) keep(data []byte, shared bool) bool {
	switch {
	case u.limits.bytes == nil || len(data) == 0:
		return true
	case shared:
		return u.limits.addWaiting(u, data)
	}
	return u.limits.bytes.Insist(&u.hold, u.owner, int64(cap(data)), u.evict)
}

// noteProgress notes that the client took some of what is held.
func (u *unsentHold) noteProgress() {
	u.hold.Progress()
	if u.frame == nil {
		return
	}
	u.limits.mu.Lock()
	defer u.limits.mu.Unlock()
	if f := u.limits.frames[u.frame]; f != nil {
		f.hold.Progress()
	}
}

// drop gives back what is held. A second call has no effect.
func (u *unsentHold) drop() {
	u.hold.Release()
	if u.frame != nil {
		u.limits.removeWaiting(u)
	}
}

// addWaiting counts a frame, unless another stream waits with it already. It returns false if there
// is no room.
func (l *Limits) addWaiting(u *unsentHold, frame []byte) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	first := &frame[0]
	f := l.frames[first]
	if f == nil {
		f = &sharedFrame{waiting: make(map[*unsentHold]struct{}), payer: u}
		evict := func() { l.evictAll(first) }
		if !l.bytes.Insist(&f.hold, u.owner, int64(len(frame)), evict) {
			return false
		}
		if l.frames == nil {
			l.frames = make(map[*byte]*sharedFrame)
		}
		l.frames[first] = f
	}
	f.waiting[u], u.frame = struct{}{}, first
	return true
}

// removeWaiting gives a frame back once no stream waits with it.
func (l *Limits) removeWaiting(u *unsentHold) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f := l.frames[u.frame]
	delete(f.waiting, u)
	switch {
	case len(f.waiting) == 0:
		f.hold.Release()
		delete(l.frames, u.frame)
	case f.payer == u:
		for f.payer = range f.waiting {
			break
		}
		f.hold.HandTo(f.payer.owner)
	}
	u.frame = nil
}

// evictAll makes all streams that wait with a frame give up. l.mu must not be held, since evict may
// wait for a connection.
func (l *Limits) evictAll(first *byte) {
	for _, u := range l.waitingWith(first) {
		u.evict()
	}
}

// waitingWith returns the streams that wait with a frame.
func (l *Limits) waitingWith(first *byte) []*unsentHold {
	l.mu.Lock()
	defer l.mu.Unlock()
	f := l.frames[first]
	if f == nil {
		return nil
	}
	return slices.Collect(maps.Keys(f.waiting))
}
