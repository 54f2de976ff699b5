package feed

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"time"

	"kvgateway/internal/bound"
	"kvgateway/internal/feed/copies"
	"kvgateway/internal/kv"
	"kvgateway/internal/kvclient"
)

// This file compares copies with the store.
//
// A copy is current by construction, and a mistake in that would go unnoticed for ever. So now and
// then the last entry of each key is read, up to a revision at which the copy is exact, without the
// values (those of small copies are read too), and is compared with the view that is pinned there.
// A difference is not believed at once: an entry may have been overwritten before it was read, may
// have expired just now, or was purged and the advisory is on its way. So each key that differs is
// asked for by itself, some times, and must differ each time. Then the copy is dropped, since other
// keys may be wrong as well. [Options.CopyMismatch] is told of it.

const (
	// checkTries is how often a key must differ.
	checkTries = 4
	// checkPause is how long the pause between two tries is.
	checkPause = 300 * time.Millisecond
	// checkedValues is up to how many bytes a copy may take for its values to be compared too.
	checkedValues = 1 << 20
)

// errNotExact says that a copy cannot be compared now, since the feed's position is not exact.
var errNotExact = errors.New("the feed is not at an exact position")

// nextCheck returns when a copy is to be compared next: half of the interval from now to one and a
// half, so that gateways do not ask all at once.
func (f *Feed) nextCheck() time.Time {
	every := f.hub.options.CheckCopies
	// #nosec G404 -- it spreads questions, and is no secret
	return f.now().Add(every/2 + rand.N(every))
}

// checkCopyIfDue compares the copy with the store if it is time for that. It belongs to the
// source's goroutine.
func (src *source) checkCopyIfDue() {
	f := src.feed
	f.mu.Lock()
	defer f.mu.Unlock()
	m := &f.memory
	if !m.complete || m.checkAt.IsZero() || f.now().Before(m.checkAt) || f.hub.ctx.Err() != nil {
		return
	}
	m.checkAt = time.Time{} // until this one has ended
	ctx, cancel := context.WithCancel(f.hub.ctx)
	m.stopLoad = cancel
	check := &copyCheck{feed: f, copy: m.copy, epoch: f.journal.Epoch}
	f.hub.work.Go(func() {
		defer cancel()
		check.run(ctx)
	})
}

// A copyCheck compares a copy with the store.
type copyCheck struct {
	// feed is the one whose copy it is.
	feed *Feed
	// copy is what is compared.
	copy *copies.Copy
	// epoch is the bucket's.
	epoch kv.Epoch
	// values says that values are compared too.
	values bool
	// upTo is the revision up to which the copy is compared.
	upTo kv.Revision
}

// run compares the copy, and drops it if it is wrong.
func (c *copyCheck) run(ctx context.Context) {
	f := c.feed
	key, err := c.firstDifference(ctx)
	if ctx.Err() != nil {
		return // the copy was dropped, or the hub is closed
	}
	log := f.hub.options.Logger
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.memory.copy != c.copy, ctx.Err() != nil:
	case err != nil:
		log.Debug().Str("bucket", f.name.String()).Err(err).Msg("copy not compared")
		f.memory.checkAt = f.nextCheck()
	case key != "":
		f.hub.stats.Copies.Mismatches.Add(1)
		log.Error().Str("bucket", f.name.String()).Str("key", key).
			Msg("the copy of a bucket in memory was wrong, and is loaded again")
		if f.hub.options.CopyMismatch != nil {
			f.hub.options.CopyMismatch(f.name, key)
		}
		f.dropCopyLocked(DroppedMismatch)
	default:
		f.hub.stats.Copies.Checks.Add(1)
		f.memory.checkAt = f.nextCheck()
	}
}

// firstDifference returns the first key in which the copy certainly differs from the store, "" if
// there is none.
func (c *copyCheck) firstDifference(ctx context.Context) (string, error) {
	bucket, view, err := c.pin(ctx)
	if err != nil {
		return "", err
	}
	candidates, err := c.compare(ctx, bucket, view)
	if err != nil {
		return "", err
	}
	slices.Sort(candidates)
	for _, key := range candidates {
		wrong, err := c.isWrong(ctx, bucket, key)
		if wrong || err != nil {
			return key, err
		}
	}
	return "", nil
}

// pin returns a view that is pinned at the stream's last revision, at which the copy is exact.
func (c *copyCheck) pin(ctx context.Context) (*kvclient.Bucket, copies.View, error) {
	f := c.feed
	bucket, s, err := f.ask(ctx)
	switch {
	case err != nil:
		return nil, copies.View{}, err
	case s.Epoch != c.epoch:
		return nil, copies.View{}, errRestart
	}
	if err := f.awaitRead(ctx, s.Last); err != nil {
		return nil, copies.View{}, err
	}
	c.values = c.copy.Size().Bytes <= checkedValues
	f.mu.Lock()
	defer f.mu.Unlock()
	view, ok := c.copy.View(f.serverNow())
	if !ok || !f.journal.exact.holds(s.Last, f.journal.Revision) {
		return nil, copies.View{}, errNotExact
	}
	if view, ok = view.At(s.Last); !ok {
		return nil, copies.View{}, errNotExact
	}
	c.upTo = s.Last
	return bucket, view, nil
}

// compare returns the keys in which the view differs from what the store has up to the view's
// revision. Some may not differ really. Those of markers that may be gone are among them.
func (c *copyCheck) compare(
	ctx context.Context, bucket *kvclient.Bucket, view copies.View,
) (candidates []string, err error) {
	h := c.feed.hub
	var open, active bound.Hold
	owner := bound.Part("", c.feed.name.String())
	if err := h.openReadings.Take(ctx, &open, owner, 1, nil); err != nil {
		return nil, err
	}
	defer open.Release()
	if err := h.activeReadings.Take(ctx, &active, owner, 1, nil); err != nil {
		return nil, err
	}
	defer active.Release()
	came := make(map[string]bool)
	err = bucket.Replay(ctx, kvclient.Replay{To: view.Revision(), NoValues: !c.values},
		func(e kv.Entry) error {
			came[e.Key] = true
			found := view.Get(e.Key)
			if found.Unsure && e.IsMarker() || !found.Unsure && !c.same(&e, found.Entry) {
				candidates = append(candidates, e.Key)
			}
			return nil
		})
	if err != nil {
		return nil, err
	}
	view.Ascend(nil, "", func(e *kv.Entry) bool {
		if !came[e.Key] {
			candidates = append(candidates, e.Key)
		}
		return true
	})
	if !view.Holds() {
		return nil, errNotExact
	}
	return candidates, nil
}

// same reports whether two entries are the same, as far as they are compared.
func (c *copyCheck) same(stored, kept *kv.Entry) bool {
	return kept != nil && stored.Position == kept.Position &&
		stored.Operation == kept.Operation && stored.Created.Equal(kept.Created) &&
		stored.Expires.Equal(kept.Expires) && stored.Size == kept.Size &&
		stored.ContentType == kept.ContentType &&
		stored.ContentEncoding == kept.ContentEncoding &&
		(!c.values || string(stored.Value) == string(kept.Value))
}

// isWrong reports whether the copy differs from what the stream's leader has of a key, each time
// that both are asked.
func (c *copyCheck) isWrong(
	ctx context.Context, bucket *kvclient.Bucket, name string,
) (bool, error) {
	key, err := kv.ParseKey(name)
	if err != nil {
		return false, err
	}
	for try := range checkTries {
		if try > 0 {
			select {
			case <-time.After(checkPause):
			case <-ctx.Done():
				return false, ctx.Err()
			}
		}
		if differs, err := c.differs(ctx, bucket, key); !differs || err != nil {
			return false, err
		}
	}
	return true, nil
}

// differs compares what the copy has of a key with what the stream's leader has of it, once the
// feed has read what the leader had. It settles whether a marker is there that may be gone: a sweep
// of markers leaves many of those, which the copy would keep, and which nobody could list.
func (c *copyCheck) differs(
	ctx context.Context, bucket *kvclient.Bucket, key kv.Key,
) (bool, error) {
	doubts := c.copy.Doubts()
	stored, _, err := bucket.Get(ctx, key, kvclient.ReadOptions{})
	if deleted, ok := errors.AsType[*kv.KeyDeletedError](err); ok {
		stored, err = deleted.Marker, nil
	}
	missing := errors.Is(err, kv.ErrKeyNotFound)
	if err != nil && !missing {
		return false, err
	}
	if err := c.feed.awaitRead(ctx, stored.Revision); err != nil {
		return false, err
	}
	found, _, ok := c.copy.Get(key.String(), c.feed.serverNow())
	switch kept := found.Entry; {
	case !ok:
		return false, nil
	case found.Unsure:
		c.copy.SettleMarker(key.String(), c.upTo, stored.Revision, doubts)
		return false, nil
	case kept == nil:
		ended := !stored.Expires.IsZero() && !c.feed.serverNow().Before(stored.Expires)
		return !missing && !ended, nil
	case missing:
		return true, nil
	default:
		return kept.Revision < stored.Revision ||
			kept.Revision == stored.Revision && !c.same(&stored, kept), nil
	}
}
