package bound

import "time"

// A bound with a lease is one of how much is begun at once: a hold counts for the time of its lease
// at most, since what then goes on mostly waits for something else.

// expire lets holds count no more that have had their lease. b.mu must be held.
func (b *Bound) expire() {
	since := now() - b.spec.Lease
	for h := b.last; h != nil && h.stalledSince() <= since; h = b.last {
		b.resize(h, 0)
		b.unlist(h)
		h.bound.Store(nil)
	}
}

// watchLeases serves the claims that wait when leases are over, as long as any wait. b.mu must be
// held.
func (b *Bound) watchLeases() {
	if b.spec.Lease <= 0 || b.watching || b.waiting.length == 0 || b.last == nil {
		return
	}
	b.watching = true
	time.AfterFunc(b.last.stalledSince()+b.spec.Lease-now(), func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.watching = false
		b.expire()
		b.grant()
		b.watchLeases()
	})
}
