package bound

import "context"

// await queues a claim and waits until it is granted, as the spec says. b.mu must be held, and is
// released.
func (b *Bound) await(ctx context.Context, c *claim) error {
	b.enqueue(c)
	b.grant() // those that wait may wait for shares of their own only
	granted := c.isGranted()
	var err error
	if !granted && (b.spec.Wait <= 0 || b.tooMany(c.hold.owner)) {
		b.dequeue(c)
		err = b.full(c.hold.owner, c.size)
	}
	b.mu.Unlock()
	if granted || err != nil {
		return err
	}
	return b.wait(ctx, c)
}

// tooMany reports whether more claims wait than may, in all or of this owner. b.mu must be held.
func (b *Bound) tooMany(owner string) bool {
	if b.spec.Queue <= 0 {
		return false
	}
	if b.owners != nil && owner != "" && len(b.lines[owner].claims) > max(1, b.spec.Queue/2) {
		return true
	}
	return b.length > b.spec.Queue
}

func (c *claim) isGranted() bool {
	select {
	case <-c.granted:
		return true
	default:
		return false
	}
}
