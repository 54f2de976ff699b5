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

// This file loads copies, on a goroutine for each.
//
// A copy is read as a snapshot for a watch is: the last entry of each key, up to the stream's last
// revision when it begins, in ascending order, and with the places of such a reading, so that a
// large bucket delays no other. The feed applies what arrives to the same copy meanwhile.

// errTooLarge says that a bucket does not fit into memory.
var errTooLarge = errors.New("the bucket is larger than --memory")

// loadCopyIfDue loads a copy if the feed should have one and has none. It belongs to the source's
// goroutine.
func (src *source) loadCopyIfDue() {
	src.feed.mu.Lock()
	defer src.feed.mu.Unlock()
	src.loadCopyLocked()
}

// loadCopyLocked is loadCopyIfDue with the feed locked.
func (src *source) loadCopyLocked() {
	f := src.feed
	c := f.beginCopyLocked()
	if f.memory.copy == nil {
		f.memory.endWait() // there will be none
	}
	if c == nil || f.hub.ctx.Err() != nil {
		return
	}
	ctx, cancel := context.WithCancel(f.hub.ctx)
	f.memory.stopLoad = cancel
	l := &copyLoad{feed: f, copy: c, epoch: f.journal.Epoch}
	f.hub.work.Go(func() {
		defer cancel()
		l.run(ctx)
	})
}

// A copyLoad loads a copy.
type copyLoad struct {
	// feed is the one whose copy it is.
	feed *Feed
	// copy is what is loaded.
	copy *copies.Copy
	// epoch is the bucket's.
	epoch kv.Epoch
	// active is its place among the readings that are read from NATS.
	active bound.Hold
	// read has the entries of the chunk that is being read, for the journal.
	read []*Change
	// bytes is what the chunk has.
	bytes int
}

// run loads the copy, or drops it.
func (l *copyLoad) run(ctx context.Context) {
	f := l.feed
	last, err := l.readAll(ctx)
	f.hub.options.Logger.Debug().Str("bucket", f.name.String()).Err(err).Msg("copy read")
	switch {
	case err == nil:
		f.copyScanned(l.copy, last)
		return
	case ctx.Err() != nil:
		return // it was dropped, or the hub is closed
	}
	why := DroppedFailed
	if errors.Is(err, errTooLarge) || l.copy.Lost() == copies.LostMemory {
		why = Dropped(copies.LostMemory)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.memory.copy == l.copy {
		f.dropCopyLocked(why)
	}
}

// readAll reads the bucket into the copy. It returns the stream's last revision after that.
func (l *copyLoad) readAll(ctx context.Context) (last kv.Revision, err error) {
	f, h := l.feed, l.feed.hub
	bucket, s, err := l.ask(ctx)
	if err != nil {
		return 0, err
	}
	if s.LiveBytes() > h.copyMemory.Limit() {
		return 0, errTooLarge
	}
	if err := f.awaitRead(ctx, s.Last); err != nil {
		return 0, err
	}
	owner := bound.Part("", f.name.String())
	var open bound.Hold
	if err := h.openReadings.Take(ctx, &open, owner, 1, nil); err != nil {
		return 0, err
	}
	defer open.Release()
	if err := h.activeReadings.Take(ctx, &l.active, owner, 1, nil); err != nil {
		return 0, err
	}
	defer l.active.Release()
	err = bucket.Replay(ctx, kvclient.Replay{
		To:     s.Last,
		Hidden: func(kv.Entry) error { l.copy.NoteHidden(); return nil },
	}, func(e kv.Entry) error { return l.visit(ctx, e) })
	if err != nil {
		return 0, err
	}
	l.endChunk()
	_, s, err = l.ask(ctx)
	return s.Last, err
}

// ask asks where the stream is, which must be the one that the copy is of.
func (l *copyLoad) ask(ctx context.Context) (*kvclient.Bucket, kvclient.StreamState, error) {
	bucket, s, err := l.feed.ask(ctx)
	if err == nil && s.Epoch != l.epoch {
		err = errRestart
	}
	return bucket, s, err
}

// errGivenUp ends the load of a copy that has ended.
var errGivenUp = errors.New("the copy was given up")

// visit brings an entry to the copy. After a full chunk other readings may be active.
func (l *copyLoad) visit(ctx context.Context, e kv.Entry) error {
	if !l.copy.Load(e) {
		return errGivenUp
	}
	l.read = append(l.read, &Change{Entry: e})
	l.bytes += len(e.Value)
	if len(l.read) < chunkChanges && l.bytes < chunkBytes {
		return nil
	}
	l.endChunk()
	l.active.Release()
	owner := bound.Part("", l.feed.name.String())
	return l.feed.hub.activeReadings.Take(ctx, &l.active, owner, 1, nil)
}

// endChunk tells the journal what was read.
func (l *copyLoad) endChunk() {
	l.feed.mu.Lock()
	l.feed.journal.noteRead(l.read)
	l.feed.mu.Unlock()
	clear(l.read)
	l.read, l.bytes = l.read[:0], 0
}

// A serverTime is the time by the clock of the stream's server, as an answer brought it.
type serverTime struct {
	// at is the server's time, and heard is when the answer came, by the gateway's clock.
	at, heard time.Time
}

// serverNow returns the time by the clock of the stream's server: that of its last answer, and what
// has passed since. If the gateway's clock is set meanwhile, that changes nothing: a copy lets go
// of entries by this time, and does not get them back (TestClockThatIsSetEndsNoEntry). Until there
// was an answer, it is the gateway's time.
func (f *Feed) serverNow() time.Time {
	now := f.now()
	if last := f.serverAt.Load(); last != nil {
		return last.at.Add(now.Sub(last.heard))
	}
	return now
}
