package bound

import (
	"context"
	"slices"
	"time"
)

// A line has the claims of one owner that wait, the oldest first.
type line struct {
	owner  string
	claims []*claim
}

// A claim waits for room. It is used again, since under load most requests wait for a moment.
type claim struct {
	hold    *Hold
	size    int64
	has     bool          // the hold has what was claimed; guarded by the bound's mutex
	granted chan struct{} // gets a token then
	timer   *time.Timer   // for looking after holds to evict, and for the end of the wait
}

// maxSpare is how many claims a bound keeps to use them again.
const maxSpare = 256

// claim makes a claim. b.mu must be held.
func (b *Bound) claim(h *Hold, size int64) *claim {
	last := len(b.spare) - 1
	if last < 0 {
		return &claim{hold: h, size: size,
			granted: make(chan struct{}, 1), timer: time.NewTimer(time.Hour)}
	}
	c := b.spare[last]
	b.spare = b.spare[:last]
	c.hold, c.size, c.has = h, size, false
	return c
}

// unclaim keeps a claim that does not wait any more, to be used again.
func (b *Bound) unclaim(c *claim) {
	c.timer.Stop()
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.spare) < maxSpare {
		b.spare = append(b.spare, c)
	}
}

// lookEvery is how often a claim that waits looks for a hold that can be evicted.
const lookEvery = 50 * time.Millisecond

func (b *Bound) wait(ctx context.Context, c *claim) error {
	end := time.Now().Add(b.spec.Wait)
	for {
		pause := time.Until(end)
		if pause <= 0 {
			return b.giveUp(c, nil)
		}
		if b.spec.Patience > 0 {
			pause = min(pause, lookEvery)
		}
		c.timer.Reset(pause)
		select {
		case <-c.granted:
			return nil
		case <-c.timer.C:
			b.evictFor(c)
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
		err = b.full(c.hold.owner, c.size)
	}
	b.dequeue(c)
	b.grant() // it may have been in the way of others
	return err
}

// grant serves the claims that fit, owner by owner. A claim that does not fit in the whole holds up
// all that wait, or large claims would starve; one beyond its owner's share holds up its line only.
// b.mu must be held.
func (b *Bound) grant() {
	for skipped := 0; skipped < len(b.turns); {
		l := b.turns[0]
		c := l.claims[0]
		if b.fitsOwner(l.owner, c.size) && b.used+c.size > b.spec.Limit {
			return
		}
		b.turns = append(b.turns[1:], l) // its next turn comes after the others'
		if !b.fitsOwner(l.owner, c.size) {
			skipped++
			continue
		}
		skipped = 0
		b.dequeue(c)
		b.give(c.hold, c.size)
		c.has = true
		c.granted <- struct{}{}
	}
}

// enqueue and dequeue move a claim into and out of its owner's line. b.mu must be held.
func (b *Bound) enqueue(owner string, c *claim) {
	l := b.lines[owner]
	if l == nil {
		l = &line{owner: owner}
		b.lines[owner] = l
		b.turns = append(b.turns, l)
	}
	l.claims = append(l.claims, c)
	b.length++
}

func (b *Bound) dequeue(c *claim) {
	l := b.lines[c.hold.owner]
	if l.claims[0] == c { // as it is whenever a claim is granted
		l.claims[0], l.claims = nil, l.claims[1:]
	} else {
		l.claims = slices.DeleteFunc(l.claims, func(other *claim) bool { return other == c })
	}
	b.length--
	if len(l.claims) == 0 {
		delete(b.lines, l.owner)
		b.turns = slices.DeleteFunc(b.turns, func(other *line) bool { return other == l })
	}
}
