package feed

import (
	"sync/atomic"

	"kvgateway/internal/feed/copies"
)

// CopyStats count what became of the copies in memory.
type CopyStats struct {
	// Loaded counts the copies that were completed.
	Loaded atomic.Uint64
	// Checks counts the comparisons with the store that found no difference.
	Checks atomic.Uint64
	// Mismatches counts those that found one.
	Mismatches atomic.Uint64
	// drops counts the copies that were dropped, in the order of droppedReasons.
	drops [len(droppedReasons)]atomic.Uint64
}

// EachDrop calls visit with each reason for which copies are dropped, and how often they were.
func (s *CopyStats) EachDrop(visit func(reason Dropped, count uint64)) {
	for i, reason := range droppedReasons {
		visit(reason, s.drops[i].Load())
	}
}

// countDrop counts a copy that was dropped.
func (s *CopyStats) countDrop(why Dropped) {
	for i, reason := range droppedReasons {
		if reason == why {
			s.drops[i].Add(1)
		}
	}
}

// MemorySize returns how many copies can be read, and how large all copies are, those that are
// being loaded included.
func (h *Hub) MemorySize() (complete int, size copies.Size) {
	for _, f := range h.allFeeds() {
		f.mu.Lock()
		if f.memory.complete {
			complete++
		}
		if f.memory.copy != nil {
			s := f.memory.copy.Size()
			size.Bytes += s.Bytes
			size.Entries += s.Entries
			size.Values += s.Values
		}
		f.mu.Unlock()
	}
	return complete, size
}
