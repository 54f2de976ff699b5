package feed

import (
	"time"

	"kvgateway/internal/feed/copies"
	"kvgateway/internal/kv"
)

// A Memory is what a hub has of one bucket in memory: the complete copy of the bucket's feed. It
// stays readable after the copy was dropped, but says no more then.
type Memory struct {
	// feed is the bucket's.
	feed *Feed
	// copy is what it has.
	copy *copies.Copy
}

// Memory returns what the hub has of a bucket in memory. It returns false if it has none, or has
// not loaded all of it. It starts no feed: those that watch, and --memory-buckets, do.
func (h *Hub) Memory(name kv.BucketName) (Memory, bool) {
	h.mu.Lock()
	f := h.feeds[name]
	h.mu.Unlock()
	if f == nil {
		return Memory{}, false
	}
	c := f.shown.Load()
	return Memory{f, c}, c != nil
}

// Get returns what there is of a key, and the position at which that is so. It returns false if the
// copy was dropped meanwhile. What it finds must not be changed.
func (m Memory) Get(key kv.Key) (found copies.Found, at kv.Position, ok bool) {
	return m.copy.Get(key.String(), m.feed.serverNow())
}

// View returns the bucket as it is in memory at one moment. It returns false if the copy was
// dropped meanwhile.
func (m Memory) View() (v copies.View, ok bool) { return m.copy.View(m.feed.serverNow()) }

// Age returns how long ago what is in memory was last known to be current: how old what Get and
// View return can be, at most. Ask before them. It returns false if the copy was never known to be
// current, or was dropped.
//
// Both clocks count, the one that stops while the machine sleeps and the one that can be set: the
// age is never less than either of them says.
func (m Memory) Age() (time.Duration, bool) {
	at := m.feed.currentAt.Load()
	if at == nil {
		return 0, false
	}
	now := m.feed.now()
	return max(0, now.Sub(*at), now.Round(0).Sub(at.Round(0))), true
}

// Refresh asks for a question to the stream, whose answer will show that the copy is current.
func (m Memory) Refresh() { m.feed.source.requestVerify() }
