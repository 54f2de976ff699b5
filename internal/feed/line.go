package feed

import (
	"context"

	"kvgateway/internal/bound"
)

// This file decides in whose line a reading waits. Clients take turns with what they have asked for,
// and a reading may be followed by several of them. It waits where the fewest wait: a client that
// follows what another has asked for before does not wait behind everything else that this one asked
// for.

// maxLines is how many lines a reading chooses among.
const maxLines = 8

// queued says in which line of a bound a reading waits; the zero value is of one that does not.
type queued struct {
	bound  *bound.Bound
	line   string
	recall context.CancelFunc // has it choose again
}

// enterLine notes that the reading may wait in the line of a follower, too, and has it choose again if
// fewer wait there. r.mu must be held.
func (r *reading) enterLine(p *follower) {
	line := p.line()
	if p.counted = r.lines[line] > 0 || len(r.lines) < maxLines; !p.counted {
		return
	}
	r.lines[line]++
	if q := r.queued; q.bound != nil && line != q.line && q.bound.WaitingOf(line) < q.bound.WaitingOf(q.line) {
		q.recall()
	}
}

// leaveLine undoes enterLine. r.mu must be held.
func (r *reading) leaveLine(p *follower) {
	if !p.counted {
		return
	}
	line := p.line()
	if r.lines[line]--; r.lines[line] == 0 {
		delete(r.lines, line)
	}
}

// line is where the follower's client waits for snapshots of this bucket.
func (p *follower) line() string { return bound.Part(p.sub.owner, p.reading.feed.name.String()) }

// shortest returns the line in which the fewest wait. r.mu must be held.
func (r *reading) shortest(b *bound.Bound) (shortest string) {
	if len(r.lines) == 0 {
		for p := range r.followers {
			return p.line()
		}
	}
	least := -1
	for line := range r.lines {
		if waiting := b.WaitingOf(line); least < 0 || waiting < least {
			shortest, least = line, waiting
		}
	}
	return shortest
}

// queue takes a place of a bound in the shortest line, which may become another one while the reading
// waits. It returns what [bound.Bound.Take] does.
func (r *reading) queue(ctx context.Context, b *bound.Bound, hold *bound.Hold, evict func()) error {
	for {
		r.mu.Lock()
		line := r.shortest(b)
		waits, recall := context.WithCancel(ctx)
		r.queued = queued{b, line, recall}
		r.mu.Unlock()
		err := b.Take(waits, hold, line, 1, evict)
		r.mu.Lock()
		r.queued = queued{}
		r.mu.Unlock()
		recalled := waits.Err() != nil && ctx.Err() == nil
		recall()
		if err == nil || !recalled {
			return err
		}
	}
}
