package main

import (
	"context"
	"runtime"
	"testing"
)

func TestGCPercentKeepsTheFloorAndNoMore(t *testing.T) {
	for _, live := range []uint64{
		0, 1 << 20, 5 << 20, 20 << 20, heapFloor / 2, heapFloor, heapRoom,
	} {
		percent := gcPercent(live)
		if percent < 100 {
			t.Errorf("%d bytes in use: %d %% collects more often than Go does", live, percent)
		}
		collectedAt := live + live*uint64(percent)/100
		if percent > 100 && collectedAt > heapFloor {
			t.Errorf("%d bytes in use: collected at %d bytes, above the floor", live, collectedAt)
		}
	}
}

func TestGCPercentBoundsTheGarbageOfALargeHeap(t *testing.T) {
	for _, live := range []uint64{heapRoom + 1, 200 << 20, 1 << 30, 1 << 40} {
		garbage := live / 100 * uint64(gcPercent(live))
		if garbage > max(heapRoom, live/4) || garbage < heapRoom/2 {
			t.Errorf("%d bytes in use: collected with %d bytes of garbage", live, garbage)
		}
	}
}

func TestEachCollectionIsFollowedByACall(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	called := make(chan struct{}, 100)
	afterEachCollection(ctx, func() { called <- struct{}{} })
	<-called // the first call needs no collection
	for range 3 {
		for waiting := true; waiting; { // an object that is made during a collection outlives it
			select {
			case <-called:
				waiting = false
			default:
				runtime.GC()
			}
		}
	}
	cancel()
}
