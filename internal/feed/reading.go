package feed

import (
	"context"
	"sync"
	"time"

	"kvgateway/internal/bound"
	"kvgateway/internal/kv"
	"kvgateway/internal/kvclient"
)

const (
	// readAhead is how far a reading may be ahead of its fastest cursor, in bytes.
	readAhead = 1 << 20
	// maxStraggle is how far a cursor may be behind the reading, in bytes. Beyond that its
	// subscription goes on with a reading of its own.
	maxStraggle = 2 << 20
	// shareableBytes is how much may have been read when others still join from the beginning.
	shareableBytes = 4 << 20
	// shareFor is how long after its end others may still join a reading.
	shareFor = time.Second
)

// A readingKey says what is read. Subscriptions with equal keys share a reading.
type readingKey struct {
	// filters are the patterns, separated by spaces.
	filters string
	// history: every retained entry is read, and not only the last of each key.
	history bool
	// noValues: values are left out.
	noValues bool
	// replay: what came after a revision is read, and not a snapshot.
	replay bool
	// remains, with replay: what remains of that in the store is enough.
	remains bool
	// after is the revision up to which entries are left out.
	after kv.Revision
	// to is the revision up to which entries are read; 0 for the last one when the reading begins.
	to kv.Revision
	// toCheck is the check of the message at to; zero if it is not known.
	toCheck kv.Check
}

// A reading is a snapshot, or a replay, that is read once for all subscriptions that need it: from
// the copy of the bucket, if it has what is needed (reader_copy.go), or else from the store.
//
// # States
//
//	due      made by Feed.joinLocked; startReadings gives it a goroutine
//	waiting  its goroutine waits for one of the places for open readings, in the shortest line of
//	         its clients; a client that joins can bring it into another line
//	open     it has a place, a consumer and some megabytes; it waits to be active, in the same
//	         way, or for a cursor
//	active   it is being read from NATS, up to the end of the next chunk; one that is read from
//	         the copy needs no place for that
//	done     all was read, or it failed; others may join for shareFor if it did not fail
//	dropped  the last cursor left before it was done: nobody may join, and ctx has ended
//
// # Snapshots are read in turns, and only for those who are there
//
// Four readings are active at a time, and 32 are open. In both bounds clients and their buckets
// are served in turn, and of the open readings a client has at most half. A reading that several
// clients share waits in the line of the one that has the fewest others waiting (line.go). A
// reading is active for one chunk at a time, so that a snapshot of a million keys does not keep the
// others waiting. One whose cursors are slow is not active while it waits for them, and gives its
// place to another that waits (TestSlowSnapshotsDelayNobody). When the last cursor leaves, the
// reading is dropped, whether it waits or reads: 1,000 subscriptions that were opened and closed
// within 0.4 s had delayed another bucket's Synced by 4 to 12 s (TestAbandonedReadingsAreDropped,
// TestSnapshotsOfOneClientDelayNoOther). No reading is refused for want of room in the queue, which
// has at most one for each subscription.
//
// # What was read
//
// What was read and not yet passed on is a list of chunks. A cursor is at a chunk of the list,
// and what all cursors have passed is garbage. While first is not nil, others may join at the
// beginning.
//
// What a reading has in memory, and the frames that are encoded of it, all share who join while it
// can be joined. So ten thousand clients that come back within some seconds have a few of them, and
// not ten thousand.
//
// A snapshot is read only when the feed has read up to the snapshot's revision, so that no reading
// knows of a key what the feed has yet to see.
type reading struct {
	// key says what is read.
	key readingKey
	// feed is the one whose subscriptions read it.
	feed *Feed
	// bucket is where it is read from, if that is not the copy.
	bucket *kvclient.Bucket
	// epoch is the bucket's; if that changes, the reading fails.
	epoch kv.Epoch
	// filters say which keys are read.
	filters kv.Filters

	// ctx ends when the reading has no cursor any more.
	ctx context.Context
	// cancel ends ctx.
	cancel context.CancelFunc
	// openHold is its place among the open readings.
	openHold bound.Hold
	// activeHold is its place among the active ones.
	activeHold bound.Hold
	// placeWanted has a token once another reading waits for the place while this one makes no
	// progress.
	placeWanted chan struct{}

	// expected has the markers that have yet to come, in order. Only the reading's goroutine uses
	// it.
	expected []*expectedMarker
	// expectedByKey has the same markers, and those that came, by their keys. Only the reading's
	// goroutine uses it.
	expectedByKey map[string]*expectedMarker

	// mu guards all that follows, and the fields of the cursors.
	mu sync.Mutex
	// cursors has those that are in the list of chunks.
	cursors map[*readingCursor]struct{}
	// lines has the lines in which the reading may wait, at most maxLines, with the number of its
	// cursors that offer each. See line.go.
	lines map[string]int
	// waitsIn is the line in which the reading waits now; zero if it does not wait.
	waitsIn lineWait
	// first is the empty chunk at the beginning of the list; nil when nobody can join any more.
	first *chunk
	// last is the end of the list.
	last *chunk
	// readBytes counts the bytes of all chunks.
	readBytes int
	// consumedBytes counts those of the chunks that the fastest cursor has passed.
	consumedBytes int
	// cursorMoved has a token when a cursor has passed a chunk or left; its capacity is 1.
	cursorMoved chan struct{}
	// to is the revision that the reading stands for; 0 until it has begun.
	to kv.Revision
	// toCheck is the check of the message at to; zero if it is not known.
	toCheck kv.Check
	// end is the stream's last revision when all was read.
	end kv.Revision
	// keys counts the entries that are no markers.
	keys int
	// done: all was read, or the reading failed.
	done bool
	// err says why the reading failed; nil if all was read.
	err error
}

// A chunk is a part of what was read.
type chunk struct {
	// changes are in the order of their revisions.
	changes []*Change
	// bytes is what they count.
	bytes int
	// next is the chunk after this one; nil until it has been read. reading.mu guards it.
	next *chunk
}

// A readingCursor is where a subscription is in a reading. reading.mu guards its fields.
type readingCursor struct {
	// reading is the one that it is in.
	reading *reading
	// sub is the subscription whose cursor it is.
	sub *Subscription
	// offersLine: the line of the subscription's client is counted in the reading's lines.
	offersLine bool
	// chunk is the one that is sent next, or that was sent last; nil once the cursor has left.
	chunk *chunk
	// offset is how many changes of the chunk were sent.
	offset int
	// consumed counts the bytes of the chunks that the cursor has passed.
	consumed int
	// cutOff: the cursor was too far behind, and is not in the list any more.
	cutOff bool
}

// joinLocked returns a cursor in the reading of that key, which it makes if there is none to join.
// Whoever calls it calls startReadings after releasing the lock.
func (f *Feed) joinLocked(s *Subscription, key readingKey) *readingCursor {
	if r := f.readings[key]; r != nil {
		if cursor := r.newCursor(s, f.journal.log.horizon); cursor != nil {
			return cursor
		}
	}
	r := &reading{
		key:         key,
		feed:        f,
		bucket:      f.bucket,
		epoch:       f.journal.Epoch,
		filters:     s.options.Filters,
		placeWanted: make(chan struct{}, 1),
		cursors:     make(map[*readingCursor]struct{}),
		lines:       make(map[string]int, 1),
		first:       new(chunk),
		cursorMoved: make(chan struct{}, 1),
	}
	r.ctx, r.cancel = context.WithCancel(f.hub.ctx)
	r.last = r.first
	f.readings[key] = r
	f.dueReadings = append(f.dueReadings, r)
	return r.newCursor(s, f.journal.log.horizon)
}

// newCursor returns a cursor at the beginning of the reading. It returns nil if the beginning is
// gone, or if the log has moved beyond what the snapshot stands for.
func (r *reading) newCursor(s *Subscription, horizon kv.Revision) *readingCursor {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.first == nil || r.err != nil || !r.key.replay && r.to != 0 && r.to < horizon {
		return nil
	}
	cursor := &readingCursor{reading: r, sub: s, chunk: r.first}
	r.cursors[cursor] = struct{}{}
	r.offerLineLocked(cursor)
	return cursor
}

// leaveLocked removes the cursor from its reading. The last cursor that leaves a reading which is
// not done drops the reading, since nobody else would ever need it. The feed is locked meanwhile,
// so that nobody joins.
func (p *readingCursor) leaveLocked() {
	r := p.reading
	r.mu.Lock()
	r.removeCursorLocked(p)
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

// removeCursorLocked removes a cursor from the reading, if it is still in it.
func (r *reading) removeCursorLocked(p *readingCursor) {
	if _, found := r.cursors[p]; !found {
		return
	}
	delete(r.cursors, p)
	p.chunk = nil
	r.withdrawLineLocked(p)
}

// signalMoved puts a token into cursorMoved.
func (r *reading) signalMoved() {
	select {
	case r.cursorMoved <- struct{}{}:
	default:
	}
}

// addChunk appends a chunk and wakes the subscriptions. Cursors that were too far behind before
// are cut off; by the chunk itself nobody is too far behind, since one value can be more than
// maxStraggle.
func (r *reading) addChunk(c *chunk) {
	r.feed.mu.Lock()
	r.feed.journal.noteRead(c.changes)
	r.feed.mu.Unlock()
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
			p.cutOff = true
			r.removeCursorLocked(p)
			p.sub.wake() // wakeSubscribers does not reach it any more
		}
	}
}

// finish notes that all was read, or why not. end is the stream's last revision after that.
func (r *reading) finish(end kv.Revision, err error) {
	r.mu.Lock()
	r.end, r.done, r.err = end, true, err
	r.mu.Unlock()
	r.wakeSubscribers()
}

// stopJoining lets nobody join any more.
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

// wakeSubscribers wakes the subscriptions that have a cursor in the reading.
func (r *reading) wakeSubscribers() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for p := range r.cursors {
		p.sub.wake()
	}
}

// next appends up to limit changes to dst. ended reports that there will be no more; err then says
// why the reading failed, or that the cursor was cut off.
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
			// The chunk counts as passed now and not when the next one comes: a large chunk may be
			// as much as the reading may be ahead, which would then never read on.
			p.consumed += p.chunk.bytes
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
