package handlers

import (
	"sync"
	"time"

	"kvgateway/internal/bound"
)

// A bodyHold is something that a body holds and can lose to another request, but only while the
// gateway waits for the client of the body, or for room, as its awaits say. Else an import whose
// lines NATS stores slowly would lose its place although its client is fast
// (TestBodiesAreKeptWhileTheStoreIsSlow).
//
// There can be two waits at a time: one goroutine reads an import, and another waits until the
// client reads the report.
type bodyHold struct {
	bound.Hold
	// mu guards the fields below.
	mu sync.Mutex
	// waits is how many waits are under way.
	waits int
	// evict is what the bound calls to have the hold given back. It is set with the first wait.
	evict func()
}

// await notes that a wait begins, before which the client was idle for some time already. Until
// resume, the hold can be evicted.
func (h *bodyHold) await(evict func(), idle time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.evict = evict
	if h.waits++; h.waits == 1 {
		h.Evictable(evict)
		h.Idle(idle)
	}
}

// resume notes that a wait is over.
func (h *bodyHold) resume() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.waits--; h.waits == 0 {
		h.Evictable(nil)
	}
}

// taken notes that the hold, which held nothing, holds something now. There may be a wait already.
func (h *bodyHold) taken() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.waits > 0 {
		h.Evictable(h.evict)
	}
}
