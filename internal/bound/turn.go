package bound

import (
	"context"
	"sync"
)

// A Turn is a request's place among those that are at work. Whoever works gives it back while it waits
// for something else, so that others can begin meanwhile. Claims under the request's context do so by
// themselves. Its methods may be called by several goroutines, and do nothing for a nil Turn.
type Turn struct {
	bound *Bound
	owner string

	mu      sync.Mutex
	waiting int // what the request waits for now
	hold    Hold
}

// NewTurn returns a turn in a bound for an owner. It has no place yet.
func NewTurn(b *Bound, owner string) *Turn { return &Turn{bound: b, owner: owner} }

// Begin waits for a place: at the beginning, or after Pause in the place of Resume where much may begin
// at once. It returns what [Bound.Take] does.
func (t *Turn) Begin(ctx context.Context) error {
	if t == nil {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.waiting = 0
	t.hold.Release()
	return t.bound.Take(ctx, &t.hold, t.owner, 1, nil)
}

// End gives the place back for good.
func (t *Turn) End() {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.waiting++ // what is under way still resumes nothing
	t.hold.Release()
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

// Resume takes a place again when the request waits for nothing any more. It does not wait for one, since
// the request may hold what others wait for; those that begin wait the longer.
func (t *Turn) Resume() {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.waiting--; t.waiting == 0 {
		t.bound.force(&t.hold, t.owner, 1)
	}
}
