package bound

import "time"

// expire frees the holds whose lease has ended. b.mu must be held.
func (b *Bound) expire() {
	since := time.Now().Add(-b.spec.Lease).UnixNano()
	for h := b.last; h != nil && h.progress.Load() <= since; h = b.last {
		b.resize(h, 0)
		b.unlist(h)
		h.bound.Store(nil)
	}
}

// watchLeases starts a timer that frees holds when their leases end and grants claims that wait, as
// long as there are any. b.mu must be held.
func (b *Bound) watchLeases() {
	if b.spec.Lease <= 0 || b.watching || b.length == 0 || b.last == nil {
		return
	}
	b.watching = true
	oldest := time.Unix(0, b.last.progress.Load())
	time.AfterFunc(time.Until(oldest.Add(b.spec.Lease)), func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.watching = false
		b.expire()
		b.grantWaiting()
		b.watchLeases()
	})
}
