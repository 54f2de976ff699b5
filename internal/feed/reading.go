package feed

import (
	"context"
	"sync"
	"time"

	"kvgateway/internal/bound"
	"kvgateway/internal/kvclient"
)

const (
	// readAhead is how far a reading may be ahead of its fastest follower, in bytes.
	readAhead = 1 << 20
	// maxStraggle is how far a follower may be behind the reading; beyond, it goes on with a reading of its own.
	maxStraggle = 2 << 20
	// shareable is how much may have been read when others still join from the beginning, and shareFor how long after its end.
	shareableBytes = 4 << 20
	shareFor       = time.Second
)

// A readingKey says what is read. Equal keys are read once.
type readingKey struct {
	filters  string
	history  bool
	noValues bool
	replay   bool              // of what came after a position, not a snapshot
	remains  bool              // with replay: what remains of that is enough
	after    kvclient.Revision // entries up to here are left out
	to       kvclient.Revision // 0: what is the last when the reading begins
	toCheck  kvclient.Check    // of the message at to; zero if it is not known
}

// A reading is a snapshot, or a replay, that is read from the store for all who follow it. What was read and not yet followed
// is a list of chunks: a follower holds its place in it, and what all have passed is garbage.
//
// It waits for a place among the open readings, which have a consumer and some megabytes each, and
// then for a turn to read before each chunk. When the last of its followers leaves it is dropped,
// wherever it is: nobody may join it any more, and its context ends.
type reading struct {
	key     readingKey
	feed    *Feed
	bucket  *kvclient.Bucket
	epoch   kvclient.Epoch
	filters kvclient.Filters

	ctx         context.Context // ends when nobody follows the reading any more
	cancel      context.CancelFunc
	owner       string        // in whose line it waits: the client's that caused it, for this bucket
	openHold    bound.Hold    // among the open readings
	activeHold  bound.Hold    // among those that read
	placeWanted chan struct{} // has a token once another waits for the place, while this one makes no progress

	expected      []*expectedMarker          // markers that have yet to come, in order; of the goroutine that reads
	expectedByKey map[string]*expectedMarker // of the same, and of those that came

	mu            sync.Mutex
	cursors       map[*readingCursor]struct{}
	first         *chunk // nil when nobody can join any more
	last          *chunk
	readBytes     int // bytes
	consumedBytes int // bytes, of the fastest
	cursorMoved   chan struct{}
	to            kvclient.Revision // what it stands for; 0 until it has begun
	toCheck       kvclient.Check    // of the message at to; zero if it is not known
	end           kvclient.Revision // the stream's last revision when all was read
	keys          int
	done          bool
	err           error
}

// A chunk is a part of what was read; next is set when there is more.
type chunk struct {
	changes []*Change
	bytes   int
	next    *chunk
}

// A follower is a subscription's place in a reading.
type readingCursor struct {
	reading  *reading
	sub      *Subscription
	chunk    *chunk // that is sent next or was sent last
	offset   int
	consumed int
	cutOff   bool // it was too far behind
}

// join returns a place in the reading of that key, and a new one if there is none to join. The feed is locked; who has locked it
// calls start when it is not.
func (f *Feed) join(s *Subscription, key readingKey) *readingCursor {
	if r := f.readings[key]; r != nil {
		if place := r.newCursor(s, f.log.horizon); place != nil {
			return place
		}
	}
	r := &reading{key: key, feed: f, bucket: f.bucket, epoch: f.epoch, filters: s.options.Filters,
		owner: bound.Part(s.owner, f.name.String()), placeWanted: make(chan struct{}, 1),
		cursors: make(map[*readingCursor]struct{}), first: new(chunk), cursorMoved: make(chan struct{}, 1)}
	r.ctx, r.cancel = context.WithCancel(f.hub.ctx)
	r.last = r.first
	f.readings[key] = r
	f.dueReadings = append(f.dueReadings, r)
	return r.newCursor(s, f.log.horizon)
}

// follow returns a place at the beginning, or nil if that is gone, or if the log has moved beyond what the snapshot stands for.
func (r *reading) newCursor(s *Subscription, horizon kvclient.Revision) *readingCursor {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.first == nil || r.err != nil || !r.key.replay && r.to != 0 && r.to < horizon {
		return nil
	}
	place := &readingCursor{reading: r, sub: s, chunk: r.first}
	r.cursors[place] = struct{}{}
	return place
}

// leave gives a place up. The last to leave a reading that is not done drops it: nobody else would
// ever follow it. The feed must be locked, so that nobody joins meanwhile.
func (p *readingCursor) leave() {
	r := p.reading
	r.mu.Lock()
	delete(r.cursors, p)
	p.chunk = nil
	dropped := len(r.cursors) == 0 && !r.done
	if dropped {
		r.first = nil
	}
	r.mu.Unlock()
	if !dropped {
		r.signalMoved()
		return
	}
	if r.feed.readings[r.key] == r {
		delete(r.feed.readings, r.key)
	}
	r.cancel()
}

func (r *reading) signalMoved() {
	select {
	case r.cursorMoved <- struct{}{}:
	default:
	}
}

// add hands a chunk over. Who was too far behind before loses its place; by the chunk itself nobody is: one value can be more than anybody
// may be behind.
func (r *reading) addChunk(c *chunk) {
	r.feed.dropRevivedMarkers(c.changes)
	r.mu.Lock()
	defer r.wakeSubscribers()
	defer r.mu.Unlock()
	r.last.next = c
	r.last = c
	before := r.readBytes
	r.readBytes += c.bytes
	for i := range c.changes {
		if !c.changes[i].IsMarker() {
			r.keys++
		}
	}
	if r.readBytes > shareableBytes {
		r.first = nil
	}
	for p := range r.cursors {
		if before-p.consumed > maxStraggle {
			p.cutOff, p.chunk = true, nil
			delete(r.cursors, p)
			p.sub.wake() // a reading wakes who follows it, and that it does not any more
		}
	}
}

// finish notes that all was read, or why not. End is the stream's last revision after that.
func (r *reading) finish(end kvclient.Revision, err error) {
	r.mu.Lock()
	r.end, r.done, r.err = end, true, err
	r.mu.Unlock()
	r.wakeSubscribers()
}

// forget lets nobody join any more.
func (r *reading) stopJoining() {
	r.feed.mu.Lock()
	if r.feed.readings[r.key] == r {
		delete(r.feed.readings, r.key)
	}
	r.feed.mu.Unlock()
	r.mu.Lock()
	r.first = nil
	r.mu.Unlock()
}

func (r *reading) wakeSubscribers() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for p := range r.cursors {
		p.sub.wake()
	}
}

// next returns up to limit changes. Ended tells that there will be no more; err, why the reading failed.
func (p *readingCursor) next(dst []Event, limit int) (events []Event, ended bool, err error) {
	r := p.reading
	r.mu.Lock()
	defer r.mu.Unlock()
	for !p.cutOff && limit > 0 {
		if p.offset == len(p.chunk.changes) {
			if p.chunk.next == nil {
				break
			}
			p.chunk, p.offset = p.chunk.next, 0
			continue
		}
		dst = append(dst, Event{Kind: Changed, Change: p.chunk.changes[p.offset]})
		limit--
		if p.offset++; p.offset == len(p.chunk.changes) {
			p.consumed += p.chunk.bytes // now, and not with the next chunk: a large one may be as much as the reading may be ahead
			r.consumedBytes = max(r.consumedBytes, p.consumed)
			r.signalMoved()
		}
	}
	switch {
	case p.cutOff:
		return dst, true, errStraggled
	case p.chunk.next == nil && p.offset == len(p.chunk.changes) && r.done:
		return dst, true, r.err
	}
	return dst, false, nil
}
