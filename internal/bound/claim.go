package bound

import "context"

// await queues a claim and waits until it is granted, as the spec says. b.mu must be held, and is
// released.
func (b *Bound) await(ctx context.Context, c *claim) error {
	b.enqueue(c)
	b.grant() // those that wait may wait for shares of their own only
	granted := c.isGranted()
	var refused *FullError
	if ownTooLong := b.lineTooLong(c.hold.owner); !granted &&
		(b.spec.Wait <= 0 || ownTooLong || b.spec.Queue > 0 && b.length > b.spec.Queue) {
		b.dequeue(c)
		refused = b.full(c.hold.owner, c.size)
		refused.OfOwner = refused.OfOwner || ownTooLong
	}
	b.mu.Unlock()
	switch {
	case granted:
		return nil
	case refused != nil:
		return refused
	}
	return b.wait(ctx, c)
}

// lineTooLong reports whether more claims of an owner wait than one owner may have. b.mu must be held.
func (b *Bound) lineTooLong(owner string) bool {
	l := b.lines[owner]
	return l != nil && b.owners != nil && owner != "" && b.spec.Queue > 0 &&
		len(l.claims) > max(1, b.spec.Queue/2)
}

func (c *claim) isGranted() bool {
	select {
	case <-c.granted:
		return true
	default:
		return false
	}
}
