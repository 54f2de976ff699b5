package feed

import (
	"context"
	"errors"
	"time"

	"kvgateway/internal/bound"
	"kvgateway/internal/kv"
	"kvgateway/internal/kvclient"
)

// This file decides which feeds there are, and which of them have a source.
//
// A feed whose bucket is missing rests. It keeps its subscriptions, which were told BucketDeleted,
// and has no goroutine, no consumer, no timer, and nothing that asks NATS: 3,200 feeds that 200
// requests had made for buckets that do not exist took 170 MiB, and polled NATS while they
// lingered. The server's advisory of the bucket rouses a feed that rests, and so does a new
// subscription. Where advisories are not heard, one look at the names of all streams every 1.5 s
// serves all feeds that rest, less often where there are many streams
// (TestBucketIsFoundWithoutAdvisories).
//
// # Places
//
// Feeds have places of two bounds, with a share for each client: one for the feeds that have a
// source, and another one for those that rest, so that whoever waits for buckets that do not exist
// takes no place of those that do (TestMissingBucketTakesNoPlaceOfAnExistingOne). A feed begins
// with a place of the first bound. A subscription that finds the bucket missing and waits for it
// takes a place of the second one, or is refused; the feed gives back the other place when it comes
// to rest. To be roused it needs one of the first bound again, and without one it rests on.
//
// A feed that nobody uses gives way to a new one, and one that rests ends with its last
// subscription (TestFeedsThatNobodyUsesGiveWay).
//
//	event                     has a source, used   has a source, unused   rests
//	------------------------  -------------------  ---------------------  ----------------------
//	a subscription comes      used                 used                   used, and roused; or
//	                                                                      refused, if there is
//	                                                                      no place
//	a subscription waits for  it takes a place     -                      -
//	the bucket, which it      to rest at too, or
//	found missing             is refused
//	the last one leaves       unused: it lingers   -                      dropped
//	it has lingered           -                    dropped                -
//	another needs its place   -                    dropped                -
//	the bucket is missing     rests, unless an     dropped                -
//	                          advisory waits
//	the bucket is there       its place to rest    -                      -
//	                          at is given back
//	an advisory               its mailbox          its mailbox            roused, unless it
//	                                                                      reports a purge or
//	                                                                      there is no place
//	a look finds the bucket   -                    -                      roused; without a
//	                                                                      place the next look
//	                                                                      tries again

// restingPerFeed is how many feeds may rest for each that may have a source: one that rests takes
// some kilobytes.
const restingPerFeed = 8

// restPlaceSpec bounds the feeds that rest.
func restPlaceSpec(feeds int) bound.Spec {
	resting := restingPerFeed * int64(feeds)
	return bound.Spec{
		Name:     "feeds-resting",
		Of:       "buckets that do not exist and are waited for by streams which come back",
		Unit:     bound.Places,
		Limit:    resting,
		PerOwner: max(1, resting/2),
		AtLimit:  "a stream that comes back for another such bucket is refused with 429 or 503",
	}
}

// feedPlaceSpec bounds the feeds that have a source.
func feedPlaceSpec(feeds int) bound.Spec {
	return bound.Spec{
		Name:     "feeds",
		Of:       "buckets that are watched, with a consumer each",
		Unit:     bound.Places,
		Limit:    int64(feeds),
		PerOwner: max(1, int64(feeds)/2),
		AtLimit: "a bucket that nobody watches gives way; otherwise the stream is refused with " +
			"429 or 503",
	}
}

// advisoryBound says how many advisories wait for a feed. Each feed has a mailbox of its own.
func advisoryBound(set *bound.Set) *bound.Bound {
	return set.New(bound.Spec{
		Name:  "feed-advisories",
		Of:    "advisories of one bucket that its feed has yet to handle",
		Unit:  bound.Places,
		Limit: 256,
		AtLimit: "more purges of single keys are judged at once, and the bucket's streams are " +
			"reset if one may concern them",
	})
}

// acquire returns the bucket's feed with one more user, which [Hub.release] removes. A new one
// is charged to the context's owner; a *[bound.FullError] says that there is no place for it, or
// for one that rests and has to be roused.
func (h *Hub) acquire(ctx context.Context, name kv.BucketName) (*Feed, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	f := h.feeds[name]
	if f == nil {
		place := new(bound.Hold)
		owner := bound.OwnerOf(ctx)
		if err := h.takePlaceLocked(ctx, place, owner); err != nil {
			return nil, err
		}
		f = newFeed(h, name)
		f.owner, f.place, f.restPlace = owner, place, new(bound.Hold)
		f.journal.log.memory = new(bound.Hold)
		f.journal.keys.limit, f.journal.keys.evict = h.keyMemory, f.yieldKeys
		// Nothing always fits.
		_ = h.logMemory.Take(ctx, f.journal.log.memory, owner, 0, nil)
		h.feeds[name] = f
		h.startSourceLocked(f)
	}
	if f.resting {
		if err := h.rouseLocked(ctx, f); err != nil {
			return nil, err
		}
	}
	f.users++
	if f.lingerTimer != nil {
		f.lingerTimer.Stop()
		f.lingerTimer = nil
	}
	return f, nil
}

// takeRestPlace takes a place for a feed to rest at, for a subscription that found the bucket
// missing and waits for it. It is charged to the context's owner; a *[bound.FullError] says that
// there is none. If the feed has such a place already, or was dropped, nothing is taken.
func (h *Hub) takeRestPlace(ctx context.Context, f *Feed) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if f.restPlace.Size() > 0 || h.feeds[f.name] != f {
		return nil
	}
	return h.restPlaces.TakeFor(ctx, f.restPlace, 1)
}

// releaseRestPlace gives back the place that a feed was to rest at, since its bucket is there.
func (h *Hub) releaseRestPlace(f *Feed) {
	h.mu.Lock()
	defer h.mu.Unlock()
	f.restPlace.Release()
}

// takePlaceLocked takes a place for a feed that is to have a source, if need be that of a feed that
// nobody uses.
func (h *Hub) takePlaceLocked(ctx context.Context, place *bound.Hold, owner string) error {
	for {
		err := h.feedPlaces.Take(ctx, place, owner, 1, nil)
		full, ok := errors.AsType[*bound.FullError](err)
		if !ok {
			return err
		}
		idle := h.idleFeedLocked(owner, full.OfOwner)
		if idle == nil {
			return err
		}
		h.dropFeedLocked(idle)
	}
}

// idleFeedLocked returns the feed that nobody has used for the longest time, nil if there is none.
// With ofOwner it must be one that has its place from the owner's share.
func (h *Hub) idleFeedLocked(owner string, ofOwner bool) (idle *Feed) {
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

// startSourceLocked gives a feed a source.
func (h *Hub) startSourceLocked(f *Feed) {
	ctx, cancel := context.WithCancel(h.ctx)
	f.stopSource = cancel
	if h.ctx.Err() != nil {
		return
	}
	h.work.Go(func() { f.source.run(ctx) })
}

// dropFeedLocked ends a feed and gives back what it holds.
func (h *Hub) dropFeedLocked(f *Feed) {
	delete(h.feeds, f.name)
	if f.lingerTimer != nil {
		f.lingerTimer.Stop()
		f.lingerTimer = nil
	}
	if f.resting {
		f.resting = false
		h.resting--
	}
	f.stopSource()
	f.place.Release()
	f.restPlace.Release()
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.journal.log.memory != nil {
		f.journal.log.memory.Release()
	}
	f.journal.keys.end()
	f.dropCopyLocked(DroppedUnused)
	f.memory.ended = true
}

// release removes a user from a feed. After the last one it lingers for some time, unless it rests.
func (h *Hub) release(f *Feed) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if f.users--; f.users > 0 || h.feeds[f.name] != f {
		return
	}
	if f.resting {
		h.dropFeedLocked(f)
		return
	}
	f.idleSince = time.Now()
	f.lingerTimer = time.AfterFunc(h.options.Linger, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		if f.users == 0 && h.feeds[f.name] == f {
			h.dropFeedLocked(f)
		}
	})
}

// restFeed lets a feed rest because its bucket is missing, and reports whether its source is to
// end. It does not end if an advisory waits, which may say that the bucket is there. A feed that
// finds no place among those that rest keeps the one it has.
func (h *Hub) restFeed(f *Feed) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.feeds[f.name] != f:
		return true
	case f.source.mail.hasWaiting():
		return false
	case f.users == 0:
		h.dropFeedLocked(f)
		return true
	}
	f.resting = true
	h.resting++
	if f.restPlace.Size() > 0 || h.restPlaces.Try(f.restPlace, f.owner, 1, nil) {
		f.place.Release()
	}
	h.startLookingLocked()
	return true
}

// rouseLocked gives a feed that rests a source again, which asks for the bucket; until it has
// answered, new subscriptions wait. It has no effect on other feeds. A *[bound.FullError] says that
// there is no place among the feeds with a source, and then the feed rests on.
func (h *Hub) rouseLocked(ctx context.Context, f *Feed) error {
	if !f.resting || h.ctx.Err() != nil {
		return nil
	}
	if f.place.Size() == 0 {
		if err := h.takePlaceLocked(ctx, f.place, f.owner); err != nil {
			return err
		}
	}
	f.restPlace.Release()
	f.resting = false
	h.resting--
	f.mu.Lock()
	f.status.unsettle() // whether there is a bucket now is known once it has been asked for
	f.mu.Unlock()
	h.startSourceLocked(f)
	return nil
}

// passOnLocked passes an advisory on to a feed.
func (h *Hub) passOnLocked(f *Feed, a kvclient.Advisory) {
	switch {
	case !f.resting:
		f.source.postAdvisory(a)
	case a.Kind != kvclient.StreamPurged: // the bucket may have been created or restored
		_ = h.rouseLocked(h.ctx, f) // without a place, the next look tries again
	}
}

const (
	// lookEvery is how often the names of all streams are asked for while feeds rest. Advisories
	// report a bucket at once, where the identity may hear them.
	lookEvery = 1500 * time.Millisecond
	// lookShare bounds the time that looks take, to one part in as many: the server sorts the
	// names of all streams for each.
	lookShare = 20
)

// startLookingLocked starts to look for the buckets of the feeds that rest, unless a goroutine does
// so already.
func (h *Hub) startLookingLocked() {
	if h.looking != nil || h.ctx.Err() != nil {
		return
	}
	h.looking = make(chan struct{}, 1)
	h.work.Go(h.lookWhileResting)
}

// lookSoonLocked asks for a look before its time, if a goroutine looks at all.
func (h *Hub) lookSoonLocked() {
	if h.looking == nil {
		return
	}
	select {
	case h.looking <- struct{}{}:
	default:
	}
}

// lookWhileResting looks until no feed rests any more.
func (h *Hub) lookWhileResting() {
	wait := lookEvery
	for h.waitForLook(wait) {
		began := time.Now()
		names, err := h.client.BucketNames(h.ctx)
		wait = max(lookEvery, lookShare*time.Since(began))
		if err != nil {
			continue // the feeds that have a source report what is wrong with NATS
		}
		h.mu.Lock()
		for _, name := range names {
			if f := h.feeds[name]; f != nil {
				_ = h.rouseLocked(h.ctx, f) // without a place, the next look tries again
			}
		}
		h.mu.Unlock()
	}
}

// waitForLook waits until it is time for a look, and reports whether there is a reason for one.
func (h *Hub) waitForLook(wait time.Duration) bool {
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
