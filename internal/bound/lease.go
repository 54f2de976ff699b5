package bound

import "time"

// drainTicks is how many times in a lease a bound that drains looks for claims to grant.
const drainTicks = 1000

// expire frees the holds whose lease has ended, or what a bound that drains gives back by now. It
// has no effect on a bound without a lease. b.mu must be held.
func (b *Bound) expire() {
	switch {
	case b.spec.Lease <= 0:
		return
	case b.spec.Drains:
		b.drain()
		return
	}
	since := now() - b.spec.Lease
	for h := b.last; h != nil && h.lastProgress() <= since; h = b.last {
		b.resize(h, 0)
		b.unlist(h)
		h.bound.Store(nil)
	}
}

// drain gives back what is due since the last time, from the oldest holds. b.mu must be held.
func (b *Bound) drain() {
	at := now()
	due := int64(float64(b.spec.Limit) * float64(at-b.drained) / float64(b.spec.Lease))
	if due == 0 {
		return // and the time still counts
	}
	b.drained = at
	for h := b.last; h != nil && due > 0; h = b.last {
		part := min(due, h.size)
		due -= part
		b.resize(h, h.size-part)
		if h.size == 0 {
			b.unlist(h)
			h.bound.Store(nil)
		}
	}
}

// watchLeases starts a timer that frees holds when their leases end and grants claims that wait, as
// long as there are any. b.mu must be held.
func (b *Bound) watchLeases() {
	if b.spec.Lease <= 0 || b.watching || b.waiting.length == 0 || b.last == nil {
		return
	}
	b.watching = true
	pause := b.last.lastProgress() + b.spec.Lease - now()
	if b.spec.Drains {
		pause = b.spec.Lease / drainTicks
	}
	time.AfterFunc(pause, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.watching = false
		b.expire()
		b.grantWaiting()
		b.watchLeases()
	})
}
