package bound

import "time"

// expire frees the holds whose lease has ended. b.mu must be held.
func (b *Bound) expire() {
	since := now() - b.spec.Lease
	for h := b.last; h != nil && h.lastProgress() <= since; h = b.last {
		b.resize(h, 0)
		b.unlist(h)
		h.bound.Store(nil)
	}
}

// watchLeases starts a timer that frees holds when their leases end and grants claims that wait, as
// long as there are any. b.mu must be held.
func (b *Bound) watchLeases() {
	if b.spec.Lease <= 0 || b.watching || b.waiting.length == 0 || b.last == nil {
		return
	}
	b.watching = true
	time.AfterFunc(b.last.lastProgress()+b.spec.Lease-now(), func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.watching = false
		b.expire()
		b.grantWaiting()
		b.watchLeases()
	})
}
