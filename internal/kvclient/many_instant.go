package kvclient

import (
	"context"
	"errors"
	"slices"

	"kvgateway/internal/kv"
)

// instantTries bounds how often a read of one instant is tried again, because the one who answered
// is behind, or because what did not fit into one answer was gone meanwhile.
const instantTries = 6

// An instant is what subjects had at one revision of the bucket.
type instant struct {
	// entries are the last entries of the subjects, markers included.
	entries []kv.Entry
	// upTo is the revision at which they were the last.
	upTo kv.Revision
	// served is who answered.
	served Consistency
	// isolated says that no transaction is torn: the stream itself answered. A mirror takes over a
	// batch message by message, so what it answers is no snapshot.
	isolated bool
}

// readInstant reads the last entries of some subjects at one instant. It returns nil if that does
// not work out: there are too many, the bucket has no direct gets, or the one who answers stays
// behind the leader.
//
// The server answers multi_last under the lock that holds off writes, so that no atomic batch is
// torn (2,000 reads beside a writer of batches; two gets were torn 1,652 times of 2,241). Anybody
// in the queue group may answer; judge decides whose answer it is.
func (b *Bucket) readInstant(
	ctx context.Context, subjects []string, since kv.Revision, consistency Consistency,
) (*instant, error) {
	if b.directGet == "" {
		return nil, nil
	}
	hold, err := holdPlace(ctx, b.client.limits.instants)
	if err != nil {
		return nil, err
	}
	defer hold.Release()
	r := instantReader{bucket: b, subjects: subjects, since: since, consistency: consistency}
	for try := range instantTries {
		if try > 0 {
			backOff(try)
		}
		if in, again, err := r.read(ctx); !again {
			return in, err
		}
	}
	return nil, nil
}

// An instantReader reads one instant, in as many tries as that takes.
type instantReader struct {
	// bucket is the bucket that is read.
	bucket *Bucket
	// subjects are those whose last entries are read.
	subjects []string
	// since is the revision that the answer must contain.
	since kv.Revision
	// consistency says who may answer.
	consistency Consistency
	// witnessed says that the stream's last message is among the subjects.
	witnessed bool
}

// read is one try. Again says that it did not work out, and another one may. If it returns no
// instant otherwise, none can be read.
func (r *instantReader) read(ctx context.Context) (in *instant, again bool, err error) {
	found, err := r.bucket.wholeInstant(ctx, r.subjects)
	switch {
	case errors.Is(err, errTooMany):
		return nil, false, nil
	case err != nil:
		return nil, false, err
	case found == nil: // something of it is gone
		return nil, true, nil
	case found.stream == "":
		return r.callWitness(ctx)
	}
	in = r.bucket.judge(found, r.since, r.consistency)
	return in, in == nil, nil
}

// callWitness goes on after an answer without entries, which does not say whose it is. The stream's
// last message, which is there, is asked for as well from now on, and the caller of readInstant
// leaves it out.
func (r *instantReader) callWitness(ctx context.Context) (in *instant, again bool, err error) {
	if r.witnessed { // the last message is gone
		return nil, false, nil
	}
	request := getRequest{LastBySubject: r.bucket.readPrefix + kv.AllKeys.String()}
	e, err := r.bucket.fetchEntry(ctx, r.bucket.leaderGet, request)
	if errors.Is(err, kv.ErrKeyNotFound) {
		in, err := r.bucket.emptyInstant(ctx)
		return in, in == nil && err == nil, err
	}
	if err != nil {
		return nil, false, err
	}
	if _, err := kv.ParseKey(e.Key); err != nil {
		return nil, false, nil // as a subject, a key outside the grammar could select anything
	}
	r.subjects = append(slices.Clip(r.subjects), r.bucket.readPrefix+e.Key)
	r.witnessed = true
	return nil, true, nil
}

// judge decides whose answer a read of one instant got; it returns nil if that is not good enough.
// An answer is the leader's if it names the bucket's own stream, and that has one replica or the
// answer contains the revision since, which the leader had before the request.
func (b *Bucket) judge(found *lastMessages, since kv.Revision, consistency Consistency) *instant {
	in := &instant{entries: found.entries, upTo: found.upTo, served: Any}
	own := found.stream == b.stream
	in.isolated = own && !b.isMirror()
	switch {
	case in.isolated && (!b.replicated || found.upTo >= since):
		in.served = Leader
	case consistency == Any, own && b.isMirror():
	default:
		return nil
	}
	if found.upTo < since {
		return nil
	}
	return in
}

// emptyInstant returns the instant of a stream without messages; nil if there are some by now.
func (b *Bucket) emptyInstant(ctx context.Context) (*instant, error) {
	_, state, err := b.client.state(ctx, b.link, b.name)
	if err != nil || state.Messages > 0 {
		return nil, err
	}
	return &instant{upTo: state.Last, served: b.LeaderConsistency(), isolated: !b.isMirror()}, nil
}
