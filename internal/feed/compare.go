package feed

import (
	"context"
	"errors"
	"time"

	"kvgateway/internal/bound"
	"kvgateway/internal/feed/copies"
	"kvgateway/internal/kv"
	"kvgateway/internal/kvclient"
)

// This file compares the copy of a feed in doubt with what the leader has.
//
// # The comparison
//
// The feed is at position P, and its copy is what a client has that was sent everything. The source
// has a new consumer, which begins behind P and of which nothing is taken before the comparison has
// ended. So the copy does not change, but for what expires. The leader is asked for its last
// number R, and then each key's last message up to R is read, without the values. Of each key:
//
//	the list, or the leader, has      and the copy has          then
//	--------------------------------  ------------------------  ------------------------------
//	a revision above P                anything                  the consumer brings it
//	a revision up to P                the same message          nothing has happened
//	a revision up to P                another one, or none      reset, reverted; not if it has
//	                                                            ended just now
//	an earlier one than what the      a marker that may be      reset, reverted
//	copy is unsure of                 gone, or a value that
//	                                  has ended
//	nothing, and the leader was       a value                   the key is gone: removed
//	asked for the key afterwards
//	the same                          a marker                  the store lacks the marker
//
// The list is no instant: a key that is overwritten beyond R while the list is read does not come
// in it, and neither does one that a miscounted consumer passes over. So a key that did not come is
// looked for in another list from R on, while there are many of them, and then the leader is asked
// for each by itself.
//
// # Why that suffices
//
// Every key's last message is now either the one that the copy has or one above P. So folding what
// was sent, the removals, and what comes above P up to an exact position gives the bucket's state.
// It also does if a crash took back messages that were read and gave their revisions to others: if
// one of those others were the last of its key, the copy would not have it.
//
// The leader answers what it has; a purge that comes after its answer is reported, since the
// advisories are heard before it is asked.

// A truth is where the source finds what the stream really has. Tests have another.
type truth interface {
	// state asks the leader what the stream is.
	state() (kvclient.StreamState, error)
	// list calls visit with the last entry of each key, if it is above one revision and up to
	// another. A key that is overwritten meanwhile may be left out (kvclient.Bucket.Replay).
	list(after, upTo kv.Revision, visit func(*kv.Entry)) error
	// last asks the leader for the last entry of a key. found is false if it has none.
	last(key string) (e kv.Entry, found bool, err error)
}

// leaderTruth asks NATS.
type leaderTruth struct {
	// ctx ends with the source.
	ctx context.Context
	// feed is the one that asks, and bucket its bucket.
	feed   *Feed
	bucket *kvclient.Bucket
}

// state asks the leader what the stream is.
func (t leaderTruth) state() (kvclient.StreamState, error) {
	_, s, err := t.feed.ask(t.ctx)
	return s, err
}

// list reads the list within its bounds.
func (t leaderTruth) list(after, upTo kv.Revision, visit func(*kv.Entry)) error {
	ctx, cancel := context.WithTimeout(t.ctx, healWithin)
	defer cancel()
	var place bound.Hold
	owner := bound.Part("", t.feed.name.String())
	if err := t.feed.hub.healings.Take(ctx, &place, owner, 1, nil); err != nil {
		return err
	}
	defer place.Release()
	replay := kvclient.Replay{After: after, To: upTo, NoValues: true}
	return t.bucket.Replay(ctx, replay, func(e kv.Entry) error {
		visit(&e)
		return nil
	})
}

// last asks the leader for a key.
func (t leaderTruth) last(name string) (e kv.Entry, found bool, err error) {
	key, err := kv.ParseKey(name)
	if err != nil {
		return kv.Entry{}, false, err
	}
	ctx, cancel := context.WithTimeout(t.ctx, askTimeout)
	defer cancel()
	e, _, err = t.bucket.Get(ctx, key, kvclient.ReadOptions{})
	if deleted, ok := errors.AsType[*kv.KeyDeletedError](err); ok {
		return deleted.Marker, true, nil
	}
	if errors.Is(err, kv.ErrKeyNotFound) {
		return kv.Entry{}, false, nil
	}
	return e, err == nil, err
}

// A comparison is one of a copy with the truth.
type comparison struct {
	truth truth
	// copy is what is compared; view shows it, and held has what waits in it behind a transaction.
	copy *copies.Copy
	view copies.View
	held map[string]*kv.Entry
	// at is the feed's position, P, and now the time by the server's clock.
	at  kv.Position
	now time.Time
	// fine has the keys of which the store has what the copy has, or something that will come.
	fine map[string]struct{}
	// gone has the entries that the copy has of keys of which the leader has nothing.
	gone []*kv.Entry
}

// compareAll compares all keys. It returns what the stream was before.
func (c *comparison) compareAll() (kvclient.StreamState, error) {
	s, err := c.truth.state()
	switch {
	case err != nil:
		return s, err
	case s.Epoch != c.at.Epoch, s.Last < c.at.Revision:
		return s, errRestart // the next start finds the reason for a reset
	}
	doubtful := make(map[string]*kv.Entry)
	visit := func(e *kv.Entry) {
		known, unsureOf := c.known(e.Key)
		switch {
		case e.Revision > c.at.Revision, e.Revision == unsureOf, known != nil && isSame(known, e):
			c.fine[e.Key] = struct{}{}
		default:
			doubtful[e.Key] = known
		}
	}
	for after, upTo, round := kv.Revision(0), s.Last, 1; upTo > after; round++ {
		if err := c.truth.list(after, upTo, visit); err != nil {
			return s, err
		}
		if round == healRounds || c.missing(func(*kv.Entry) {}) <= fewMissing {
			break
		}
		later, err := c.truth.state()
		if err != nil {
			return s, err
		}
		after, upTo = upTo, later.Last
	}
	c.missing(func(e *kv.Entry) { doubtful[e.Key] = e })
	for key, known := range doubtful {
		if err := c.compareKey(key, known); err != nil {
			return s, err
		}
	}
	return s, nil
}

// missing calls visit with each entry of the copy whose key is not known to be fine, and counts
// them. Markers that may be gone are left out: they may be gone after the comparison, too. A sweep
// leaves thousands of them (TestSweptMarkersAreNoReset).
func (c *comparison) missing(visit func(*kv.Entry)) (count int) {
	each := func(e *kv.Entry) bool {
		_, fine := c.fine[e.Key]
		if _, unsureOf := c.known(e.Key); !fine && e.Revision != unsureOf {
			visit(e)
			count++
		}
		return true
	}
	c.view.Ascend(nil, "", func(e *kv.Entry) bool { return c.held[e.Key] != nil || each(e) })
	for _, e := range c.held {
		each(e)
	}
	return count
}

// known returns what the copy has of a key, nil for nothing. If the copy does not know what the
// store has, unsureOf is the revision of what may be gone; otherwise it is 0.
func (c *comparison) known(key string) (e *kv.Entry, unsureOf kv.Revision) {
	if e := c.held[key]; e != nil {
		return e, 0
	}
	found := c.view.Get(key)
	return found.Entry, found.UnsureOf
}

// compareKey compares what the copy has of a key, nil for nothing, with what the leader has.
func (c *comparison) compareKey(key string, known *kv.Entry) error {
	e, found, err := c.truth.last(key)
	switch {
	case err != nil:
		return err
	case !found && known == nil:
	case !found:
		if c.gone = append(c.gone, known); len(c.gone) > maxRemovals {
			return errUnhealable
		}
	case e.Revision > c.at.Revision, known != nil && isSame(known, &e):
	case known == nil && !e.Expires.IsZero() && !c.now.Before(e.Expires):
	case known == nil && e.Revision == c.view.Get(key).UnsureOf:
	default:
		return errReverted
	}
	return nil
}

// isSame reports whether two entries are the same message.
func isSame(a, b *kv.Entry) bool { return a.Revision == b.Revision && a.Created.Equal(b.Created) }
