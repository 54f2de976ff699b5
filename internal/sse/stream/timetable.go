package stream

import (
	"container/heap"
	"time"
)

// A timetable has the open and full streams of a loop, as a heap with the stream on top that must
// be visited first (see [LoopStream.due]). A stream whose due time changes must be put again. It
// implements [heap.Interface], and keeps the heapIndex of each stream.
type timetable []*LoopStream

// Len returns the number of streams.
func (h timetable) Len() int { return len(h) }

// Less reports whether stream i is due before stream j.
func (h timetable) Less(i, j int) bool { return h[i].due().Before(h[j].due()) }

// Swap exchanges two streams.
func (h timetable) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].heapIndex, h[j].heapIndex = i, j
}

// Push adds a stream at the end. It is for the heap package; see put.
func (h *timetable) Push(x any) {
	s := x.(*LoopStream)
	s.heapIndex = len(*h)
	*h = append(*h, s)
}

// Pop takes out the last stream. It is for the heap package; see popDue.
func (h *timetable) Pop() any {
	last := len(*h) - 1
	s := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	s.heapIndex = notInHeap
	return s
}

// put adds a stream, or moves it to where it belongs now.
func (h *timetable) put(s *LoopStream) {
	if s.heapIndex == notInHeap {
		heap.Push(h, s)
		return
	}
	heap.Fix(h, s.heapIndex)
}

// remove takes out a stream, if it is there.
func (h *timetable) remove(s *LoopStream) {
	if s.heapIndex != notInHeap {
		heap.Remove(h, s.heapIndex)
	}
}

// popDue takes out a stream that is due, and returns nil if there is none.
func (h *timetable) popDue(now time.Time) *LoopStream {
	if len(*h) == 0 || (*h)[0].due().After(now) {
		return nil
	}
	return heap.Pop(h).(*LoopStream)
}

// longWait is the wait of a loop without streams.
const longWait = time.Hour

// wait returns how long it is until a stream is due.
func (h timetable) wait(now time.Time) time.Duration {
	if len(h) == 0 {
		return longWait
	}
	return max(0, h[0].due().Sub(now))
}
