package bound

import (
	"context"
	"slices"
	"time"
)

// A line has the claims of one owner that wait, the oldest first. It is never empty.
type line struct {
	// owner is the owner, or the part of an owner, to which the line belongs.
	owner string
	// claims are the claims that wait.
	claims []*claim
}

// A claim waits for room. Claims are used again, since under load most requests wait for a moment.
type claim struct {
	// hold is the hold that gets the room.
	hold *Hold
	// size is how much is claimed.
	size int64
	// extends says that the hold has something already, and gets size in addition.
	extends bool
	// isGranted says that the hold has what was claimed. The mutex of the bound guards it.
	isGranted bool
	// granted receives a token when the claim is granted.
	granted chan struct{}
	// timer fires when the claim has to look for a hold to evict, and at the end of the wait.
	timer *time.Timer
}

// maxSpare is how many claims a bound keeps for reuse.
const maxSpare = 256

// newClaim returns a claim, which may be a spare one. b.mu must be held.
func (b *Bound) newClaim(h *Hold, size int64) *claim {
	last := len(b.spare) - 1
	if last < 0 {
		return &claim{hold: h, size: size,
			granted: make(chan struct{}, 1), timer: time.NewTimer(time.Hour)}
	}
	c := b.spare[last]
	b.spare = b.spare[:last]
	c.hold, c.size, c.extends, c.isGranted = h, size, false, false
	return c
}

// recycle keeps a claim that waits no longer for reuse.
func (b *Bound) recycle(c *claim) {
	c.timer.Stop()
	b.mu.Lock()
	defer b.mu.Unlock()
	c.hold = nil
	if len(b.spare) < maxSpare {
		b.spare = append(b.spare, c)
	}
}

// await puts a claim into the line of its owner and waits until it is granted, as the spec says.
// b.mu must be held when it is called, and is not when it returns. The claim is recycled.
func (b *Bound) await(ctx context.Context, c *claim) error {
	defer b.recycle(c)
	b.enqueue(c)
	if b.spec.Lease > 0 {
		b.expire()
	}
	b.grantWaiting() // the others may wait for shares of their own only
	b.watchLeases()
	var refused *FullError
	if own := b.lineIsTooLong(c.hold.owner); !c.isGranted &&
		(own || b.spec.Wait <= 0 || b.spec.Queue > 0 && b.length > b.spec.Queue) {
		b.dequeue(c)
		refused = b.full(c.hold.owner, c.size)
		refused.OfOwner = refused.OfOwner || own
	}
	b.mu.Unlock()
	if refused != nil {
		return refused
	}
	if b.spec.Lease <= 0 { // a claim for a turn does not pause one
		turn := TurnOf(ctx)
		turn.Pause()
		defer turn.Resume()
	}
	return b.wait(ctx, c)
}

// lineIsTooLong reports whether more claims of an owner wait than the spec allows. b.mu must be
// held.
func (b *Bound) lineIsTooLong(owner string) bool {
	l := b.lines[owner]
	return l != nil && owner != "" && b.spec.OwnerQueue > 0 && len(l.claims) > b.spec.OwnerQueue
}

const (
	// lookEvery is how often a claim that waits looks for a hold that can be evicted, if few others
	// wait.
	lookEvery = 50 * time.Millisecond
	// lookers is how many claims look so often. If more wait, each looks less often, so that all of
	// them together look as often as these.
	lookers = 16
)

// wait waits until a claim in a line is granted.
func (b *Bound) wait(ctx context.Context, c *claim) error {
	end := time.Now().Add(b.spec.Wait)
	for {
		look := b.evictFor(c)
		pause := time.Until(end)
		if pause <= 0 {
			return b.giveUp(c, nil)
		}
		c.timer.Reset(min(pause, look))
		select {
		case <-c.granted:
			return nil
		case <-c.timer.C:
		case <-ctx.Done():
			return b.giveUp(c, ctx.Err())
		}
	}
}

// giveUp ends the wait of a claim. It returns err or, if that is nil, a *[FullError]; and nil if
// the claim was granted at this very moment.
func (b *Bound) giveUp(c *claim, err error) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if c.isGranted {
		<-c.granted
		return nil
	}
	if err == nil {
		err = b.full(c.hold.owner, c.size)
	}
	b.dequeue(c)
	b.grantWaiting() // the claim may have been in the way of others
	return err
}

// grantWaiting grants the claims that fit, one of each line in turn. A claim for which the whole
// bound has no room holds up all lines, since large claims would starve otherwise. A claim beyond
// the share of its owner holds up its own line only. Claims that may use the reserve are never held
// up. b.mu must be held.
func (b *Bound) grantWaiting() {
	b.grantSmall()
	for skipped := 0; skipped < len(b.rotation); {
		l := b.rotation[0]
		c := l.claims[0]
		if b.fitsOwner(l.owner, c.size) && b.used+c.size > b.room(c.size) {
			return
		}
		b.rotation = append(b.rotation[1:], l) // the other lines come first now
		if !b.fitsOwner(l.owner, c.size) {
			skipped++
			continue
		}
		skipped = 0
		b.grant(c)
	}
}

// grantSmall grants the claims that fit into the reserve, whatever the order of the lines. b.mu
// must be held.
func (b *Bound) grantSmall() {
	if b.small == 0 {
		return
	}
	for _, l := range slices.Clone(b.rotation) {
		for _, c := range slices.Clone(l.claims) {
			if b.isSmall(c.size) && b.fits(l.owner, c.size) {
				b.grant(c)
			}
		}
	}
}

// grant grants a claim. b.mu must be held.
func (b *Bound) grant(c *claim) {
	b.dequeue(c)
	if c.extends {
		b.resize(c.hold, c.hold.size+c.size)
	} else {
		b.assign(c.hold, c.size)
	}
	c.isGranted = true
	c.granted <- struct{}{}
}

// enqueue puts a claim into the line of its owner. A claim that extends a hold comes first there,
// since what the hold has is of no use until the claim is granted. b.mu must be held.
func (b *Bound) enqueue(c *claim) {
	owner := c.hold.owner
	l := b.lines[owner]
	if l == nil {
		l = &line{owner: owner}
		b.lines[owner] = l
		b.rotation = append(b.rotation, l)
	}
	if c.extends {
		l.claims = slices.Insert(l.claims, 0, c)
	} else {
		l.claims = append(l.claims, c)
	}
	b.length++
	if b.isSmall(c.size) {
		b.small++
	}
}

// dequeue takes a claim out of the line of its owner. b.mu must be held.
func (b *Bound) dequeue(c *claim) {
	l := b.lines[c.hold.owner]
	if l.claims[0] == c { // usually, when a claim is granted
		l.claims[0], l.claims = nil, l.claims[1:]
	} else {
		l.claims = slices.DeleteFunc(l.claims, func(other *claim) bool { return other == c })
	}
	b.length--
	if b.isSmall(c.size) {
		b.small--
	}
	if len(l.claims) == 0 {
		delete(b.lines, l.owner)
		b.rotation = slices.DeleteFunc(b.rotation, func(other *line) bool { return other == l })
	}
}
