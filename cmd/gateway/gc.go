package main

import (
	"context"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

// heapFloor is how large the heap may grow before it is collected, however little of it is in use. With Go's own rule a gateway
// that holds 5 MB collects at 10, some forty times a second under load: that was 18 % of the CPU of a GET (measured).
// A floor of 32 or 64 MiB saves nothing more that shows (1.00 in eight pairs of GET and ten of PUT), and what accepting a thousand streams
// leaves behind would fill it.
const heapFloor = 24 << 20

// heapRoom is how much garbage there may be beside a large heap before it is collected, or a quarter
// of the heap if that is more. With Go's own rule, which lets the heap double, a gateway that holds
// all that its bounds allow takes twice that: with 200 stuck streams of 6 MB each it took 726 MiB.
const heapRoom = 64 << 20

// keepHeapFloor adjusts the collector's pace to the heap in use after each collection, until ctx ends: relaxed while that is small,
// Go's own in between, and stricter when it is large. At the pace for a small heap one that grows would go far beyond the floor: ten thousand streams that
// came within a second left 40 MB behind. An operator's GOGC is left alone; GOMEMLIMIT holds as ever.
func keepHeapFloor(ctx context.Context) {
	if os.Getenv("GOGC") != "" {
		return
	}
	set := 100
	afterEachCollection(ctx, func() {
		if percent := gcPercent(liveHeap()); percent > set+set/4 || percent < set-set/4 || percent == 100 && set != 100 {
			set = percent
			debug.SetGCPercent(percent)
		}
	})
}

// afterEachCollection calls do at once and, one call at a time, soon after every collection until ctx ends.
func afterEachCollection(ctx context.Context, do func()) {
	type garbage struct{ _ [16]byte } // a smaller one could share its slot with others, and outlive the collection
	var again func(struct{})
	again = func(struct{}) {
		if ctx.Err() == nil {
			do()
			runtime.AddCleanup(new(garbage), again, struct{}{})
		}
	}
	again(struct{}{})
}

// gcPercent returns the GOGC value with which a heap of which that much is in use is collected at
// heapFloor, at twice its size, or when there are heapRoom of garbage, whatever fits its size.
func gcPercent(live uint64) int {
	const least = 4 << 20 // the runtime's own floor
	live = max(live, least)
	switch {
	case live > heapRoom:
		return max(25, int(heapRoom*100/live))
	case live >= heapFloor/2:
		return 100
	}
	return int((heapFloor - live) * 100 / live)
}

// liveHeap is what the last collection found in use, in bytes.
func liveHeap() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}
