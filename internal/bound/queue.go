package bound

import (
	"context"
	"math"
	"time"
)

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
	// promised is how much the holds still have that were evicted for the claim, and saved is what
	// they have given back, which is kept for it. The mutex of the bound guards both.
	promised, saved int64
	// serial tells one use of the claim from the next. The mutex of the bound guards it.
	serial uint64
	// holdsUpSince is when the claim began to hold up the lines behind its own; 0 if it does not.
	// The mutex of the bound guards it.
	holdsUpSince time.Duration
	// granted receives a token when the claim is granted.
	granted chan struct{}
	// timer fires when the claim has to look for holds to evict, and at the end of the wait.
	timer *time.Timer
	// ticket is the place in the queue of all claims that wait, and smallTicket the one in the
	// queue of those that may use the reserve.
	ticket, smallTicket ticket
}

// from returns the size of the hold before the claim is granted. b.mu must be held.
func (c *claim) from() int64 {
	if c.extends {
		return c.hold.size
	}
	return 0
}

// to returns the size of the hold after the claim is granted. b.mu must be held.
func (c *claim) to() int64 { return c.from() + c.size }

// maxSpare is how many claims a bound keeps for reuse.
const maxSpare = 256

// newClaim returns a claim, which may be a spare one. b.mu must be held.
func (b *Bound) newClaim(h *Hold, size int64) *claim {
	last := len(b.spare) - 1
	if last < 0 {
		c := &claim{hold: h, size: size,
			granted: make(chan struct{}, 1), timer: time.NewTimer(time.Hour)}
		c.ticket.claim, c.smallTicket.claim = c, c
		return c
	}
	c := b.spare[last]
	b.spare = b.spare[:last]
	c.hold, c.size, c.extends, c.isGranted, c.holdsUpSince = h, size, false, false, 0
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
	b.expire()
	b.grantWaiting() // the others may wait for shares of their own only
	b.watchLeases()
	var refused *FullError
	if own := b.lineIsTooLong(c.hold.owner); !c.isGranted &&
		(own || b.spec.Wait <= 0 || b.spec.Queue > 0 && b.waiting.length > b.spec.Queue) {
		b.dequeue(c)
		refused = b.full(c.hold.owner, c.from(), c.to())
		refused.OfOwner = refused.OfOwner || own
	}
	b.mu.Unlock()
	if refused != nil {
		return refused
	}
	if turn := TurnOf(ctx); turn.waitsFor(b) {
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

// lineIsTooLong reports whether more claims of an owner wait than the spec allows. b.mu must be
// held.
func (b *Bound) lineIsTooLong(owner string) bool {
	l := b.waiting.lines[owner]
	return l != nil && owner != "" && b.spec.OwnerQueue > 0 && l.length > b.spec.OwnerQueue
}

const (
	// lookEvery is how often the first claim of a line looks for holds that can be evicted, if
	// there are few lines.
	lookEvery = 50 * time.Millisecond
	// lookers is how many of them look so often. If there are more lines, each looks less often, so
	// that all of them together look as often as these.
	lookers = 16
	// lookAtLeast is how often, at least, the other claims look whether they have become the first
	// of their line.
	lookAtLeast = 500 * time.Millisecond
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
		err = b.full(c.hold.owner, c.from(), c.to())
	}
	b.passOver(c) // or the next claim of its line would be in the way of others at once
	b.dequeue(c)
	b.grantWaiting()
	return err
}

// maxHoldUp is how long a claim for which the whole bound has no room holds up the other lines.
// Large claims would starve if it did not. But other claims for which there is room must not wait
// for one that may never fit: three clients with claims of a few megabytes made a GET of 1 MB take
// 0.9 s while 6 MiB were free.
const maxHoldUp = lookEvery

// grantWaiting grants the claims that fit, one of each line in turn. A claim for which the whole
// bound has no room holds up the other lines for maxHoldUp; then its line is the last. A claim
// beyond the share of its owner holds up its own line only. Claims for which the reserve has room
// are not held up by the larger ones. b.mu must be held.
func (b *Bound) grantWaiting() {
	if b.spec.Drains {
		b.grantToLeast()
		return
	}
	b.grantFrom(&b.small, func(c *claim) bool { return b.fitsReserve(c.from(), c.to()) })
	b.grantFrom(&b.waiting, func(*claim) bool { return true })
}

// grantToLeast grants claims while there is room, each time one of the owner that holds least. Of
// equal ones the line comes first that was served longest ago. b.mu must be held.
func (b *Bound) grantToLeast() {
	for b.waiting.length > 0 {
		least, held := (*line)(nil), int64(math.MaxInt64)
		for l := b.waiting.rotation.next; l != &b.waiting.rotation; l = l.next {
			if n := b.owners[whole(l.owner)].all; n < held {
				least, held = l, n
			}
		}
		if !b.hasDrained(least.owner) {
			return
		}
		b.waiting.moveToEnd(least)
		b.grant(least.end.next.claim)
	}
}

// grantFrom grants the claims of one of the bound's queues, one of each line in turn, until it
// comes to a claim that is not eligible or for which the whole bound has no room. Lines whose
// owners have no room in their shares are passed over. b.mu must be held.
func (b *Bound) grantFrom(q *queue, eligible func(*claim) bool) {
	for skipped := 0; skipped < len(q.lines); {
		c := q.first()
		own := b.fitsOwner(c.hold.owner, c.from(), c.to())
		fits := own && eligible(c) && b.missing(c.from(), c.to(), c.saved) <= 0
		if own && !fits && c.holdsUp() {
			return
		}
		c.holdsUpSince = 0
		q.moveToEnd(q.rotation.next) // the other lines come first now
		if !fits {
			skipped++
			continue
		}
		skipped = 0
		b.grant(c)
	}
}

// holdsUp reports whether a claim that does not fit, and is the first of all, may hold up the other
// lines still. It is asked again when the claim looks for holds to evict. b.mu must be held.
func (c *claim) holdsUp() bool {
	if c.holdsUpSince == 0 {
		c.holdsUpSince = now()
	}
	return now()-c.holdsUpSince < maxHoldUp
}

// passOver makes the line of a claim the last of the rotation. b.mu must be held.
func (b *Bound) passOver(c *claim) {
	if c.ticket.line != nil {
		b.waiting.moveToEnd(c.ticket.line)
	}
	if c.smallTicket.line != nil {
		b.small.moveToEnd(c.smallTicket.line)
	}
}

// grant grants a claim. b.mu must be held.
func (b *Bound) grant(c *claim) {
	b.dequeue(c)
	if c.extends {
		b.resize(c.hold, c.to())
	} else {
		b.assign(c.hold, c.size)
	}
	c.isGranted = true
	c.granted <- struct{}{}
}

// enqueue puts a claim into the line of its owner. A claim that extends a hold comes first there,
// since what the hold has is of no use until the claim is granted. b.mu must be held.
func (b *Bound) enqueue(c *claim) {
	b.waiting.join(&c.ticket, c.hold.owner, c.extends)
	if b.isSmall(c.to()) {
		b.small.join(&c.smallTicket, c.hold.owner, c.extends)
	}
}

// dequeue takes a claim out of the line of its owner. What was saved for it is there for all again.
// b.mu must be held.
func (b *Bound) dequeue(c *claim) {
	b.promised -= c.promised
	b.saved -= c.saved
	c.promised, c.saved = 0, 0
	c.serial++
	b.waiting.leave(&c.ticket)
	b.small.leave(&c.smallTicket)
}
