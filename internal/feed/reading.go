package feed

import (
	"context"
	"sync"
	"time"

	"kvgateway/internal/kvclient"
)

const (
	chunkChanges = 256
	chunkBytes   = 256 << 10
	// readAhead is how far a reading may be ahead of its fastest follower, in bytes.
	readAhead = 1 << 20
	// maxStraggle is how far a follower may be behind the reading; beyond, it goes on with a reading of its own.
	maxStraggle = 8 << 20
	// shareable is how much may have been read when others still join from the beginning, and shareFor how long after its end.
	shareable = 4 << 20
	shareFor  = time.Second
	// readPatience is how long a reading waits for its followers before it gives its place to another.
	readPatience = 5 * time.Second
	// retryAfter is how long followers wait after a reading that failed.
	retryAfter = 200 * time.Millisecond
)

// A readingKey says what is read. Equal keys are read once.
type readingKey struct {
	filters  string
	history  bool
	noValues bool
	replay   bool              // of what came after a position, not a snapshot
	after    kvclient.Revision // entries up to here are left out
	to       kvclient.Revision // 0: what is the last when the reading begins
}

// A reading is a snapshot, or a replay, that is read from the store for all who follow it. What was read and not yet followed
// is a list of chunks: a follower holds its place in it, and what all have passed is garbage.
type reading struct {
	key  readingKey
	feed *Feed

	mu        sync.Mutex
	followers map[*follower]struct{}
	first     *chunk // nil when nobody can join any more
	last      *chunk
	read      int // bytes
	followed  int // bytes, of the fastest
	moved     chan struct{}
	to        kvclient.Revision // what it stands for; 0 until it has begun
	end       kvclient.Revision // the stream's last revision when all was read
	keys      int
	done      bool
	err       error
}

// A chunk is a part of what was read; next is set when there is more.
type chunk struct {
	changes []*Change
	bytes   int
	next    *chunk
}

// A follower is a subscription's place in a reading.
type follower struct {
	reading  *reading
	sub      *Subscription
	at       *chunk // that is sent next or was sent last
	offset   int
	followed int
	cut      bool // it was too far behind
}

// join returns a place in the reading of that key, and starts one if there is none to join. The feed is locked.
func (f *Feed) join(s *Subscription, key readingKey) *follower {
	if r := f.readings[key]; r != nil {
		if place := r.add(s, f.log.horizon); place != nil {
			return place
		}
	}
	r := &reading{key: key, feed: f, followers: make(map[*follower]struct{}), first: new(chunk), moved: make(chan struct{}, 1)}
	r.last = r.first
	f.readings[key] = r
	place := r.add(s, f.log.horizon)
	filters, bucket, epoch := s.options.Filters, f.bucket, f.epoch
	f.hub.work.Go(func() { r.run(f.hub.ctx, bucket, epoch, filters) })
	return place
}

// add returns a place at the beginning, or nil if that is gone, or if the log has moved beyond what the snapshot stands for.
func (r *reading) add(s *Subscription, horizon kvclient.Revision) *follower {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.first == nil || r.err != nil || !r.key.replay && r.to != 0 && r.to < horizon {
		return nil
	}
	place := &follower{reading: r, sub: s, at: r.first}
	r.followers[place] = struct{}{}
	return place
}

// leave gives a place up.
func (p *follower) leave() {
	p.reading.mu.Lock()
	delete(p.reading.followers, p)
	p.at = nil
	p.reading.mu.Unlock()
	p.reading.signal()
}

func (r *reading) signal() {
	select {
	case r.moved <- struct{}{}:
	default:
	}
}

// run reads, as soon as there is a place among those who read.
func (r *reading) run(ctx context.Context, bucket *kvclient.Bucket, epoch kvclient.Epoch, filters kvclient.Filters) {
	select {
	case r.feed.hub.slots <- struct{}{}:
	case <-ctx.Done():
		return
	}
	err := r.readAll(ctx, bucket, epoch, filters)
	<-r.feed.hub.slots
	r.feed.hub.stats.Snapshots.Add(1)
	if err != nil {
		// Who follows will try again; not at once, since what failed may still be away.
		select {
		case <-time.After(retryAfter):
		case <-ctx.Done():
		}
	}
	r.mu.Lock()
	r.done, r.err = true, err
	r.mu.Unlock()
	r.feed.hub.options.Logger.Debug().Str("bucket", r.feed.name.String()).Err(err).Msg("snapshot read")
	r.wake()
	forget := func() {
		r.feed.mu.Lock()
		if r.feed.readings[r.key] == r {
			delete(r.feed.readings, r.key)
		}
		r.feed.mu.Unlock()
		r.mu.Lock()
		r.first = nil
		r.mu.Unlock()
	}
	if err != nil {
		forget()
		return
	}
	time.AfterFunc(shareFor, forget)
}

func (r *reading) readAll(ctx context.Context, bucket *kvclient.Bucket, epoch kvclient.Epoch, filters kvclient.Filters) error {
	to := r.key.to
	if to == 0 {
		current, s, err := r.feed.ask(ctx)
		if err != nil {
			return err
		}
		if s.Epoch != epoch {
			return errRestart
		}
		bucket, to = current, s.Last
	}
	r.mu.Lock()
	r.to = to
	r.mu.Unlock()
	snapshot := to
	if r.key.replay {
		snapshot = 0
	}
	pending := new(chunk)
	err := bucket.Replay(ctx, kvclient.Replay{Filters: filters, History: r.key.history, After: r.key.after, To: to, NoValues: r.key.noValues},
		func(e kvclient.Entry) error {
			c := &Change{Entry: e, Snapshot: snapshot}
			pending.changes, pending.bytes = append(pending.changes, c), pending.bytes+c.weight()
			if len(pending.changes) < chunkChanges && pending.bytes < chunkBytes {
				return nil
			}
			full := pending
			pending = new(chunk)
			return r.append(ctx, full)
		})
	if err != nil {
		return err
	}
	if len(pending.changes) > 0 {
		if err := r.append(ctx, pending); err != nil {
			return err
		}
	}
	_, s, err := r.feed.ask(ctx)
	if err != nil {
		return err
	}
	if s.Epoch != epoch {
		return errRestart
	}
	r.mu.Lock()
	r.end = s.Last
	r.mu.Unlock()
	return nil
}

// append hands a chunk over, and waits while the fastest follower is too far behind.
func (r *reading) append(ctx context.Context, c *chunk) error {
	r.mu.Lock()
	r.last.next = c
	r.last = c
	r.read += c.bytes
	for i := range c.changes {
		if !c.changes[i].IsMarker() {
			r.keys++
		}
	}
	if r.read > shareable {
		r.first = nil
	}
	for p := range r.followers {
		if r.read-p.followed > maxStraggle {
			p.cut, p.at = true, nil
			delete(r.followers, p)
		}
	}
	r.mu.Unlock()
	r.wake()
	patience := time.NewTimer(readPatience)
	defer patience.Stop()
	for {
		r.mu.Lock()
		ahead, nobody := r.read-r.followed > readAhead, len(r.followers) == 0
		r.mu.Unlock()
		switch {
		case nobody && r.read > shareable:
			return context.Canceled
		case !ahead:
			return nil
		}
		select {
		case <-r.moved:
		case <-patience.C:
			return context.DeadlineExceeded
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (r *reading) wake() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for p := range r.followers {
		p.sub.wake()
	}
}

// next returns up to limit changes. Ended tells that there will be no more; err, why the reading failed.
func (p *follower) next(dst []Event, limit int) (events []Event, ended bool, err error) {
	r := p.reading
	r.mu.Lock()
	defer r.mu.Unlock()
	for !p.cut && limit > 0 {
		if p.offset == len(p.at.changes) {
			if p.at.next == nil {
				break
			}
			p.followed += p.at.bytes
			r.followed = max(r.followed, p.followed)
			p.at, p.offset = p.at.next, 0
			r.signal()
			continue
		}
		dst = append(dst, Event{Kind: Changed, Change: p.at.changes[p.offset]})
		p.offset++
		limit--
	}
	switch {
	case p.cut:
		return dst, true, errStraggled
	case p.at.next == nil && p.offset == len(p.at.changes) && r.done:
		return dst, true, r.err
	}
	return dst, false, nil
}
