package stream

import (
	"maps"
	"slices"

	"kvgateway/internal/bound"
)

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

// A sharedFrame is a frame with which several streams may wait. Limits.mu guards it.
type sharedFrame struct {
	// hold counts the frame.
	hold bound.Hold
	// waiting has the streams that wait with the frame.
	waiting map[*unsentHold]struct{}
	// payer is the one of them for whose client the frame counts.
	payer *unsentHold
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
