package bound

import (
	"context"
	"sync"
)

// A Turn is a request's place among those that are at work. Whoever works gives it back while it waits
// for something else, so that others can work meanwhile. Its methods may be called by several
// goroutines, and do nothing for a nil Turn.
type Turn struct {
	bound *Bound
	owner string

	mu      sync.Mutex
	waiting int // what the request waits for now
	hold    Hold
}

// NewTurn returns a turn in a bound for an owner. It has no place yet.
func NewTurn(b *Bound, owner string) *Turn { return &Turn{bound: b, owner: owner} }

// Begin waits for a place. It returns what [Bound.Take] does.
func (t *Turn) Begin(ctx context.Context) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.bound.Take(ctx, &t.hold, t.owner, 1, nil)
}

// End gives the place back. A second call does nothing.
func (t *Turn) End() {
	if t != nil {
		t.hold.Release()
	}
}

// Pause gives the place back until [Turn.Resume].
func (t *Turn) Pause() {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.waiting++
	t.hold.Release()
}

// Resume takes a place again when the request waits for nothing any more. The request goes on also
// where none comes free in time, or the context ends.
func (t *Turn) Resume(ctx context.Context) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.waiting--; t.waiting == 0 {
		_ = t.bound.Take(ctx, &t.hold, t.owner, 1, nil)
	}
}
