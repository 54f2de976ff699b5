package handlers

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"kvgateway/internal/bound"
	"kvgateway/internal/kvclient"
)

// sharedReads lets long polls of one key, and requests for one large value, share the reads of it,
// and with them the memory of what was read: of 1,500 that wait for a key of 1 MB each would read it
// at each change. Long polls of all clients share, and else those of one client. The zero value is
// ready.
//
// A read waits in the line of the client that began it. Where many others wait in that one, the
// clients that share the read need not: each of them begins one of its own after a moment.
//
// A read of a state that is not older than some revision is shared by everybody who wants just
// that, also by those who come while it is under way, and for a moment behind. A read without such
// a revision must not have begun when it was asked for, so mostly two of them are there: one
// under way, and one that begins when that has ended, for all who have come since.
type sharedReads struct {
	mu    sync.Mutex
	reads map[wantedRead]*sharedRead // the newest of each
}

// wantedRead is what those have in common who share a read.
type wantedRead struct {
	bucket  kvclient.BucketName
	epoch   kvclient.Epoch
	key     kvclient.Key
	options kvclient.ReadOptions
	owner   string // whose requests share the read; "" for everybody's
}

// A sharedRead is a read that several requests wait for.
type sharedRead struct {
	cancel context.CancelFunc // ends the read, when nobody waits for it any more
	owner  string             // in whose line it waits

	// Guarded by the mutex of sharedReads.
	begun   bool
	waiting int // requests that wait for it

	done chan struct{} // closed when the fields below are set

	entry  kvclient.Entry
	served kvclient.Consistency
	err    error
}

// sharedFor is for how long a read is shared after it has ended. Those that a change wakes come one
// after the other.
const sharedFor = 100 * time.Millisecond

// do is entryRead.do, of a key's last entry, by a read that others may share. The read goes on if
// the context ends and others wait for it.
func (s *sharedReads) do(ctx context.Context, h http.Header, q entryRead, owner string) (kvclient.Entry, error) {
	turn := bound.TurnOf(ctx)
	turn.Pause()
	read := s.join(ctx, q, owner)
	if own := bound.OwnerOf(ctx); read.owner != own && !read.soon(ctx) {
		s.leave(read)
		read = s.join(ctx, q, own)
	}
	defer s.leave(read)
	select {
	case <-read.done:
	case <-ctx.Done():
		return kvclient.Entry{}, ctx.Err()
	}
	if s.isAlone(read) {
		turn.Resume() // while it waited for a turn, nothing would count the value that it holds
	} else if err := turn.Begin(ctx); err != nil { // all that share the read go on at once
		return kvclient.Entry{}, err
	}
	h["Kv-Consistency"] = headerConsistency[read.served]
	return read.entry, read.err
}

// othersPatience is how long a request waits for a read in the line of another client.
const othersPatience = 20 * time.Millisecond

// soon reports whether a read has ended within a moment, and was not refused for what its client has.
func (r *sharedRead) soon(ctx context.Context) bool {
	enough := time.NewTimer(othersPatience)
	defer enough.Stop()
	select {
	case <-r.done:
		_, refused := errors.AsType[*bound.FullError](r.err)
		return !refused
	case <-enough.C:
		return false
	case <-ctx.Done():
		return true
	}
}

// join returns the read that this one shares, which it begins if there is none.
func (s *sharedReads) join(ctx context.Context, q entryRead, owner string) *sharedRead {
	wanted := wantedRead{q.bucket.Name(), q.bucket.Epoch(), q.key, q.options, owner}
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.reads[wanted]
	if before != nil && before.waiting > 0 && (!before.begun || q.options.MinRevision != (kvclient.Position{})) ||
		before != nil && before.isDone() && q.options.MinRevision != (kvclient.Position{}) {
		before.waiting++
		return before
	}
	if s.reads == nil {
		s.reads = make(map[wantedRead]*sharedRead)
	}
	own := bound.WithOwner(context.WithoutCancel(ctx), bound.OwnerOf(ctx)) // in nobody's turn
	run, cancel := context.WithCancel(own)
	read := &sharedRead{done: make(chan struct{}), cancel: cancel, owner: bound.OwnerOf(ctx), waiting: 1}
	s.reads[wanted] = read
	go s.run(run, wanted, read, q, before)
	return read
}

// leave notes that a request does not wait any more. A read for which nobody waits ends: one for a
// revision that is to come would go on for a minute.
func (s *sharedReads) leave(read *sharedRead) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if read.waiting--; read.waiting == 0 {
		read.cancel()
	}
}

// isAlone reports whether one request only waits for a read.
func (s *sharedReads) isAlone(read *sharedRead) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return read.waiting == 1
}

func (r *sharedRead) isDone() bool {
	select {
	case <-r.done:
		return true
	default:
		return false
	}
}

// beforePatience is how long a read waits for the one before it, whose answer may have been lost.
const beforePatience = 100 * time.Millisecond

// run reads when the read before has ended, or takes its time.
func (s *sharedReads) run(ctx context.Context, wanted wantedRead, read *sharedRead, q entryRead,
	before *sharedRead) {
	if before != nil {
		select {
		case <-before.done:
		case <-time.After(beforePatience):
		}
	}
	s.mu.Lock()
	read.begun = true
	s.mu.Unlock()
	read.entry, read.served, read.err = q.bucket.Get(ctx, q.key, q.options)
	close(read.done)
	if q.options.MinRevision == (kvclient.Position{}) || !isState(read.err) {
		s.drop(wanted, read)
		return
	}
	time.AfterFunc(sharedFor, func() { s.drop(wanted, read) })
}

// drop lets nobody share the read any more.
func (s *sharedReads) drop(wanted wantedRead, read *sharedRead) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.reads[wanted] == read {
		delete(s.reads, wanted)
	}
}
