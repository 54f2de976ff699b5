package kvclient

import (
	"context"
	"errors"
	"fmt"
	"time"

	"kvgateway/internal/bound"
	"kvgateway/internal/kv"
)

// entrySince is lastEntry of a state that is not older than min. An entry at least as new as min
// proves that; anything else may be from before min. Then entrySince waits until the leader has
// min, and reads from the leader. While time is left, it also goes on if NATS does not answer the
// first read, or a question to the leader, in time.
func (b *Bucket) entrySince(
	ctx context.Context, key kv.Key, consistency Consistency, min kv.Position, wait time.Duration,
) (kv.Entry, Consistency, error) {
	b, reached, err := b.inHistory(ctx, min)
	if err != nil {
		return kv.Entry{}, consistency, err
	}
	served := consistency
	end := b.client.endOf(wait)
	if reached {
		var e kv.Entry
		e, served, err = b.lastEntry(ctx, key, consistency)
		goOn := errors.Is(err, kv.ErrKeyNotFound) ||
			errors.Is(err, kv.ErrTimeout) && time.Until(end) > 0
		if err == nil && e.Revision >= min.Revision || err != nil && !goOn {
			return e, served, err
		}
	}
	if b, err = b.awaitRevision(ctx, min, end); err != nil {
		return kv.Entry{}, served, err
	}
	e, err := b.fetchEntry(ctx, b.leaderGet, getRequest{LastBySubject: b.readPrefix + key.String()})
	return e, b.LeaderConsistency(), err
}

// inHistory returns the bucket if the position is of its present history. It asks the server before
// it decides that the position is not. Reached is false for a position with a check that the bucket
// has yet to come to, so that nothing could be compared. It returns an *[kv.EpochChangedError].
func (b *Bucket) inHistory(
	ctx context.Context, p kv.Position,
) (_ *Bucket, reached bool, err error) {
	if p.Epoch != "" && p.Epoch != b.epoch || p.Check.Known() && p.Revision > b.lastSeq {
		if b, err = b.rebind(ctx); err != nil {
			return nil, false, err
		}
	}
	if p.Check.Known() && p.Revision > b.lastSeq {
		p.Check = kv.Check{}
		return b, false, b.verify(ctx, p)
	}
	return b, true, b.verify(ctx, p)
}

// verify returns an *[kv.EpochChangedError] if a position that the bucket has come to is of another
// history. While the position's message is there, its check decides; otherwise the epoch does.
func (b *Bucket) verify(ctx context.Context, p kv.Position) error {
	if p.Check.Known() {
		stored, err := b.StoredAt(ctx, p.Revision)
		switch {
		case err != nil:
			return err
		case !stored.IsZero() && kv.CheckOf(stored) == p.Check:
			return nil
		case !stored.IsZero():
			return &kv.EpochChangedError{Current: b.epoch}
		}
	}
	if p.Epoch != "" && p.Epoch != b.epoch {
		return &kv.EpochChangedError{Current: b.epoch}
	}
	return nil
}

// The first and the longest wait between two looks at the bucket's last revision.
const (
	firstRevisionPoll = 2 * time.Millisecond
	lastRevisionPoll  = 100 * time.Millisecond
)

// endOf returns the end of a wait that begins now. See [ReadOptions].
func (c *Client) endOf(wait time.Duration) time.Time {
	if wait == 0 {
		wait = c.timeout
	}
	return time.Now().Add(wait)
}

// awaitRevision waits until the leader has the revision, and returns the bucket as it is then. It
// returns an *[kv.EpochChangedError] if the position turns out to be of another history, at the end
// [kv.ErrRevisionNotReached], and [kv.ErrTimeout] if NATS answered none of the looks.
func (b *Bucket) awaitRevision(
	ctx context.Context, min kv.Position, end time.Time,
) (*Bucket, error) {
	turn := bound.TurnOf(ctx)
	turn.Pause()
	defer turn.Resume()
	wait := b.client.revisionWaits.join(b)
	defer b.client.revisionWaits.leave(wait)
	var place bound.Hold // taken only by those that do wait
	defer place.Release()
	ask := wait.first
	notReached := kv.ErrTimeout
	for poll := firstRevisionPoll; ; poll = slower(poll, end) {
		current, err := ask(ctx, b)
		ask = wait.again
		switch {
		case errors.Is(err, kv.ErrTimeout):
			// The leader may answer the next one.
		case err != nil:
			return nil, err
		case current.lastSeq >= min.Revision:
			return current, current.verify(ctx, min)
		case min.Epoch != "" && current.epoch != min.Epoch:
			return nil, &kv.EpochChangedError{Current: current.epoch}
		default:
			notReached = fmt.Errorf("%w: %d", kv.ErrRevisionNotReached, min.Revision)
		}
		if time.Until(end) <= 0 {
			return nil, notReached
		}
		if place.Size() == 0 {
			err := b.client.limits.revisionWaits.TakeFor(ctx, &place, 1)
			if err != nil {
				return nil, err
			}
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-b.client.noWaits:
			return nil, notReached
		case <-time.After(poll):
		}
	}
}

// slower returns the next wait between two looks: twice the last, but not beyond the end.
func slower(poll time.Duration, end time.Time) time.Duration {
	return max(0, min(2*poll, lastRevisionPoll, time.Until(end)))
}

// GetRevision returns the key's value at that revision. It returns [kv.ErrRevisionNotFound] if the
// revision is gone or another key's, a *[kv.KeyDeletedError] if it is a marker, and otherwise the
// errors of Get. The answer's consistency is [Bucket.LeaderConsistency].
func (b *Bucket) GetRevision(ctx context.Context, key kv.Key, rev kv.Revision) (kv.Entry, error) {
	if rev == 0 {
		return kv.Entry{}, kv.ErrRevisionNotFound
	}
	e, err := b.fetchEntry(ctx, b.leaderGet, getRequest{Sequence: uint64(rev)})
	switch {
	case errors.Is(err, kv.ErrKeyNotFound), err == nil && e.Key != key.String():
		return kv.Entry{}, kv.ErrRevisionNotFound
	case err != nil:
		return kv.Entry{}, err
	case e.IsMarker():
		return kv.Entry{}, &kv.KeyDeletedError{Marker: e}
	}
	return e, nil
}

// NextRevision asks the leader for the first revision after one that is still stored; it returns 0
// if there is none.
func (b *Bucket) NextRevision(ctx context.Context, after kv.Revision) (kv.Revision, error) {
	m, err := b.fetchMessage(ctx, b.leaderGet, getRequest{
		Sequence: uint64(after) + 1, NextBySubject: b.readPrefix + kv.AllKeys.String(),
	})
	switch {
	case errors.Is(err, kv.ErrKeyNotFound):
		return 0, nil
	case err != nil:
		return 0, err
	}
	return kv.Revision(m.Sequence), nil
}

// StoredAt asks the leader when the message of a revision was stored. It returns the zero time if
// the message is not there any more.
func (b *Bucket) StoredAt(ctx context.Context, revision kv.Revision) (time.Time, error) {
	m, err := b.fetchMessage(ctx, b.leaderGet, getRequest{Sequence: uint64(revision)})
	switch {
	case errors.Is(err, kv.ErrKeyNotFound):
		return time.Time{}, nil
	case err != nil:
		return time.Time{}, err
	}
	return m.Time, nil
}
