package kvclient

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"kvgateway/internal/bound"
)

// A Consistency says whose word a read takes.
type Consistency uint8

const (
	// Leader: what the stream's leader has. Own writes are seen while leadership is stable; it is not linearizable, since a
	// deposed leader may answer for a moment.
	Leader Consistency = iota
	// Any: any replica or mirror may answer, and may be behind.
	Any
)

// String returns "leader" or "any".
func (c Consistency) String() string { return [...]string{"leader", "any"}[c] }

// ReadOptions say how fresh a read must be. The zero value reads from the leader.
type ReadOptions struct {
	Consistency Consistency
	// MinRevision is a point that the read must not be older than; the read waits for it.
	MinRevision Position
	// Wait bounds that wait: zero stands for the client's timeout, [NoWait] for none.
	Wait time.Duration
}

// NoWait makes a read that is not fresh enough fail at once.
const NoWait time.Duration = -1

// Get returns the key's last value and whose word it is, in one round trip but for misses and replicated buckets. It returns
// a *[KeyDeletedError], [ErrKeyNotFound], [ErrBucketNotFound], [ErrRevisionNotReached], an *[EpochChangedError],
// [ErrUnavailable] or [ErrTimeout].
func (b *Bucket) Get(ctx context.Context, key Key, opts ReadOptions) (Entry, Consistency, error) {
	read := b.lastEntry
	if opts.MinRevision != (Position{}) {
		read = func(ctx context.Context, key Key, consistency Consistency) (Entry, Consistency, error) {
			return b.entrySince(ctx, key, consistency, opts.MinRevision, opts.Wait)
		}
	}
	e, served, err := read(ctx, key, opts.Consistency)
	if err == nil && e.IsMarker() {
		err = &KeyDeletedError{Marker: e}
	}
	return e, served, err
}

// entrySince is lastEntry of a state that is not older than min. An entry at least as new as min
// proves it; anything else may be from before min, so it waits until the leader has min, and reads
// from there.
func (b *Bucket) entrySince(ctx context.Context, key Key, consistency Consistency, min Position,
	wait time.Duration) (Entry, Consistency, error) {
	b, reached, err := b.inHistory(ctx, min)
	if err != nil {
		return Entry{}, consistency, err
	}
	served := consistency
	if reached {
		var e Entry
		e, served, err = b.lastEntry(ctx, key, consistency)
		if err == nil && e.Revision >= min.Revision || err != nil && !errors.Is(err, ErrKeyNotFound) {
			return e, served, err
		}
	}
	if b, err = b.awaitRevision(ctx, min, wait); err != nil {
		return Entry{}, served, err
	}
	e, err := b.fetchEntry(ctx, b.leaderGet, getRequest{LastBySubject: b.readPrefix + key.name})
	return e, b.LeaderWord(), err
}

// inHistory returns the bucket if the position is of its present history, after asking the server
// where it seems not to be. Reached is false for a position with a check that the bucket has yet to
// come to, so that nothing could be compared. It returns an *[EpochChangedError].
func (b *Bucket) inHistory(ctx context.Context, p Position) (_ *Bucket, reached bool, err error) {
	if p.Epoch != "" && p.Epoch != b.epoch || p.Check.Known() && p.Revision > b.lastSeq {
		if b, err = b.rebind(ctx); err != nil {
			return nil, false, err
		}
	}
	if p.Check.Known() && p.Revision > b.lastSeq {
		p.Check = Check{}
		return b, false, b.verify(ctx, p)
	}
	return b, true, b.verify(ctx, p)
}

// verify returns an *[EpochChangedError] if a position that the bucket has come to is of another
// history: while the message is there its check decides, and the epoch otherwise.
func (b *Bucket) verify(ctx context.Context, p Position) error {
	if p.Check.Known() {
		stored, err := b.StoredAt(ctx, p.Revision)
		switch {
		case err != nil:
			return err
		case !stored.IsZero() && CheckOf(stored) == p.Check:
			return nil
		case !stored.IsZero():
			return &EpochChangedError{Current: b.epoch}
		}
	}
	if p.Epoch != "" && p.Epoch != b.epoch {
		return &EpochChangedError{Current: b.epoch}
	}
	return nil
}

// The waits between two looks at the bucket's last revision.
const (
	firstRevisionPoll = 2 * time.Millisecond
	lastRevisionPoll  = 100 * time.Millisecond
)

// awaitRevision waits until the leader has the revision, and returns the bucket as it is then. It
// returns an *[EpochChangedError] if the position turns out to be of another history.
func (b *Bucket) awaitRevision(ctx context.Context, min Position, limit time.Duration) (*Bucket, error) {
	if limit == 0 {
		limit = b.client.timeout
	}
	end := time.Now().Add(limit)
	turn := bound.TurnOf(ctx)
	turn.Pause()
	defer turn.Resume()
	for poll := firstRevisionPoll; ; poll = slower(poll, end) {
		current, err := b.rebind(ctx)
		switch {
		case err != nil:
			return nil, err
		case current.lastSeq >= min.Revision:
			return current, current.verify(ctx, min)
		case min.Epoch != "" && current.epoch != min.Epoch:
			return nil, &EpochChangedError{Current: current.epoch}
		}
		notReached := fmt.Errorf("%w: %d", ErrRevisionNotReached, min.Revision)
		if time.Until(end) <= 0 {
			return nil, notReached
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

// slower is the next wait between two looks: twice the last, but not beyond the end.
func slower(poll time.Duration, end time.Time) time.Duration {
	return max(0, min(2*poll, lastRevisionPoll, time.Until(end)))
}

// GetRevision returns the key's value at that revision. It returns [ErrRevisionNotFound] if the revision is gone or another
// key's, a *[KeyDeletedError] if it is a marker, and otherwise what Get does. It is [Bucket.LeaderWord].
func (b *Bucket) GetRevision(ctx context.Context, key Key, rev Revision) (Entry, error) {
	if rev == 0 {
		return Entry{}, ErrRevisionNotFound
	}
	e, err := b.fetchEntry(ctx, b.leaderGet, getRequest{Sequence: uint64(rev)})
	switch {
	case errors.Is(err, ErrKeyNotFound), err == nil && e.Key != key.name:
		return Entry{}, ErrRevisionNotFound
	case err != nil:
		return Entry{}, err
	case e.IsMarker():
		return Entry{}, &KeyDeletedError{Marker: e}
	}
	return e, nil
}

// lastEntry returns the key's last entry, markers included, or [ErrKeyNotFound].
//
// A direct get may be answered by any replica, and by mirrors elsewhere that this client cannot know of (measured: one
// unseen mirror answered 89 of 200, some stale). So it counts as the leader's only if the bucket has one replica and the
// answer names the bucket's own stream; a miss names nobody and is always repeated.
func (b *Bucket) lastEntry(ctx context.Context, key Key, consistency Consistency) (Entry, Consistency, error) {
	if b.directGet != "" && (consistency == Any || !b.replicated) {
		var e Entry
		var stream string
		err := b.readLarge(ctx, b.readPrefix+key.name, func() (size int, err error) {
			e, stream, err = b.direct(ctx, &nats.Msg{Subject: b.directGet + key.name})
			return e.Size, err
		})
		switch {
		case err != nil && !errors.Is(err, ErrKeyNotFound):
			return Entry{}, consistency, err
		case err == nil && stream == b.stream && !b.replicated && !b.isMirror():
			return e, Leader, nil
		case err == nil && stream == b.stream && b.isMirror() && consistency == Leader:
			return e, Any, nil // a mirror's own word, which may be behind the origin's
		case err == nil && consistency == Any:
			return e, Any, nil
		}
	}
	e, err := b.fetchEntry(ctx, b.leaderGet, getRequest{LastBySubject: b.readPrefix + key.name})
	return e, b.LeaderWord(), err
}

// LeaderWord tells what the word of the leader of the bucket's own stream is worth: that of a mirror is any's, since it may be
// behind the origin's.
func (b *Bucket) LeaderWord() Consistency {
	if b.isMirror() {
		return Any
	}
	return Leader
}

// direct sends a direct get. It returns the entry and the stream that answered, or [ErrKeyNotFound]; also where nobody seemed
// to listen, although the bucket is there: a value stored with a header `Status: 503` looks like that to nats.go.
func (b *Bucket) direct(ctx context.Context, msg *nats.Msg) (e Entry, stream string, err error) {
	reply, err := b.link.request(ctx, msg, b.client.messageBytes())
	if err == errNoResponders {
		if _, err := b.rebind(ctx); err != nil {
			return Entry{}, "", err
		}
		return Entry{}, "", ErrKeyNotFound
	}
	if err != nil {
		return Entry{}, "", err
	}
	return b.directEntry(reply)
}

// getRequest is a request to STREAM.MSG.GET.
type getRequest struct {
	Sequence      uint64 `json:"seq,omitempty"`
	LastBySubject string `json:"last_by_subj,omitempty"`
	NextBySubject string `json:"next_by_subj,omitempty"` // the first at or after the sequence
}

// stored asks a stream's leader, by the subject of its STREAM.MSG.GET, for a message. It returns [ErrKeyNotFound] if there is
// none.
func (b *Bucket) fetchEntry(ctx context.Context, subject string, request getRequest) (Entry, error) {
	m, err := b.fetchMessage(ctx, subject, request)
	if err != nil {
		return Entry{}, err
	}
	return b.storedEntry(m)
}

// storedMessage is stored, of messages that are no entries as well: with headers that nobody can read, or outside the bucket's subjects.
func (b *Bucket) fetchMessage(ctx context.Context, subject string, request getRequest) (*storedMessage, error) {
	var response struct {
		apiResponse
		Message *storedMessage `json:"message"`
	}
	err := b.readLarge(ctx, request.name(b), func() (size int, err error) {
		err = b.client.ask(ctx, b.link, subject, request, b.client.encodedBytes(), &response)
		if response.Message != nil {
			size = len(response.Message.Data)
		}
		return size, err
	})
	if apiErr, ok := errors.AsType[*APIError](err); ok && apiErr.ErrCode == errCodeNoMessage {
		return nil, ErrKeyNotFound
	}
	if err != nil {
		err = bucketError(b.name, err)
		if errors.Is(err, ErrBucketNotFound) {
			b.client.forget(b.name)
		}
		return nil, err
	}
	if response.Message == nil {
		return nil, fmt.Errorf("%w: STREAM.MSG.GET without a message", ErrUnexpectedAnswer)
	}
	return response.Message, nil
}
