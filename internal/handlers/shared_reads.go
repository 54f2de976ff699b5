package handlers

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"kvgateway/internal/bound"
	"kvgateway/internal/kv"
	"kvgateway/internal/kvclient"
)

// sharedReads lets several requests share one read of a key, and with it the memory of the value.
// Its zero value is ready.
//
// Long polls of one key share their reads. Without that, 1,500 long polls of one key of 1 MB would
// read it 1,500 times at each change and hold 1,500 copies. With it there are a few reads, and a
// waiting long poll holds no value. Requests of one client for a value that is known to be large
// share a read, too (TestRequestsForALargeValueShareTheirReads). Long polls of all clients share;
// of other requests only those of one client do.
//
// A read waits in the queue of the client that began it. Where that client has many other reads, a
// long poll of another client that shares this one would wait behind all of them: beside 6,000 it
// took 3.9 s, where a GET of the other client took 0.09 s (measured). Therefore a request leaves a
// read in the queue of another client if that has not ended within othersPatience, or was refused
// because of what its client holds, and shares a read with the requests of its own client instead
// (TestLongPollWaitsInNoLineOfAnother).
//
// There are two kinds of reads:
//
//   - A read of a revision that a feed has reported answers every request that wants just that
//     revision, including those that ask while it is under way and up to sharedFor after it has
//     ended.
//   - Any other read must begin after it was asked for, since one that is under way may be too old,
//     also if the client named a minimal revision: what it asks for is what the key has now
//     (TestLongPollAtAMinimalRevisionReadsForItself). So mostly two of them exist: one under way,
//     and one that begins when that has ended, for all requests that have come since.
//
// The states of a shared read:
//
//	state      begins when                          a new request may join
//	waiting    it is made by the first request      always
//	begun      the read before has ended, or has    with a reported revision
//	           taken beforePatience
//	done       the answer has come                  with a reported revision, until dropped
//	dropped    done without a reported revision or  never
//	           without an answer; else sharedFor
//	           after it was done
//	cancelled  its last request has left            never, unless it is done with an answer
type sharedReads struct {
	// mu guards reads.
	mu sync.Mutex
	// reads has the newest shared read of each kind.
	reads map[commonRead]*sharedRead
}

// A commonRead is what the requests that share a read have in common.
type commonRead struct {
	// store, bucket and epoch name the bucket.
	store  *kvclient.Client
	bucket kv.BucketName
	epoch  kv.Epoch
	// key is the key to read, and options say how.
	key     kv.Key
	options kvclient.ReadOptions
	// isReported is that of the wantedEntry.
	isReported bool
	// owner is the client whose requests share the read; "" if those of all clients do.
	owner string
}

// A sharedRead is a read that several requests wait for.
type sharedRead struct {
	// cancel ends the read when no request waits for it any more.
	cancel context.CancelFunc
	// owner is the client in whose queue the read waits.
	owner string

	// begun reports whether the read is under way or done. The mutex of sharedReads guards it.
	begun bool
	// waiting counts the requests that wait for the read. The mutex of sharedReads guards it.
	waiting int

	// done is closed when the fields below are set.
	done chan struct{}

	// entry, served and err are the results of kvclient.Bucket.Get.
	entry  kv.Entry
	served kvclient.Consistency
	err    error
}

// sharedFor is how long a read is shared after it has ended. Long polls that a change wakes do not
// all ask at the same moment.
const sharedFor = 100 * time.Millisecond

// fetch is [wantedEntry.fetchAlone] for the last entry of a key, by a read that others may share.
// If ctx ends, fetch returns, and the read goes on for those that still wait for it. While a
// request waits, it is not at work.
func (s *sharedReads) fetch(
	ctx context.Context,
	h http.Header,
	wanted wantedEntry,
	owner string,
) (kv.Entry, error) {
	turn := bound.TurnOf(ctx)
	turn.Pause()
	read := s.join(ctx, wanted, owner)
	if own := bound.OwnerOf(ctx); read.owner != own && !read.endsSoon(ctx) {
		s.leave(read)
		read = s.join(ctx, wanted, own)
	}
	defer s.leave(read)
	select {
	case <-read.done:
	case <-ctx.Done():
		return kv.Entry{}, ctx.Err()
	}
	if s.hasOneRequest(read) {
		// The request goes on at once: no bound would count the value that it holds while it waits
		// for a turn.
		turn.Resume()
	} else if err := turn.Begin(ctx); err != nil {
		// All requests that share the read go on at the same time, so each waits for its turn.
		return kv.Entry{}, err
	}
	h["Kv-Consistency"] = headerConsistency[read.served]
	return read.entry, read.err
}

// othersPatience is how long a request waits for a read in the queue of another client.
const othersPatience = 20 * time.Millisecond

// endsSoon waits for othersPatience at most. It reports whether the read has ended by then without
// being refused because of what its client holds, or ctx has ended.
func (r *sharedRead) endsSoon(ctx context.Context) bool {
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

// join returns the read that a request shares. If there is none that it may share, join makes one,
// which begins when the one before it has ended.
func (s *sharedReads) join(ctx context.Context, wanted wantedEntry, owner string) *sharedRead {
	common := commonRead{
		store:      wanted.bucket.Client(),
		bucket:     wanted.bucket.Name(),
		epoch:      wanted.bucket.Epoch(),
		key:        wanted.key,
		options:    wanted.options,
		isReported: wanted.isReported,
		owner:      owner,
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.reads[common]
	if before != nil && before.waiting > 0 && (!before.begun || wanted.isReported) ||
		before != nil && wanted.isReported && before.isDone() && isState(before.err) {
		before.waiting++
		return before
	}
	if s.reads == nil {
		s.reads = make(map[commonRead]*sharedRead)
	}
	// The read has the owner of its first request, and no turn: it belongs to several requests.
	own := bound.WithOwner(context.WithoutCancel(ctx), bound.OwnerOf(ctx))
	run, cancel := context.WithCancel(own)
	read := &sharedRead{
		done:    make(chan struct{}),
		cancel:  cancel,
		owner:   bound.OwnerOf(ctx),
		waiting: 1,
	}
	s.reads[common] = read
	go s.run(run, common, read, wanted, before)
	return read
}

// leave notes that a request does not wait any more. When nobody waits for a read, it ends: one for
// a revision that has yet to come would go on for a minute.
func (s *sharedReads) leave(read *sharedRead) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if read.waiting--; read.waiting == 0 {
		read.cancel()
	}
}

// hasOneRequest reports whether only one request waits for the read.
func (s *sharedReads) hasOneRequest(read *sharedRead) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return read.waiting == 1
}

// isDone reports whether the read has its results.
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

// run reads when the read before has ended or has taken beforePatience.
func (s *sharedReads) run(
	ctx context.Context,
	common commonRead,
	read *sharedRead,
	wanted wantedEntry,
	before *sharedRead,
) {
	if before != nil {
		select {
		case <-before.done:
		case <-time.After(beforePatience):
		}
	}
	s.mu.Lock()
	read.begun = true
	s.mu.Unlock()
	read.entry, read.served, read.err = wanted.bucket.Get(ctx, wanted.key, wanted.options)
	close(read.done)
	if !wanted.isReported || !isState(read.err) {
		s.drop(common, read)
		return
	}
	time.AfterFunc(sharedFor, func() { s.drop(common, read) })
}

// drop makes sure that no further request shares the read.
func (s *sharedReads) drop(common commonRead, read *sharedRead) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.reads[common] == read {
		delete(s.reads, common)
	}
}
