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
	shareable = 4 << 20
	shareFor  = time.Second
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

	ctx    context.Context // ends when nobody follows the reading any more
	cancel context.CancelFunc
	place  bound.Hold    // among the open readings
	turn   bound.Hold    // among those that read
	wanted chan struct{} // has a token once another waits for the place, while this one makes no progress

	expected []*expected          // markers that have yet to come, in order; of the goroutine that reads
	byKey    map[string]*expected // of the same, and of those that came

	mu        sync.Mutex
	followers map[*follower]struct{}
	// lines are those that the reading may wait in, one for each client that follows it, with the
	// number of its followers; at most maxLines. queued says where it waits.
	lines    map[string]int
	queued   queued
	first    *chunk // nil when nobody can join any more
	last     *chunk
	read     int // bytes
	followed int // bytes, of the fastest
	moved    chan struct{}
	to       kvclient.Revision // what it stands for; 0 until it has begun
	toCheck  kvclient.Check    // of the message at to; zero if it is not known
	end      kvclient.Revision // the stream's last revision when all was read
	keys     int
	done     bool
	err      error
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
	counted  bool   // among the reading's lines
	at       *chunk // that is sent next or was sent last
	offset   int
	followed int
	cut      bool // it was too far behind
}

// join returns a place in the reading of that key, and a new one if there is none to join. The feed is locked; who has locked it
// calls start when it is not.
func (f *Feed) join(s *Subscription, key readingKey) *follower {
	if r := f.readings[key]; r != nil {
		if place := r.follow(s, f.log.horizon); place != nil {
			return place
		}
	}
	r := &reading{key: key, feed: f, bucket: f.bucket, epoch: f.epoch, filters: s.options.Filters,
		wanted: make(chan struct{}, 1), lines: make(map[string]int, 1),
		followers: make(map[*follower]struct{}), first: new(chunk), moved: make(chan struct{}, 1)}
	r.ctx, r.cancel = context.WithCancel(f.hub.ctx)
	r.last = r.first
	f.readings[key] = r
	f.due = append(f.due, r)
	return r.follow(s, f.log.horizon)
}

// follow returns a place at the beginning, or nil if that is gone, or if the log has moved beyond what the snapshot stands for.
func (r *reading) follow(s *Subscription, horizon kvclient.Revision) *follower {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.first == nil || r.err != nil || !r.key.replay && r.to != 0 && r.to < horizon {
		return nil
	}
	place := &follower{reading: r, sub: s, at: r.first}
	r.followers[place] = struct{}{}
	r.enterLine(place)
	return place
}

// leave gives a place up. The last to leave a reading that is not done drops it: nobody else would
// ever follow it. The feed must be locked, so that nobody joins meanwhile.
func (p *follower) leave() {
	r := p.reading
	r.mu.Lock()
	r.remove(p)
	dropped := len(r.followers) == 0 && !r.done
	if dropped {
		r.first = nil
	}
	r.mu.Unlock()
	if !dropped {
		r.signal()
		return
	}
	if r.feed.readings[r.key] == r {
		delete(r.feed.readings, r.key)
	}
	r.cancel()
}

// remove takes a follower out. r.mu must be held.
func (r *reading) remove(p *follower) {
	if _, follows := r.followers[p]; !follows {
		return
	}
	delete(r.followers, p)
	p.at = nil
	r.leaveLine(p)
}

func (r *reading) signal() {
	select {
	case r.moved <- struct{}{}:
	default:
	}
}

// add hands a chunk over. Who was too far behind before loses its place; by the chunk itself nobody is: one value can be more than anybody
// may be behind.
func (r *reading) add(c *chunk) {
	r.feed.revive(c.changes)
	r.mu.Lock()
	defer r.wake()
	defer r.mu.Unlock()
	r.last.next = c
	r.last = c
	before := r.read
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
		if before-p.followed > maxStraggle {
			p.cut = true
			r.remove(p)
			p.sub.wake() // a reading wakes who follows it, and that it does not any more
		}
	}
}

// finish notes that all was read, or why not. End is the stream's last revision after that.
func (r *reading) finish(end kvclient.Revision, err error) {
	r.mu.Lock()
	r.end, r.done, r.err = end, true, err
	r.mu.Unlock()
	r.wake()
}

// forget lets nobody join any more.
func (r *reading) forget() {
	r.feed.mu.Lock()
	if r.feed.readings[r.key] == r {
		delete(r.feed.readings, r.key)
	}
	r.feed.mu.Unlock()
	r.mu.Lock()
	r.first = nil
	r.mu.Unlock()
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
			p.at, p.offset = p.at.next, 0
			continue
		}
		dst = append(dst, Event{Kind: Changed, Change: p.at.changes[p.offset]})
		limit--
		if p.offset++; p.offset == len(p.at.changes) {
			p.followed += p.at.bytes // now, and not with the next chunk: a large one may be as much as the reading may be ahead
			r.followed = max(r.followed, p.followed)
			r.signal()
		}
	}
	switch {
	case p.cut:
		return dst, true, errStraggled
	case p.at.next == nil && p.offset == len(p.at.changes) && r.done:
		return dst, true, r.err
	}
	return dst, false, nil
}
