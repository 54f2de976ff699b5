package kvclient

import (
	"context"
	"errors"

	"github.com/nats-io/nats.go"

	"kvgateway/internal/kv"
)

// maxTries bounds how often a write is tried again because another writer was faster.
const maxTries = 8

// A replacement puts a new entry in the place of a key's last one, on condition that it is still
// the last. It is how PUT with a precondition, DELETE and PATCH are done; a PUT without a
// precondition is one publish.
//
//	step    | what happens                                        | next
//	look    | the key's last entry is read, or what is known of   | propose; done if this very
//	        | it is taken for it                                  | request made the entry
//	propose | the caller judges the entry and makes the message   | publish, or a refusal
//	publish | the server stores the message if the entry is still | done, another error, or if the
//	        | the last one                                        | race was lost look again
//
// It is tried maxTries times at most. A PATCH, a DELETE and a PUT that must read first (queues)
// wait for the key's lane before they look again. A PUT that knew which revision to expect does
// not: mostly it finds that its precondition does not hold any more, which is no reason to wait.
// Where a replicated stream refuses a write that nothing visible contradicts, another writer's is
// on its way through the replicas, and will be seen or have failed soon: the replacement backs off
// before it proposes anew.
//
// DELETE and PATCH always read first. What a PUT does depends on its precondition:
//
//	precondition               | what is done
//	none                       | one publish, which is no replacement
//	one revision without check | one publish that expects the revision; the server compares
//	If-None-Match: *           | one publish that expects 0; over a marker the last entry is read
//	                           | and then expected: three round trips, and no other writer can
//	                           | slip in between
//	anything else              | the last entry is read and compared, and then expected
//
// A transaction has a loop of its own (plan.run), since it looks at many keys, each of
// which would have another lane.
type replacement struct {
	// bucket is the bucket that is written to.
	bucket *Bucket
	// key is the key whose entry is replaced.
	key kv.Key
	// stamp is the stamp of the request; the zero stamp for none.
	stamp stamp

	// propose judges the key's last entry, nil if it was never written, and returns the message
	// that is to replace it, or why nothing is.
	propose func(last *kv.Entry) (*nats.Msg, error)
	// allowed is asked before each attempt is sent; nil for nothing. See [Write].
	allowed func() error

	// known is the key's last revision for the next attempt, if it need not be read: the one that a
	// precondition names, or that the server named when it refused the attempt before.
	known knownRevision
	// queues says that a writer which lost an attempt waits for the key's lane.
	queues bool
	// byRevision says that propose looks at nothing but the entry's revision, so that a revision
	// which the server names need not be read. With a stamp it is read all the same.
	byRevision bool
}

// A knownRevision is a key's last revision, if it is known without a read.
type knownRevision struct {
	// revision is the revision; 0 if the key was never written.
	revision kv.Revision
	// ok says that the revision is known.
	ok bool
}

// A mismatchError says that the server expected another last revision; nothing was stored.
type mismatchError struct {
	// last is the key's last revision, if the server named it.
	last knownRevision
}

// Error implements error.
func (*mismatchError) Error() string { return "wrong last revision" }

// run carries the replacement out. It returns what propose returns, a *[repeatedError],
// [kv.ErrIdempotencyReuse], [kv.ErrContention], and otherwise the errors of a read and of publish.
func (r *replacement) run(ctx context.Context) (kv.Position, error) {
	attempts := r.bucket.newAttempts(r.key)
	defer attempts.end()
	var before kv.Revision
	for try := range maxTries {
		last, err := r.look(ctx, &attempts, try)
		if err != nil {
			return kv.Position{}, err
		}
		expected := kv.Revision(0)
		if last != nil {
			expected = last.Revision
		}
		if try > 0 && expected == before {
			backOff(try)
		}
		before = expected
		msg, err := r.propose(last)
		if err != nil {
			return kv.Position{}, err
		}
		expectRevision(msg, expected)
		position, err := r.bucket.publish(ctx, msg, r.allowed)
		mismatch, lost := errors.AsType[*mismatchError](err)
		if !lost {
			return position, err
		}
		if r.byRevision && mismatch.last.revision != expected && r.stamp == (stamp{}) {
			r.known = mismatch.last
		}
	}
	return kv.Position{}, kv.ErrContention
}

// look returns the key's last entry for an attempt; nil if it was never written. Of an entry of
// which only the revision is known it has only the position. It returns a *[repeatedError] if this
// request made the entry.
//
// The server checks the revision before it looks for a duplicate (measured), so a request that was
// carried out before is refused because of the revision that it made itself: see stamp.
func (r *replacement) look(ctx context.Context, a *attempts, try int) (last *kv.Entry, err error) {
	known := r.known
	r.known = knownRevision{}
	switch {
	case known.ok && known.revision == 0:
		return nil, nil
	case known.ok:
		at := kv.Position{Revision: known.revision, Epoch: r.bucket.epoch}
		return &kv.Entry{Position: at}, nil
	case r.queues:
		last, err = a.last(ctx, try)
	default:
		last, err = r.bucket.lastOfLeader(ctx, r.key)
	}
	if err == nil {
		err = r.stamp.madeBy(last)
	}
	return last, err
}

// lastOrNil returns the key's last entry in the stream that writes go to, as that stream's leader
// has it; nil if there is none.
func (b *Bucket) lastOrNil(ctx context.Context, key kv.Key) (*kv.Entry, error) {
	if b.isMirror() {
		return b.lastOfLeader(ctx, key)
	}
	e, _, err := b.lastEntry(ctx, key, Leader)
	return foundOrNil(e, err)
}

// lastOfLeader is lastOrNil with a single request, also if there is no entry: it asks the leader.
func (b *Bucket) lastOfLeader(ctx context.Context, key kv.Key) (*kv.Entry, error) {
	request := getRequest{LastBySubject: b.readPrefix + key.String()}
	return foundOrNil(b.fetchEntry(ctx, b.originGet, request))
}

// foundOrNil returns an entry that a write has read first; nil if there is none.
func foundOrNil(e kv.Entry, err error) (*kv.Entry, error) {
	if errors.Is(err, kv.ErrKeyNotFound) {
		return nil, nil
	}
	return &e, notSent(err)
}

// preconditionFailed returns the error for a precondition that the key's last entry does not meet.
func (b *Bucket) preconditionFailed(p kv.Precondition, last *kv.Entry) error {
	e := &kv.RevisionMismatchError{Current: kv.Position{Epoch: b.epoch}}
	if last != nil {
		e.Current.Revision, e.Current.Check = last.Revision, last.Check
		e.Deleted = last.IsMarker()
	}
	if !p.IfMatch.Present() || p.IfMatch.Matches(last, b.epoch) {
		e.KeyExists = p.IfNoneMatch.Any
		e.Excluded = !p.IfNoneMatch.Any
	}
	return e
}
