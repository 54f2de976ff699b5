package sse

import (
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"kvgateway/internal/bound"
)

// Limits are the bounds of what streams hold for their clients. They are shared by all streams of a
// gateway.
type Limits struct {
	// bytes counts what the clients of streams have yet to take, beside other answers; nil for none.
	bytes *bound.Bound
	// patience is how long a client may take nothing of what waits for it.
	patience time.Duration
	// socketBytes is the size of a taken-over socket's buffer; 0 leaves it to the system.
	socketBytes int

	slow atomic.Uint64 // streams that were ended since they held too much

	mu     sync.Mutex
	frames map[*byte]*sharedFrame // those that streams wait with, by their first byte
}

// A sharedFrame is one that several streams may wait with. It is in memory once, so it is counted
// once.
type sharedFrame struct {
	hold    bound.Hold
	waiting map[*unsent]struct{}
}

// NewLimits makes the bounds of streams. Bytes is the bound of all bytes that wait for clients.
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

// Slow is how many streams were ended since they held too much for a client that did not take it.
func (l *Limits) Slow() uint64 { return l.slow.Load() }

// An unsent is what a stream holds of the bound while its client does not take what was sent. The
// methods may be called by the stream's goroutine only, but evict is called on others.
type unsent struct {
	limits *Limits
	evict  func()     // makes the stream give up
	hold   bound.Hold // of bytes that are the stream's own
	frame  *byte      // the first byte of a frame that others may wait with too; nil for none
}

// keep counts data, which others may have too if it is shared. It returns false if there is no room,
// and nothing that holds more could make some.
func (u *unsent) keep(data []byte, shared bool) bool {
	switch {
	case u.limits.bytes == nil || len(data) == 0:
		return true
	case shared:
		return u.limits.join(u, data)
	}
	return u.limits.bytes.Insist(&u.hold, "", int64(cap(data)), u.evict)
}

// progressed notes that the client took some of it.
func (u *unsent) progressed() {
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

// drop gives back what is held. A second call does nothing.
func (u *unsent) drop() {
	u.hold.Release()
	if u.frame != nil {
		u.limits.leave(u)
	}
}

// join counts a frame, unless another stream waits with it already.
func (l *Limits) join(u *unsent, frame []byte) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	first := &frame[0]
	f := l.frames[first]
	if f == nil {
		f = &sharedFrame{waiting: make(map[*unsent]struct{})}
		if !l.bytes.Insist(&f.hold, "", int64(len(frame)), func() { l.evictAll(first) }) {
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

// leave gives a frame back once no stream waits with it.
func (l *Limits) leave(u *unsent) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f := l.frames[u.frame]
	delete(f.waiting, u)
	if len(f.waiting) == 0 {
		f.hold.Release()
		delete(l.frames, u.frame)
	}
	u.frame = nil
}

// evictAll makes all streams give up that wait with a frame.
func (l *Limits) evictAll(first *byte) {
	for _, u := range l.waitingWith(first) {
		u.evict() // which may wait for a connection's goroutine
	}
}

func (l *Limits) waitingWith(first *byte) []*unsent {
	l.mu.Lock()
	defer l.mu.Unlock()
	f := l.frames[first]
	if f == nil {
		return nil
	}
	return slices.Collect(maps.Keys(f.waiting))
}
