package feed

import (
	"context"
	"errors"
	"time"

	"kvgateway/internal/bound"
	"kvgateway/internal/kv"
	"kvgateway/internal/kvclient"
)

// This file is the goroutine of a reading.

const (
	// chunkChanges and chunkBytes are how much a chunk has at most, but for its last change.
	chunkChanges = 256
	chunkBytes   = 256 << 10
	// cursorPatience is how long a reading waits for its cursors before it gives its place to
	// another.
	cursorPatience = 5 * time.Second
	// cursorGrace is how long it may wait for them in any case, however many readings want the
	// place.
	cursorGrace = 100 * time.Millisecond
	// retryAfter is how long subscriptions wait after a reading that failed.
	retryAfter = 200 * time.Millisecond
)

// errUnvouched ends a reading that is not all that it should be: markers are gone from the store
// that nobody has reported.
var errUnvouched = errors.New("markers are gone from the store")

// startReadings starts the readings that are due.
func (f *Feed) startReadings() {
	f.mu.Lock()
	due := f.dueReadings
	f.dueReadings = nil
	f.mu.Unlock()
	for _, r := range due {
		if r.ctx.Err() == nil {
			f.hub.work.Go(r.run)
		}
	}
}

// run reads as soon as there is a place for one more open reading, and notes how that ended.
func (r *reading) run() {
	defer r.cancel()
	end, err := r.readWhenAdmitted()
	if r.ctx.Err() != nil {
		return // nobody needs it any more
	}
	if err != nil && !errors.Is(err, errUnvouched) {
		// The subscriptions will try again, but not at once, since what failed may still be away.
		select {
		case <-time.After(retryAfter):
		case <-r.ctx.Done():
		}
	}
	r.finish(end, err)
	r.feed.hub.options.Logger.Debug().Str("bucket", r.feed.name.String()).Err(err).
		Msg("snapshot read")
	if err != nil {
		r.stopJoining()
		return
	}
	time.AfterFunc(shareFor, r.stopJoining)
}

// readWhenAdmitted reads when the reading has its places, from the copy or from NATS. It returns
// what readAll does.
//
// It waits for a copy that is being loaded, and before it takes a place: the load needs one, too.
func (r *reading) readWhenAdmitted() (end kv.Revision, err error) {
	h := r.feed.hub
	r.feed.awaitCopy(r.ctx)
	if err := r.takeInShortestLine(r.ctx, h.openReadings, &r.openHold, r.giveWay); err != nil {
		return 0, err
	}
	defer r.openHold.Release()
	if end, ok, err := r.readCopy(r.ctx); ok {
		return end, err
	}
	if err := r.becomeActive(r.ctx); err != nil {
		return 0, err
	}
	defer r.activeHold.Release()
	defer h.stats.Snapshots.Add(1)
	return r.readAll(r.ctx)
}

// giveWay asks the reading to give its place to another, if it is waiting for its cursors.
func (r *reading) giveWay() {
	select {
	case r.placeWanted <- struct{}{}:
	default:
	}
}

// becomeActive waits for a place among the active readings.
func (r *reading) becomeActive(ctx context.Context) error {
	err := r.takeInShortestLine(ctx, r.feed.hub.activeReadings, &r.activeHold, nil)
	r.openHold.Progress()
	return err
}

// openBound bounds the readings that are open, whether they are active or wait for their cursors.
func openBound(set *bound.Set, readings int) *bound.Bound {
	open := int64(openPerActive * readings)
	return set.New(bound.Spec{
		Name: "open-snapshots",
		Of: "snapshots and replays that are open, with some megabytes each, and with a " +
			"consumer, or with what is overwritten in memory before they have ended",
		Unit:     bound.Places,
		Limit:    open,
		PerOwner: max(1, open/2),
		Wait:     time.Minute,
		Queue:    1 << 16, // no more than there are subscriptions: each needs one
		Patience: cursorGrace,
		AtLimit:  "a stream waits for its snapshot; clients and buckets take turns",
	})
}

// activeBound bounds the readings that are read from NATS at the same time.
func activeBound(set *bound.Set, readings int) *bound.Bound {
	return set.New(bound.Spec{
		Name:  "reading-snapshots",
		Of:    "open snapshots and replays that are being read from NATS",
		Unit:  bound.Places,
		Limit: int64(readings),
		Wait:  time.Minute,
		Queue: openPerActive * readings,
		AtLimit: "the others wait; clients and buckets take turns after each 256 entries or " +
			"256 KiB",
	})
}

// readAll reads everything. It returns the stream's last revision once all was read: an entry that
// the reading missed was overwritten by a message up to there, so a subscription is complete only
// when the log has brought it that far.
//
// What a consumer is said to have is no proof that all was read, since nats-server counts what
// took the place of an overwritten message some time later. So kvclient ends a replay only when
// the leader says that nothing that it selects was stored since, or when something later has come
// (TestReadsAreCompleteWherePendingIsTooLow). readAll relies on that: when Replay returns nil,
// every key that had an entry up to `to` has been read, or has a later message that the log brings.
func (r *reading) readAll(ctx context.Context) (end kv.Revision, err error) {
	bucket, to, toCheck := r.bucket, r.key.to, r.key.toCheck
	if to == 0 {
		current, s, err := r.ask(ctx)
		if err != nil {
			return 0, err
		}
		bucket, to, toCheck = current, s.Last, kv.CheckOf(s.LastTime)
	}
	if err := r.feed.awaitRead(ctx, to); err != nil {
		return 0, err
	}
	if err := r.begin(to, toCheck); err != nil {
		return 0, err
	}
	replay := kvclient.Replay{
		Filters:  r.filters,
		History:  r.key.history,
		After:    r.key.after,
		To:       to,
		NoValues: r.key.noValues,
	}
	c := r.newCollector(to, toCheck, r.pauseBetweenChunks)
	err = c.collect(ctx, func(visit func(kv.Entry) error) error {
		return bucket.Replay(ctx, replay, visit)
	})
	if err != nil {
		return 0, err
	}
	_, s, err := r.ask(ctx)
	return s.Last, err
}

// ask returns where the stream is, if it is the one that is read.
func (r *reading) ask(ctx context.Context) (*kvclient.Bucket, kvclient.StreamState, error) {
	bucket, s, err := r.feed.ask(ctx)
	if err == nil && s.Epoch != r.epoch {
		err = errRestart
	}
	return bucket, s, err
}

// A collector makes chunks of what is read.
type collector struct {
	// reading is the one that gets the chunks.
	reading *reading
	// snapshot is the revision that the entries are a snapshot for; 0 for a replay.
	snapshot kv.Revision
	// check is that of the message at that revision.
	check kv.Check
	// pending is the chunk that is not full yet.
	pending *chunk
	// pause waits after a chunk until the reading may go on.
	pause func(context.Context) error
}

// newCollector returns a collector for what the reading reads up to a revision, whose message has
// that check.
func (r *reading) newCollector(
	to kv.Revision, toCheck kv.Check, pause func(context.Context) error,
) *collector {
	c := &collector{reading: r, pending: new(chunk), pause: pause}
	if !r.key.replay {
		c.snapshot, c.check = to, toCheck
	}
	return c
}

// collect collects all that read calls visit with, and finds out what became of the markers that
// did not come.
func (c *collector) collect(
	ctx context.Context, read func(visit func(kv.Entry) error) error,
) error {
	err := read(func(e kv.Entry) error { return c.visit(ctx, e) })
	if err == nil {
		err = c.flush(ctx)
	}
	if err == nil {
		err = c.reading.accountFor(ctx, c.reading.missingFrom(nil))
	}
	return err
}

// visit adds an entry, and waits after a full chunk until the reading may go on.
func (c *collector) visit(ctx context.Context, e kv.Entry) error {
	change := &Change{Entry: e, Snapshot: c.snapshot, SnapshotCheck: c.check}
	c.pending.changes = append(c.pending.changes, change)
	c.pending.bytes += change.readingBytes()
	if len(c.pending.changes) < chunkChanges && c.pending.bytes < chunkBytes {
		return nil
	}
	return c.flush(ctx)
}

// flush hands the pending chunk over, once no marker before it is missing.
func (c *collector) flush(ctx context.Context) error {
	full := c.pending
	if len(full.changes) == 0 {
		return nil
	}
	c.pending = new(chunk)
	if err := c.reading.accountFor(ctx, c.reading.missingFrom(full)); err != nil {
		return err
	}
	c.reading.addChunk(full)
	return c.pause(ctx)
}

// accountFor finds out what became of markers that did not come. It returns errUnvouched if one of
// them is gone from the store. No subscription may get past them before that is known: as a point,
// a later revision would vouch for them.
func (r *reading) accountFor(ctx context.Context, missing []*expectedMarker) error {
	if len(missing) == 0 {
		return nil
	}
	_, s, err := r.ask(ctx)
	if err != nil {
		return err
	}
	if err := r.feed.awaitRead(ctx, s.Last); err != nil {
		return err
	}
	r.feed.mu.Lock()
	defer r.feed.mu.Unlock()
	if !r.feed.journal.explains(missing) {
		return errUnvouched
	}
	return nil
}

// awaitRead waits until the feed has read everything up to a revision, for askTimeout at most.
func (f *Feed) awaitRead(ctx context.Context, revision kv.Revision) error {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	reached := make(chan struct{})
	f.mu.Lock()
	f.whenReadLocked(revision, func() { close(reached) })
	f.mu.Unlock()
	select {
	case <-reached:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// pauseBetweenChunks lets other readings be active, for as long as the fastest cursor is too far
// behind and until this reading may be active again.
func (r *reading) pauseBetweenChunks(ctx context.Context) error {
	r.activeHold.Release()
	if err := r.awaitCursors(ctx); err != nil {
		return err
	}
	return r.becomeActive(ctx)
}

// awaitCursors waits until the fastest cursor is near enough. It returns context.DeadlineExceeded
// if that takes too long, or if another reading waits for the place.
func (r *reading) awaitCursors(ctx context.Context) error {
	if !r.tooFarAhead() {
		return nil
	}
	patience := time.NewTimer(cursorPatience)
	defer patience.Stop()
	grace := time.NewTimer(cursorGrace)
	defer grace.Stop()
	var wanted chan struct{} // placeWanted once the grace is over
	for r.tooFarAhead() {
		select {
		case <-r.cursorMoved:
			r.openHold.Progress()
		case <-grace.C:
			wanted = r.placeWanted
		case <-wanted:
			return context.DeadlineExceeded
		case <-patience.C:
			return context.DeadlineExceeded
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// tooFarAhead reports whether the reading has to wait for its cursors.
func (r *reading) tooFarAhead() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.readBytes-r.consumedBytes > readAhead
}
