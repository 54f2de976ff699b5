package feed

import (
	"context"
	"errors"
	"time"

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
		f.hub.work.Go(func() { r.run(f.hub.ctx) })
	}
}

// run reads, as soon as there is a place among those who read.
func (r *reading) run(ctx context.Context) {
	h := r.feed.hub
	if !h.admit(ctx) {
		return
	}
	var end kvclient.Revision
	err := ctx.Err()
	if enter(ctx, h.slots) {
		end, err = r.readAll(ctx)
		<-h.slots
	}
	<-h.open
	r.feed.hub.stats.Snapshots.Add(1)
	if err != nil && !errors.Is(err, errUnvouched) {
		// Who follows will try again; not at once, since what failed may still be away.
		select {
		case <-time.After(retryAfter):
		case <-ctx.Done():
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

// admit waits until one reading more may be open. Where others wait for their followers, it does not wait for their patience.
func (h *Hub) admit(ctx context.Context) bool {
	for {
		select {
		case h.open <- struct{}{}:
			return true
		default:
		}
		select {
		case h.open <- struct{}{}:
			return true
		case h.wanted <- struct{}{}:
		case <-ctx.Done():
			return false
		}
		select { // the one that ends now gives its place up soon, to whoever is first
		case h.open <- struct{}{}:
			return true
		case <-time.After(followGrace):
		case <-ctx.Done():
			return false
		}
	}
}

// enter takes a place, and returns false if the context ends before there is one.
func enter(ctx context.Context, places chan struct{}) bool {
	select {
	case places <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
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

// await waits while the fastest follower is too far behind. Others read meanwhile.
func (r *reading) await(ctx context.Context) error {
	if !r.ahead() {
		return nil
	}
	<-r.feed.hub.slots
	err := r.awaitFollowers(ctx)
	r.feed.hub.slots <- struct{}{}
	return err
}

// ahead tells whether the reading has to wait.
func (r *reading) ahead() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.read-r.followed > readAhead
}

func (r *reading) awaitFollowers(ctx context.Context) error {
	patience := time.NewTimer(readPatience)
	defer patience.Stop()
	grace := time.NewTimer(followGrace)
	defer grace.Stop()
	var wanted chan struct{}
	for {
		r.mu.Lock()
		ahead, nobody := r.read-r.followed > readAhead, len(r.followers) == 0 && r.first == nil
		r.mu.Unlock()
		switch {
		case nobody:
			return context.Canceled
		case !ahead:
			return nil
		}
		select {
		case <-r.moved:
		case <-grace.C:
			wanted = r.feed.hub.wanted
		case <-wanted:
			return context.DeadlineExceeded
		case <-patience.C:
			return context.DeadlineExceeded
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
