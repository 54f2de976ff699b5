package feed

import (
	"context"
	"errors"
	"time"

	"kvgateway/internal/bound"
	"kvgateway/internal/kvclient"
)

// This file decides which feeds there are. A feed whose bucket is missing rests: it has
// subscriptions, and no goroutine, no consumer and nothing that asks NATS. It is roused when the
// server tells of its bucket, when somebody subscribes, or by a look at the names of all streams,
// which is one request for all feeds that rest. One that rests and has no user is dropped. While a
// feed rests it has a place among those that rest, so that whoever waits for buckets that do not exist
// takes no place of those that do.

// restBound bounds the feeds that rest.
func restBound(set *bound.Set, feeds int) *bound.Bound {
	return set.New(bound.Spec{
		Name:     "feeds-resting",
		Of:       "buckets that do not exist and are waited for by streams which come back",
		Unit:     bound.Places,
		Limit:    restingFeeds * int64(feeds),
		PerOwner: max(1, restingFeeds*int64(feeds)/2),
		AtLimit:  "a stream that comes back for another such bucket is refused with 429 or 503",
	})
}

// restingFeeds is how many feeds may rest for each that may be followed: one that rests takes some
// kilobytes.
const restingFeeds = 8

// placeBound bounds the feeds that have a source.
func placeBound(set *bound.Set, feeds int) *bound.Bound {
	return set.New(bound.Spec{
		Name:     "feeds",
		Of:       "buckets that are followed, with a consumer each",
		Unit:     bound.Places,
		Limit:    int64(feeds),
		PerOwner: max(1, int64(feeds)/2),
		AtLimit:  "a bucket that nobody watches gives way; else the stream is refused with 429 or 503",
	})
}

// advisoryBound says how many advisories wait for a feed. Each feed has a mailbox of its own.
func advisoryBound(set *bound.Set) *bound.Bound {
	return set.New(bound.Spec{
		Name:  "feed-advisories",
		Of:    "advisories of one bucket that its feed has yet to hear",
		Unit:  bound.Places,
		Limit: 256,
		AtLimit: "more purges of single keys are judged at once, and the bucket's streams are reset if one " +
			"may concern them",
	})
}

// feed returns the bucket's feed with one more user. A new one is charged to the context's owner; a
// *[bound.FullError] says that there is no place for it.
func (h *Hub) feed(ctx context.Context, name kvclient.BucketName) (*Feed, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	f := h.feeds[name]
	if f == nil {
		place := new(bound.Hold)
		owner := bound.OwnerOf(ctx)
		if err := h.takePlace(ctx, place, owner); err != nil {
			return nil, err
		}
		f = newFeed(h, name)
		f.owner, f.place, f.restPlace, f.log.memory = owner, place, new(bound.Hold), new(bound.Hold)
		_ = h.logs.Take(ctx, f.log.memory, owner, 0, nil) // nothing fits in any case
		h.feeds[name] = f
		h.start(f)
	}
	if f.resting {
		if err := h.rouse(ctx, f); err != nil {
			return nil, err
		}
	}
	f.users++
	if f.lingering != nil {
		f.lingering.Stop()
		f.lingering = nil
	}
	return f, nil
}

// mayRest takes a place for a feed to rest at, since its bucket is missing and a subscription waits
// for it. It returns a *[bound.FullError] if there is none.
func (h *Hub) mayRest(ctx context.Context, f *Feed) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if f.restPlace.Size() > 0 || h.feeds[f.name] != f {
		return nil
	}
	return h.rests.Take(ctx, f.restPlace, bound.OwnerOf(ctx), 1, nil)
}

// takePlace takes the place of a new feed, if need be that of one that nobody uses. h.mu must be
// held.
func (h *Hub) takePlace(ctx context.Context, place *bound.Hold, owner string) error {
	for {
		err := h.places.Take(ctx, place, owner, 1, nil)
		full, ok := errors.AsType[*bound.FullError](err)
		if !ok {
			return err
		}
		idle := h.idle(owner, full.OfOwner)
		if idle == nil {
			return err
		}
		h.drop(idle)
	}
}

// idle returns the feed that nobody has used for the longest time, of the owner if it must be; nil
// if there is none. h.mu must be held.
func (h *Hub) idle(owner string, ofOwner bool) (idle *Feed) {
	for _, f := range h.feeds {
		if f.users > 0 || ofOwner && f.owner != owner {
			continue
		}
		if idle == nil || f.idleSince.Before(idle.idleSince) {
			idle = f
		}
	}
	return idle
}

// start gives a feed a source. h.mu must be held.
func (h *Hub) start(f *Feed) {
	ctx, cancel := context.WithCancel(h.ctx)
	f.cancel = cancel
	if h.ctx.Err() != nil {
		return
	}
	h.work.Go(func() { f.run(ctx) })
}

// drop ends a feed. h.mu must be held.
func (h *Hub) drop(f *Feed) {
	delete(h.feeds, f.name)
	if f.lingering != nil {
		f.lingering.Stop()
		f.lingering = nil
	}
	if f.resting {
		f.resting = false
		h.resting--
	}
	f.cancel()
	f.place.Release()
	f.restPlace.Release()
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.log.memory != nil {
		f.log.memory.Release()
	}
}

// release takes a user from a feed. After the last one it lingers for some time, unless it rests.
func (h *Hub) release(f *Feed) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if f.users--; f.users > 0 || h.feeds[f.name] != f {
		return
	}
	if f.resting {
		h.drop(f)
		return
	}
	f.idleSince = time.Now()
	f.lingering = time.AfterFunc(h.options.Linger, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		if f.users == 0 && h.feeds[f.name] == f {
			h.drop(f)
		}
	})
}

// found gives back the place that a feed was to rest at, since its bucket is there.
func (h *Hub) found(f *Feed) {
	h.mu.Lock()
	defer h.mu.Unlock()
	f.restPlace.Release()
}

// rest lets a feed rest whose bucket is missing, and reports whether its source is to end. It is
// not if there is something to hear that may say that the bucket is there.
func (h *Hub) rest(f *Feed) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.feeds[f.name] != f:
		return true
	case f.mail.waits():
		return false
	case f.users == 0:
		h.drop(f)
		return true
	}
	f.resting = true
	h.resting++
	if f.restPlace.Size() > 0 || h.rests.Try(f.restPlace, f.owner, 1, nil) {
		f.place.Release()
	}
	h.look()
	return true
}

// rouse gives a feed that rests a source again, which looks for the bucket. It returns a
// *[bound.FullError] if there is no place for it; then the feed rests on. h.mu must be held.
func (h *Hub) rouse(ctx context.Context, f *Feed) error {
	if !f.resting || h.ctx.Err() != nil {
		return nil
	}
	if f.place.Size() == 0 {
		if err := h.takePlace(ctx, f.place, f.owner); err != nil {
			return err
		}
	}
	f.restPlace.Release()
	f.resting = false
	h.resting--
	f.unsettle() // whether there is a bucket now is known when it has been asked for
	h.start(f)
	return nil
}

// hear passes an advisory on to a feed. h.mu must be held.
func (h *Hub) hear(f *Feed, a kvclient.Advisory) {
	switch {
	case !f.resting:
		f.advise(a)
	case a.Kind != kvclient.StreamPurged: // it may have been created, updated, or restored
		_ = h.rouse(h.ctx, f) // without a place it is tried again with the next look
	}
}

const (
	// lookEvery is how often the names of all streams are asked for while feeds rest. Advisories,
	// where the identity may hear them, tell of a bucket at once.
	lookEvery = 1500 * time.Millisecond
	// lookShare is how much of the time a look may take: the server sorts the names of all streams.
	lookShare = 20
)

// look starts to look for the buckets of the feeds that rest. h.mu must be held.
func (h *Hub) look() {
	if h.looking != nil || h.ctx.Err() != nil {
		return
	}
	h.looking = make(chan struct{}, 1)
	h.work.Go(h.lookOn)
}

// lookSoon asks for a look before its time. h.mu must be held.
func (h *Hub) lookSoon() {
	if h.looking == nil {
		return
	}
	select {
	case h.looking <- struct{}{}:
	default:
	}
}

// lookOn looks until no feed rests any more.
func (h *Hub) lookOn() {
	wait := lookEvery
	for h.rested(wait) {
		began := time.Now()
		names, err := h.client.BucketNames(h.ctx)
		wait = max(lookEvery, lookShare*time.Since(began))
		if err != nil {
			continue // what is wrong with NATS is for the feeds that have a source to tell
		}
		h.mu.Lock()
		for _, name := range names {
			if f := h.feeds[name]; f != nil {
				_ = h.rouse(h.ctx, f) // without a place it is tried again with the next look
			}
		}
		h.mu.Unlock()
	}
}

// rested waits until it is time for a look, and reports whether there is a reason for one.
func (h *Hub) rested(wait time.Duration) bool {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	h.mu.Lock()
	soon := h.looking
	h.mu.Unlock()
	select {
	case <-timer.C:
	case <-soon:
	case <-h.ctx.Done():
		return false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.resting == 0 {
		h.looking = nil
	}
	return h.looking != nil
}
