package feed

import (
	"context"

	"kvgateway/internal/bound"
)

// This file decides in whose line a reading waits.
//
// A bound has a line for each client and bucket, and serves the lines in turn. A reading can be
// shared by several clients, each of which offers its own line, and it waits in the line where the
// fewest wait. So a client that needs what another one has asked for before does not wait behind
// everything else that the other has asked for: beside 300 unread streams of one client, an
// ordinary watch of the same bucket had no Synced in 12 s
// (TestSharedSnapshotIsReadInTheShortestLine).

// maxLines is how many lines a reading chooses among.
const maxLines = 8

// A lineWait says in which line of a bound a reading waits. The zero value is that of a reading
// that does not wait.
type lineWait struct {
	// bound is what the reading waits for.
	bound *bound.Bound
	// line names the line in which it waits.
	line string
	// chooseAgain makes the reading leave the line and enter the one that is the shortest then.
	chooseAgain context.CancelFunc
}

// offerLineLocked notes that the reading may wait in the line of a cursor's client, too, unless it
// has maxLines others. If fewer wait there than where the reading waits now, it chooses again.
func (r *reading) offerLineLocked(p *readingCursor) {
	line := p.line()
	if p.offersLine = r.lines[line] > 0 || len(r.lines) < maxLines; !p.offersLine {
		return
	}
	r.lines[line]++
	w := r.waitsIn
	if w.bound == nil || line == w.line {
		return
	}
	if w.bound.WaitingOf(line) < w.bound.WaitingOf(w.line) {
		w.chooseAgain()
	}
}

// withdrawLineLocked undoes offerLineLocked. A reading that waits in the line of a client that has
// left waits on there.
func (r *reading) withdrawLineLocked(p *readingCursor) {
	if !p.offersLine {
		return
	}
	line := p.line()
	if r.lines[line]--; r.lines[line] == 0 {
		delete(r.lines, line)
	}
}

// line names the line in which the cursor's client waits for snapshots of this bucket.
func (p *readingCursor) line() string {
	return bound.Part(p.sub.owner, p.reading.feed.name.String())
}

// shortestLineLocked returns the line in which the fewest wait. If none is offered, it is that of
// any cursor, and "" if there is no cursor.
func (r *reading) shortestLineLocked(b *bound.Bound) (shortest string) {
	if len(r.lines) == 0 {
		for p := range r.cursors {
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

// takeInShortestLine takes a place of a bound. It waits in the shortest line, which may become
// another one meanwhile. It returns what [bound.Bound.Take] does.
func (r *reading) takeInShortestLine(
	ctx context.Context, b *bound.Bound, hold *bound.Hold, evict func(),
) error {
	for {
		r.mu.Lock()
		line := r.shortestLineLocked(b)
		inLine, chooseAgain := context.WithCancel(ctx)
		r.waitsIn = lineWait{b, line, chooseAgain}
		r.mu.Unlock()
		err := b.Take(inLine, hold, line, 1, evict)
		r.mu.Lock()
		r.waitsIn = lineWait{}
		r.mu.Unlock()
		again := inLine.Err() != nil && ctx.Err() == nil
		chooseAgain()
		if err == nil || !again {
			return err
		}
	}
}
