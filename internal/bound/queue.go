package bound

import (
	"context"
	"time"
)

// A claim waits for room. It is used again, since under load most requests wait for a moment.
type claim struct {
	hold    *Hold
	size    int64
	extends bool // the hold has something already, and is to have size more
	has     bool // the hold has what was claimed; guarded by the bound's mutex
	// promised is what is held by those that were evicted for the claim, and saved what they have
	// given back already, which is kept for it. serial tells its uses apart. The bound's mutex
	// guards them.
	promised, saved int64
	serial          uint64
	granted         chan struct{} // gets a token then
	timer           *time.Timer   // for looking after holds to evict, and for the end of the wait

	among      ticket // in the queue of all claims
	amongSmall ticket // in that of the claims that may use the reserve
}

// maxSpare is how many claims a bound keeps to use them again.
const maxSpare = 256

// claim makes a claim. b.mu must be held.
func (b *Bound) claim(h *Hold, size int64) *claim {
	last := len(b.spare) - 1
	if last < 0 {
		c := &claim{hold: h, size: size,
			granted: make(chan struct{}, 1), timer: time.NewTimer(time.Hour)}
		c.among.claim, c.amongSmall.claim = c, c
		return c
	}
	c := b.spare[last]
	b.spare = b.spare[:last]
	c.hold, c.size, c.extends, c.has = h, size, false, false
	return c
}

// unclaim keeps a claim that does not wait any more, to be used again.
func (b *Bound) unclaim(c *claim) {
	c.timer.Stop()
	b.mu.Lock()
	defer b.mu.Unlock()
	c.hold = nil
	if len(b.spare) < maxSpare {
		b.spare = append(b.spare, c)
	}
}

// await queues a claim and waits until it is granted, as the spec says. b.mu must be held, and is
// released.
func (b *Bound) await(ctx context.Context, c *claim) error {
	defer b.unclaim(c)
	b.enqueue(c)
	if b.spec.Lease > 0 {
		b.expire()
	}
	b.grant() // those that wait may wait for shares of their own only
	b.watchLeases()
	var refused *FullError
	if own := b.lineIsTooLong(c.hold.owner); !c.has &&
		(own || b.spec.Wait <= 0 || b.spec.Queue > 0 && b.waiting.length > b.spec.Queue) {
		b.dequeue(c)
		refused = b.full(c.hold.owner, c.from(), c.to())
		refused.OfOwner = refused.OfOwner || own
	}
	b.mu.Unlock()
	if refused != nil {
		return refused
	}
	if b.spec.Lease <= 0 { // a bound of turns is no reason to pause one
		turn := TurnOf(ctx)
		turn.Pause()
		defer turn.Resume()
	}
	return b.wait(ctx, c)
}

// WaitingOf returns how many claims wait in the line of an owner, or of a part of one.
func (b *Bound) WaitingOf(owner string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	if l := b.waiting.lines[owner]; l != nil {
		return l.length
	}
	return 0
}

// lineIsTooLong reports whether more claims of an owner wait than may. b.mu must be held.
func (b *Bound) lineIsTooLong(owner string) bool {
	l := b.waiting.lines[owner]
	return l != nil && owner != "" && b.spec.OwnerQueue > 0 && l.length > b.spec.OwnerQueue
}

// lookEvery is how often the first claim of a line looks for a hold that can be evicted, if there
// are few lines. Where there are many, each looks less often, and all of them together as often as
// lookers do. The other claims look whether they have become the first, every lookAtLeast or more
// often.
const (
	lookEvery   = 50 * time.Millisecond
	lookAtLeast = 500 * time.Millisecond
	lookers     = 16
)

// wait waits until a claim that is queued is granted.
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

// giveUp ends the wait of a claim, with the context's error or, if that is nil, a *[FullError]; but
// with nil if the claim was granted in this moment.
func (b *Bound) giveUp(c *claim, err error) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if c.has {
		<-c.granted
		return nil
	}
	if err == nil {
		err = b.full(c.hold.owner, c.from(), c.to())
	}
	b.dequeue(c)
	b.grant() // it may have been in the way of others
	return err
}

// grant serves the claims that fit, owner by owner. A claim that does not fit in the whole holds up
// all that wait, or large claims would starve; one beyond its owner's share holds up its line only.
// Claims that may use the reserve are not held up. b.mu must be held.
func (b *Bound) grant() {
	b.grantFrom(&b.small, func(c *claim) bool { return b.fitsReserve(c.from(), c.to()) })
	b.grantFrom(&b.waiting, func(*claim) bool { return true })
}

// from and to are the sizes of the claim's hold, before and after it is granted.
func (c *claim) from() int64 {
	if c.extends {
		return c.hold.size
	}
	return 0
}

func (c *claim) to() int64 { return c.from() + c.size }

// grantFrom serves the claims of one of the bound's queues, as long as there may be room for them.
// b.mu must be held.
func (b *Bound) grantFrom(q *queue, may func(*claim) bool) {
	for skipped := 0; skipped < len(q.lines); {
		c := q.first()
		own := b.fitsOwner(c.hold.owner, c.from(), c.to())
		if own && (!may(c) || b.missing(c.from(), c.to(), c.saved) > 0) {
			return
		}
		q.last(q.turns.next) // its next turn comes after the others'
		if !own {
			skipped++
			continue
		}
		skipped = 0
		b.serve(c)
	}
}

// serve grants a claim. b.mu must be held.
func (b *Bound) serve(c *claim) {
	b.dequeue(c)
	if c.extends {
		b.resize(c.hold, c.to())
	} else {
		b.give(c.hold, c.size)
	}
	c.has = true
	c.granted <- struct{}{}
}

// enqueue puts a claim into its owner's line. One that extends a hold goes first in it: until it is
// granted, what the hold has already is of no use. b.mu must be held.
func (b *Bound) enqueue(c *claim) {
	b.waiting.join(&c.among, c.hold.owner, c.extends)
	if b.isSmall(c.to()) {
		b.small.join(&c.amongSmall, c.hold.owner, c.extends)
	}
}

// dequeue takes a claim out of its owner's line, and what is kept for it. b.mu must be held.
func (b *Bound) dequeue(c *claim) {
	b.promised -= c.promised
	b.saved -= c.saved
	c.promised, c.saved = 0, 0
	c.serial++
	b.waiting.leave(&c.among)
	b.small.leave(&c.amongSmall)
}
