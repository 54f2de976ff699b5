package main

import (
	"context"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync/atomic"
)

// heapFloor is how large the heap may grow before it is collected, however little of it is in use.
// With Go's own rule a gateway that holds 5 MB is collected at 10 MB, some forty times a second
// under load, which was 18 % of the CPU of a GET. A floor of 32 MiB saves nothing more that shows
// (1.00 in eight pairs of GET and ten of PUT), and what accepting streams leaves behind would fill
// it: with 32 MiB the first thousand streams took 8 KB each, with 24 MiB they take 3 to 10 KB. (All
// measured.)
const heapFloor = 24 << 20

// heapRoom is how much garbage there may be beside a large heap before it is collected; a quarter
// of the heap if that is more. Go's own rule lets the heap double, so a gateway that holds all that
// its bounds allow would take twice as much: with 200 stuck streams of 6 MB each it took 726 MiB.
const heapRoom = 64 << 20

// keepHeapFloor adjusts the pace of the collector after each collection, until ctx ends: it is
// relaxed while the heap in use is small, Go's own in between, and stricter when the heap is large.
// It looks after every collection, since a heap that grows at the pace for a small one would go far
// beyond the floor: when it looked once a second, ten thousand streams that came at once left 40 MB
// of garbage, 3 of 7 KB for each. If the operator has set GOGC, it is left alone. GOMEMLIMIT holds
// in any case.
func keepHeapFloor(ctx context.Context) {
	if os.Getenv("GOGC") != "" {
		return
	}
	set := 100
	afterEachCollection(ctx, func() {
		percent := gcPercent(liveHeap())
		if percent > set+set/4 || percent < set-set/4 || percent == 100 && set != 100 {
			set = percent
			debug.SetGCPercent(percent)
		}
	})
}

// afterEachCollection calls do at once and, one call at a time, soon after every collection until
// ctx ends.
func afterEachCollection(ctx context.Context, do func()) {
	// A smaller object could share its slot with others, and outlive the collection.
	type garbage struct{ _ [16]byte }
	var again func(struct{})
	again = func(struct{}) {
		if ctx.Err() == nil {
			do()
			runtime.AddCleanup(new(garbage), again, struct{}{})
		}
	}
	again(struct{}{})
}

// watchMemory returns a function that reports whether the last collection has found more in use
// than limit bytes beside what was in use at the start, such as the keys of a large store, and
// beside what stored returns, for buckets in memory. It looks after each collection until ctx ends.
func watchMemory(ctx context.Context, limit int64, stored func() int64) (isShort func() bool) {
	if liveHeap() > heapFloor {
		runtime.GC() // the last collection may have come before half of it was there
	}
	// #nosec G115 -- bytes of memory are far below 2^63
	atStart := int64(liveHeap())
	var short atomic.Bool
	collected := make(chan struct{}, 1)
	afterEachCollection(ctx, func() { // it must not wait for anything
		select {
		case collected <- struct{}{}:
		default:
		}
	})
	go func() {
		for {
			select {
			case <-ctx.Done():
				return
			case <-collected:
				// #nosec G115 -- bytes of memory are far below 2^63
				short.Store(int64(liveHeap())-atStart-stored() > limit)
			}
		}
	}()
	return short.Load
}

// gcPercent returns the value of GOGC for a heap of which live bytes are in use. A small heap is
// then collected at heapFloor, one of medium size at twice its size, and a large one when there are
// heapRoom of garbage.
func gcPercent(live uint64) int {
	const least = 4 << 20 // the runtime's own floor
	live = max(live, least)
	switch {
	case live > heapRoom:
		return max(25, int(heapRoom*100/live))
	case live >= heapFloor/2:
		return 100
	}
	// #nosec G115 -- bytes of memory are far below 2^63
	return int((heapFloor - live) * 100 / live)
}

// liveHeap returns how many bytes the last collection has found in use.
func liveHeap() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}
