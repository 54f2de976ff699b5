package kvclient

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
)

// ErrIdempotencyReuse: the idempotency key was used for another request that is still stored; nothing was done.
var ErrIdempotencyReuse = errors.New("idempotency key used for another request")

// errUnderWay: a request with the same idempotency key is being stored at this moment; whether it will be is not known yet.
var errUnderWay = fmt.Errorf("%w: the same request is under way", ErrOutcomeUnknown)

// An Idempotency makes a write that is sent again within the bucket's duplicate window do nothing, and answer as the first did.
// The zero Idempotency does nothing.
type Idempotency struct {
	Caller string // who chose the key; another caller's key of the same text is another key
	Key    string
}

// A stamp is what of an idempotent write is stored with it.
type stamp struct {
	messageID string // by which the server knows the write again: caller, bucket, key, operation and idempotency key
	request   string // by which the gateway knows what was to be stored
}

// The server's duplicate check is for the whole stream, and drops the same id on another key (measured): so the id holds all that
// an idempotency key is bound to. Of what is to be stored it holds nothing, since a reuse would not be noticed then.
func (i Idempotency) stamp(bucket BucketName, key Key, operation string, request ...[]byte) stamp {
	if i.Key == "" {
		return stamp{}
	}
	id := digest([]byte(i.Caller), []byte(bucket.name), []byte(key.name), []byte(operation), []byte(i.Key))
	return stamp{messageID: id, request: digest(request...)}
}

// digestBytes is enough that nobody finds two of the same.
const digestBytes = 18

// digest tells lists of texts apart: each goes in with its length.
func digest(parts ...[]byte) string {
	hash := sha256.New()
	var length [8]byte
	for _, part := range parts {
		binary.BigEndian.PutUint64(length[:], uint64(len(part)))
		hash.Write(length[:])
		hash.Write(part)
	}
	var sum [sha256.Size]byte
	return base64.RawURLEncoding.EncodeToString(hash.Sum(sum[:0])[:digestBytes])
}

// What follows the digest in headerRequest: whether the key is known to have had no value before.
const (
	madeNothing = "."
	madeCreated = "+"
)

// put puts the stamp on a message, the zero stamp nothing.
func (s stamp) put(msg *nats.Msg, created bool) {
	if s.messageID == "" {
		return
	}
	made := madeNothing
	if created {
		made = madeCreated
	}
	setHeaders(msg, headerMessageID, s.messageID, headerRequest, s.request+made)
}

// stampOf reads the stamp of a message that is to be sent.
func stampOf(msg *nats.Msg) stamp {
	s := stamp{messageID: first(msg.Header, headerMessageID)}
	if request := first(msg.Header, headerRequest); request != "" {
		s.request = request[:len(request)-1]
	}
	return s
}

// A repeatedError tells that this very request was carried out before, and how.
type repeatedError struct{ written Written }

func (*repeatedError) Error() string { return "the request was carried out before" }

// answered is the answer to a write that may have been carried out before.
func repeatedIsDone(written Written, err error) (Written, error) {
	if repeated, ok := errors.AsType[*repeatedError](err); ok {
		return repeated.written, nil
	}
	return written, err
}

// madeBy returns nil if the entry was not made by the request with this stamp, else a *repeatedError, or [ErrIdempotencyReuse].
func (s stamp) madeBy(e *Entry) error {
	if s.messageID == "" || e == nil || e.protocol == nil || e.protocol.messageID != s.messageID {
		return nil
	}
	switch e.protocol.request {
	case s.request + madeNothing:
		return &repeatedError{Written{Position: e.Unchecked()}} // as it was acknowledged
	case s.request + madeCreated:
		return &repeatedError{Written{Position: e.Unchecked(), Created: true}}
	}
	return fmt.Errorf("%w: it stored revision %d", ErrIdempotencyReuse, e.Revision)
}

// duplicate finds out what a write was that the server says it has stored already. If it was overwritten since, it cannot be
// compared any more and is taken for the same. Where it cannot be read it may be the same: whatever the cause, nobody may say that
// nothing was done.
func (b *Bucket) duplicate(ctx context.Context, msg *nats.Msg, rev Revision) error {
	e, err := b.fetchEntry(ctx, b.originGet, getRequest{Sequence: uint64(rev)})
	if err != nil && !errors.Is(err, ErrKeyNotFound) {
		return fmt.Errorf("%w: it was sent before, and what was stored cannot be read: %v", ErrOutcomeUnknown, err)
	}
	if err == nil {
		if err := stampOf(msg).madeBy(&e); err != nil {
			return err
		}
	}
	created := first(msg.Header, headerRequest) == stampOf(msg).request+madeCreated
	return &repeatedError{Written{Position: Position{Revision: rev, Epoch: b.epochOfWrite(ctx, rev)}, Created: created}}
}
