package feed

import (
	"context"
	"errors"
	"time"

	"kvgateway/internal/bound"
	"kvgateway/internal/kvclient"
)

const (
	chunkChanges = 256
	chunkBytes   = 256 << 10
	// readPatience is how long a reading waits for its followers before it gives its place to another.
	readPatience = 5 * time.Second
	// followGrace is how long it may wait for them in any case, however many readings want to begin.
	followGrace = 100 * time.Millisecond
	// retryAfter is how long followers wait after a reading that failed.
	retryAfter = 200 * time.Millisecond
)

// errUnvouched ends a replay that is not all that it should be: markers are gone that nobody has told of.
var errUnvouched = errors.New("markers are gone from the store")

// start runs the readings that are due. The feed is not locked.
func (f *Feed) start() {
	f.mu.Lock()
	due := f.due
	f.due = nil
	f.mu.Unlock()
	for _, r := range due {
		if r.ctx.Err() == nil {
			f.hub.work.Go(r.run)
		}
	}
}

// run reads, as soon as there is a place for one reading more, and tells the followers how it
// ended.
func (r *reading) run() {
	defer r.cancel()
	end, err := r.readInTurn()
	if r.ctx.Err() != nil {
		return // nobody follows it any more
	}
	if err != nil && !errors.Is(err, errUnvouched) {
		// Who follows will try again; not at once, since what failed may still be away.
		select {
		case <-time.After(retryAfter):
		case <-r.ctx.Done():
		}
	}
	r.finish(end, err)
	r.feed.hub.options.Logger.Debug().Str("bucket", r.feed.name.String()).Err(err).Msg("snapshot read")
	if err != nil {
		r.forget()
		return
	}
	time.AfterFunc(shareFor, r.forget)
}

// readInTurn reads in the turns of its client and bucket. It returns what readAll does.
func (r *reading) readInTurn() (end kvclient.Revision, err error) {
	h := r.feed.hub
	if err := r.queue(r.ctx, h.open, &r.place, r.giveWay); err != nil {
		return 0, err
	}
	defer r.place.Release()
	if err := r.takeTurn(r.ctx); err != nil {
		return 0, err
	}
	defer r.turn.Release()
	defer h.stats.Snapshots.Add(1)
	return r.readAll(r.ctx)
}

// giveWay asks the reading to give its place to another, should it be waiting for its followers.
func (r *reading) giveWay() {
	select {
	case r.wanted <- struct{}{}:
	default:
	}
}

// takeTurn waits for the reading's turn to read.
func (r *reading) takeTurn(ctx context.Context) error {
	err := r.queue(ctx, r.feed.hub.turns, &r.turn, nil)
	r.place.Progress()
	return err
}

// openBound bounds the readings that are open, whether they read or wait for those who follow them.
func openBound(set *bound.Set, readings int) *bound.Bound {
	open := int64(openReadings * readings)
	return set.New(bound.Spec{
		Name:     "open-snapshots",
		Of:       "snapshots and replays that are open, with a consumer and some megabytes each",
		Unit:     bound.Places,
		Limit:    open,
		PerOwner: max(1, open/2),
		Wait:     time.Minute,
		Queue:    1 << 16, // no more than there are streams: each follows one reading
		Patience: followGrace,
		AtLimit:  "a stream waits for its snapshot; clients and buckets take turns",
	})
}

// turnBound bounds the readings that read from NATS at the same time.
func turnBound(set *bound.Set, readings int) *bound.Bound {
	return set.New(bound.Spec{
		Name:    "reading-snapshots",
		Of:      "open snapshots and replays that are being read from NATS",
		Unit:    bound.Places,
		Limit:   int64(readings),
		Wait:    time.Minute,
		Queue:   openReadings * readings,
		AtLimit: "the others wait; clients and buckets take turns after each 256 entries or 256 KiB",
	})
}

// readAll returns the stream's last revision when all was read.
func (r *reading) readAll(ctx context.Context) (end kvclient.Revision, err error) {
	bucket, to, toCheck := r.bucket, r.key.to, r.key.toCheck
	if to == 0 {
		current, s, err := r.ask(ctx)
		if err != nil {
			return 0, err
		}
		bucket, to, toCheck = current, s.Last, kvclient.CheckOf(s.LastTime)
	}
	if err := r.feed.reach(ctx, to); err != nil {
		return 0, err
	}
	if err := r.begins(to, toCheck); err != nil {
		return 0, err
	}
	c := collector{reading: r, pending: new(chunk)}
	if !r.key.replay {
		c.snapshot, c.check = to, toCheck
	}
	err = bucket.Replay(ctx, kvclient.Replay{Filters: r.filters, History: r.key.history, After: r.key.after, To: to, NoValues: r.key.noValues},
		func(e kvclient.Entry) error { return c.visit(ctx, e) })
	if err == nil {
		err = c.flush(ctx)
	}
	if err == nil {
		err = r.account(ctx, r.missed(nil))
	}
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
	reading  *reading
	snapshot kvclient.Revision
	check    kvclient.Check // of the message at that revision
	pending  *chunk
}

func (c *collector) visit(ctx context.Context, e kvclient.Entry) error {
	change := &Change{Entry: e, Snapshot: c.snapshot, SnapshotCheck: c.check}
	c.pending.changes, c.pending.bytes = append(c.pending.changes, change), c.pending.bytes+change.weight()
	if len(c.pending.changes) < chunkChanges && c.pending.bytes < chunkBytes {
		return nil
	}
	return c.flush(ctx)
}

func (c *collector) flush(ctx context.Context) error {
	full := c.pending
	if len(full.changes) == 0 {
		return nil
	}
	c.pending = new(chunk)
	if err := c.reading.account(ctx, c.reading.missed(full)); err != nil {
		return err
	}
	c.reading.add(full)
	return c.reading.await(ctx)
}

// account finds out what became of markers that did not come. Nobody may get past them before: as a point, a later revision would
// vouch for them.
func (r *reading) account(ctx context.Context, missed []*expected) error {
	if len(missed) == 0 {
		return nil
	}
	_, s, err := r.ask(ctx)
	if err == nil {
		err = r.feed.reach(ctx, s.Last)
	}
	if err == nil && !r.feed.explains(missed) {
		err = errUnvouched
	}
	return err
}

// reach waits until the feed has read everything up to a revision.
func (f *Feed) reach(ctx context.Context, revision kvclient.Revision) error {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	reached := make(chan struct{})
	f.mu.Lock()
	f.await(revision, func() { close(reached) })
	f.mu.Unlock()
	select {
	case <-reached:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// await lets other readings read, for as long as the fastest follower is too far behind and until
// this one's turn has come again.
func (r *reading) await(ctx context.Context) error {
	r.turn.Release()
	if err := r.awaitFollowers(ctx); err != nil {
		return err
	}
	return r.takeTurn(ctx)
}

func (r *reading) awaitFollowers(ctx context.Context) error {
	if !r.ahead() {
		return nil
	}
	patience := time.NewTimer(readPatience)
	defer patience.Stop()
	grace := time.NewTimer(followGrace)
	defer grace.Stop()
	var wanted chan struct{}
	for r.ahead() {
		select {
		case <-r.moved:
			r.place.Progress()
		case <-grace.C:
			wanted = r.wanted
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

// ahead reports whether the reading has to wait for those who follow it.
func (r *reading) ahead() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.read-r.followed > readAhead
}
