package sse

import (
	"container/heap"
	"time"
)

// A timetable has the streams of a loop by the time at which they have to be looked at: a heap.
type timetable []*Taken

// due is when a stream must be looked at.
func (t *Taken) due() time.Time {
	if !t.bound.IsZero() {
		return t.bound
	}
	return t.clock.due()
}

func (h timetable) Len() int           { return len(h) }
func (h timetable) Less(i, j int) bool { return h[i].due().Before(h[j].due()) }
func (h timetable) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].place, h[j].place = i, j
}

func (h *timetable) Push(x any) {
	t := x.(*Taken)
	t.place = len(*h)
	*h = append(*h, t)
}

func (h *timetable) Pop() any {
	last := len(*h) - 1
	t := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	t.place = -1
	return t
}

// put enters a stream, or moves it to where it belongs now.
func (h *timetable) put(t *Taken) {
	if t.place < 0 {
		heap.Push(h, t)
		return
	}
	heap.Fix(h, t.place)
}

func (h *timetable) remove(t *Taken) {
	if t.place >= 0 {
		heap.Remove(h, t.place)
	}
}

// next takes out a stream whose time has come; nil if there is none.
func (h *timetable) next(now time.Time) *Taken {
	if len(*h) == 0 || (*h)[0].due().After(now) {
		return nil
	}
	return heap.Pop(h).(*Taken)
}

const longWait = time.Hour

// wait is how long until the next stream's time.
func (h timetable) wait(now time.Time) time.Duration {
	if len(h) == 0 {
		return longWait
	}
	return max(0, h[0].due().Sub(now))
}
