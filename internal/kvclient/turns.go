package kvclient

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"kvgateway/internal/bound"
)

// turns queues the writers that lost a compare-and-set race for a key, so that they retry one at a
// time. If all retry at once they mostly defeat each other: of 32 clients patching one key, half
// lost eight times in a row (measured). A writer's first attempt never waits.
type turns struct {
	set  *bound.Set // that the lanes are bounds of
	spec bound.Spec // of each lane

	mu    sync.Mutex
	lanes map[string]*lane // by the subject that is written
}

// A lane is where the losers of one key wait: a bound with one place.
type lane struct {
	bound *bound.Bound
	users int // that wait, or have the place; guarded by the mutex of turns
}

// losers is how many writers of one key may wait to try again, and losersOfOwner those of one
// client.
const (
	losers        = 1024
	losersOfOwner = 512
)

// newTurns makes the turns of a client. The set has a bound of theirs from the start, so that it is
// listed also while there are no lanes.
func newTurns(set *bound.Set, timeout time.Duration) *turns {
	spec := bound.Spec{
		Name:  "key-writers",
		Of:    "writers of one key that lost a race for it and try again",
		Unit:  bound.Places,
		Limit: 1,
		AtLimit: "writers wait, clients taking turns; what has waited for the timeout is refused " +
			"with 503",
		Wait:       timeout,
		Queue:      losers,
		OwnerQueue: losersOfOwner,
	}
	set.New(spec)
	return &turns{set: set, spec: spec, lanes: make(map[string]*lane)}
}

// A turn is a write that may have to wait for its turn; it must be ended.
type turn struct {
	bucket *Bucket
	key    Key
	lane   *lane // nil before the first loss
	hold   bound.Hold
}

func (b *Bucket) turn(k Key) turn { return turn{bucket: b, key: k} }

func (t *turn) turns() *turns { return t.bucket.client.turns }

func (t *turn) subject() string { return t.bucket.writePrefix + t.key.name }

// last is the key's last entry, read when it is the write's turn.
func (t *turn) last(ctx context.Context, try int) (*Entry, error) {
	if err := t.next(ctx, try); err != nil {
		return nil, err
	}
	return t.bucket.lastOrNil(ctx, t.key)
}

// next is called before each try but the first. It waits for the turn, and where a try in its turn
// was lost to a newcomer, or to another gateway, for a moment of random length. It returns
// [ErrContention] if the turn does not come in time, or if too many wait for theirs.
func (t *turn) next(ctx context.Context, try int) error {
	switch {
	case try == 0:
		return nil
	case t.lane != nil:
		time.Sleep(rand.N(time.Millisecond << (try - 1)))
		return nil
	}
	l := t.turns().enter(t.subject())
	err := l.bound.Take(ctx, &t.hold, bound.OwnerOf(ctx), 1, nil)
	if err == nil {
		t.lane = l
		return nil
	}
	t.turns().leave(t.subject(), l)
	if _, full := errors.AsType[*bound.FullError](err); full {
		return ErrContention
	}
	return err
}

// end gives the turn to the next.
func (t *turn) end() {
	if t.lane != nil {
		t.hold.Release()
		t.turns().leave(t.subject(), t.lane)
	}
}

func (t *turns) enter(subject string) *lane {
	t.mu.Lock()
	defer t.mu.Unlock()
	l := t.lanes[subject]
	if l == nil {
		l = &lane{bound: t.set.New(t.spec)}
		t.lanes[subject] = l
	}
	l.users++
	return l
}

func (t *turns) leave(subject string, l *lane) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if l.users--; l.users == 0 {
		delete(t.lanes, subject)
		t.set.Drop(l.bound)
	}
}
