package kvclient

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"kvgateway/internal/kv"
	"kvgateway/internal/kvclient/link"
)

// A Consistency says whose answer a read takes.
type Consistency uint8

// The consistencies.
const (
	// Leader is what the stream's leader has. A client sees its own writes while leadership is
	// stable. It is not linearizable, since a deposed leader may answer for a moment: one that is
	// cut off alone goes on for some 20 s before it finds out, and nothing tells a client
	// (measured).
	Leader Consistency = iota
	// Any lets any replica or mirror answer, which may be behind.
	Any
)

// String returns "leader" or "any".
func (c Consistency) String() string { return [...]string{"leader", "any"}[c] }

// ReadOptions say how fresh a read must be. The zero value reads from the leader.
type ReadOptions struct {
	// Consistency says whose answer the read takes.
	Consistency Consistency
	// MinRevision is the position that the read must not be older than; the read waits for it.
	MinRevision kv.Position
	// Wait bounds that wait: zero stands for the client's timeout, [NoWait] for none.
	Wait time.Duration
}

// NoWait makes a read that is not fresh enough fail at once.
const NoWait time.Duration = -1

// Get returns the key's last value and who answered. It is one direct get and so one round trip,
// except for misses and replicated buckets: see lastEntry. It returns a *[kv.KeyDeletedError],
// [kv.ErrKeyNotFound], [kv.ErrBucketNotFound], [kv.ErrRevisionNotReached], an
// *[kv.EpochChangedError], [kv.ErrUnavailable] or [kv.ErrTimeout].
func (b *Bucket) Get(
	ctx context.Context, key kv.Key, opts ReadOptions,
) (kv.Entry, Consistency, error) {
	read := b.lastEntry
	if opts.MinRevision != (kv.Position{}) {
		read = func(
			ctx context.Context, key kv.Key, consistency Consistency,
		) (kv.Entry, Consistency, error) {
			return b.entrySince(ctx, key, consistency, opts.MinRevision, opts.Wait)
		}
	}
	e, served, err := read(ctx, key, opts.Consistency)
	if err == nil && e.IsMarker() {
		err = &kv.KeyDeletedError{Marker: e}
	}
	return e, served, err
}

// lastEntry returns the key's last entry, markers included, or [kv.ErrKeyNotFound], and who
// answered.
//
// A direct get is answered by whoever is in the queue group: any replica, and mirrors elsewhere
// that this client cannot know of (measured: one such mirror answered 89 of 200 direct gets, some
// with stale values). A hit names the stream that answered, and counts as the leader's only if that
// is the bucket's own stream and the bucket has one replica. A miss names nobody and is always
// repeated through the leader. The contract would allow trusting misses when the server is embedded
// and has no listener, but a mirror can be created through the gateway itself, on that very server
// (TestMirrorsDoNotSpoilLeaderReads); so there is no such exception.
func (b *Bucket) lastEntry(
	ctx context.Context, key kv.Key, consistency Consistency,
) (kv.Entry, Consistency, error) {
	missed := false
	if b.directGet != "" && (consistency == Any || !b.replicated) {
		var e kv.Entry
		var stream string
		err := b.readLarge(ctx, b.readPrefix+key.String(), func() (size int, err error) {
			e, stream, err = b.direct(ctx, &nats.Msg{Subject: b.directGet + key.String()})
			return e.Size, err
		})
		switch {
		case err != nil && !errors.Is(err, kv.ErrKeyNotFound):
			return kv.Entry{}, consistency, err
		case err == nil && stream == b.stream && !b.replicated && !b.isMirror():
			return e, Leader, nil
		case err == nil && stream == b.stream && b.isMirror() && consistency == Leader:
			return e, Any, nil // the mirror's own stream answered, which may be behind the origin
		case err == nil && consistency == Any:
			return e, Any, nil
		}
		missed = err != nil && consistency == Any && !errors.Is(err, errNobodyAnswered)
	}
	e, err := b.fetchEntry(ctx, b.leaderGet, getRequest{LastBySubject: b.readPrefix + key.String()})
	if missed && isDenied(err) {
		return e, Any, kv.ErrKeyNotFound // somebody answered, if not the leader
	}
	return e, b.LeaderConsistency(), err
}

// LeaderConsistency returns the consistency of what the leader of the bucket's own stream answers.
// It is Any for a mirror, which may be behind its origin.
func (b *Bucket) LeaderConsistency() Consistency {
	if b.isMirror() {
		return Any
	}
	return Leader
}

// direct sends a direct get. It returns the entry and the name of the stream that answered, or
// [kv.ErrKeyNotFound]. It returns [kv.ErrKeyNotFound] also if nobody seemed to listen although the
// bucket is there: to nats.go a value that is stored with a header `Status: 503` looks like that.
func (b *Bucket) direct(ctx context.Context, msg *nats.Msg) (e kv.Entry, stream string, err error) {
	reply, err := b.link.Request(ctx, msg, b.client.messageBytes())
	if err == link.ErrNoResponders {
		if _, err := b.rebind(ctx); err != nil {
			return kv.Entry{}, "", err
		}
		return kv.Entry{}, "", errNobodyAnswered
	}
	if err != nil {
		return kv.Entry{}, "", err
	}
	return b.directEntry(reply)
}

// errNobodyAnswered is the [kv.ErrKeyNotFound] of a direct get to which nobody seems to listen. It
// says nothing of the key.
var errNobodyAnswered = fmt.Errorf("%w: nobody answers direct gets", kv.ErrKeyNotFound)

// A getRequest is a request to STREAM.MSG.GET.
type getRequest struct {
	// Sequence asks for the message of this revision.
	Sequence uint64 `json:"seq,omitempty"`
	// LastBySubject asks for the last message of this subject.
	LastBySubject string `json:"last_by_subj,omitempty"`
	// NextBySubject asks for this subject's first message at or after Sequence.
	NextBySubject string `json:"next_by_subj,omitempty"`
}

// fetchEntry asks a stream's leader, by the subject of its STREAM.MSG.GET, for an entry. It returns
// [kv.ErrKeyNotFound] if there is none.
func (b *Bucket) fetchEntry(
	ctx context.Context, subject string, request getRequest,
) (kv.Entry, error) {
	m, err := b.fetchMessage(ctx, subject, request)
	if err != nil {
		return kv.Entry{}, err
	}
	return b.storedEntry(m)
}

// fetchMessage is fetchEntry for messages that need not be entries: their headers may be
// unreadable, and their subjects outside the bucket's.
func (b *Bucket) fetchMessage(
	ctx context.Context, subject string, request getRequest,
) (*storedMessage, error) {
	var response struct {
		apiResponse
		Message *storedMessage `json:"message"`
	}
	err := b.readLarge(ctx, request.name(b), func() (size int, err error) {
		err = b.client.ask(ctx, b.link, subject, request, b.client.encodedBytes(), &response)
		if response.Message != nil {
			size = len(response.Message.Data)
		}
		return size, err
	})
	if apiErr, ok := errors.AsType[*kv.APIError](err); ok && apiErr.ErrCode == errCodeNoMessage {
		return nil, kv.ErrKeyNotFound
	}
	if err != nil {
		err = b.missing(subject == b.originGet, err)
		if errors.Is(err, kv.ErrBucketNotFound) {
			b.client.forget(b.name)
		}
		return nil, err
	}
	if response.Message == nil {
		return nil, fmt.Errorf("%w: STREAM.MSG.GET without a message", kv.ErrUnexpectedAnswer)
	}
	return response.Message, nil
}
