package kvclient

import (
	"context"
	"errors"

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
// in the queue group may answer; judge decides whose answer it is. If nothing is found, the answer
// names nobody: then the stream's last message, which is there, is asked for as well, and the
// caller leaves it out.
func (b *Bucket) readInstant(
	ctx context.Context, subjects []string, since kv.Revision, consistency Consistency,
) (*instant, error) {
	if b.directGet == "" {
		return nil, nil
	}
	hold, err := takePlace(ctx, b.client.limits.instants)
	if err != nil {
		return nil, err
	}
	defer hold.Release()
	lastKey := "" // the key of the stream's last message, once that is asked for
	for try := range instantTries {
		if try > 0 {
			backOff(try)
		}
		found, err := b.wholeInstant(ctx, subjects)
		switch {
		case errors.Is(err, errTooMany):
			return nil, nil
		case err != nil:
			return nil, err
		case found == nil: // something of it is gone
		case found.stream == "" && lastKey != "": // the last message is gone
			return nil, nil
		case found.stream == "":
			request := getRequest{LastBySubject: b.readPrefix + kv.AllKeys.String()}
			e, err := b.fetchEntry(ctx, b.leaderGet, request)
			if errors.Is(err, kv.ErrKeyNotFound) {
				if in, err := b.emptyInstant(ctx); in != nil || err != nil {
					return in, err
				}
				continue
			}
			if err != nil {
				return nil, err
			}
			if _, err := kv.ParseKey(e.Key); err != nil {
				return nil, nil // as a subject, a key outside the grammar could select anything
			}
			lastKey = e.Key
			subjects = append(subjects[:len(subjects):len(subjects)], b.readPrefix+lastKey)
		default:
			if in := b.judge(found, since, consistency); in != nil {
				return in, nil
			}
		}
	}
	return nil, nil
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
