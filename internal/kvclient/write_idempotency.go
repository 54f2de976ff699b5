package kvclient

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"

	"kvgateway/internal/kv"
)

// errUnderWay says that a request with the same idempotency key is being stored at this moment: a
// replicated stream has yet to decide whether it will be (10158).
var errUnderWay = fmt.Errorf("%w: the same request is under way", kv.ErrOutcomeUnknown)

// An Idempotency makes a write that is sent again within the bucket's duplicate window do nothing,
// and answer as the first one did. The zero Idempotency does nothing.
type Idempotency struct {
	// Caller is who chose the key: another caller's key of the same text is another key.
	Caller string
	// Key is the idempotency key that the caller chose.
	Key string
	// IsBlind says that the caller must not learn what is stored. The id then covers the whole
	// request, so that another request with the same key is another write: to compare it with the
	// first one would show whether that is still there. It is not for transactions.
	IsBlind bool
}

// A stamp is what is stored with an idempotent write to know it again.
//
// The server's duplicate check is for the whole stream, and drops a message with the same id also
// if it is for another key (measured). So the id is a digest of everything that an idempotency key
// is bound to: caller, bucket, key, operation and idempotency key (TestIdempotencyKeyIsBound,
// TestIdempotencyBelongsToACaller). The id does not cover what is to be stored, since otherwise
// another request with the same idempotency key would not be noticed. To notice it, a digest of the
// request is stored beside the id.
//
// A repetition is found in one of four ways:
//
//	what the write meets            | because               | what is done
//	the key's last entry has its    | the write reads first | the answer is the first one's
//	stamp                           |                       |
//	the server refuses the expected | it checks a compare-  | what is in the way is read: if
//	revision (10071)                | and-set before the    | this request made it, as above;
//	                                | duplicate (measured)  | else the precondition failed,
//	                                |                       | also if it was overwritten
//	the server says duplicate       | the precondition, if  | what was stored is read and
//	                                | any, holds (again)    | compared, if it is still there
//	the server says that the first  | the stream is         | the write is sent again until
//	is on its way (10158)           | replicated            | that is decided
//
// TestRetryAfterACutStoresOnce, TestRetryAfterALostAcknowledgement, TestRetryOfWhatWasOverwritten
// and TestClusterRetriesStoreOnce show these.
type stamp struct {
	// messageID is the id by which the server knows the write again.
	messageID string
	// request is a digest, by which the gateway knows what was to be stored.
	request string
}

// stamp returns the stamp of an operation on a key that is to store request; the zero stamp if
// there is no idempotency key.
func (i Idempotency) stamp(
	bucket kv.BucketName, key kv.Key, operation string, request ...[]byte,
) stamp {
	if i.Key == "" {
		return stamp{}
	}
	of, what := []string{i.Caller, bucket.String(), key.String(), operation, i.Key},
		digest(request...)
	if i.IsBlind {
		of = append(of, what)
	}
	parts := make([][]byte, len(of))
	for n, part := range of {
		parts[n] = []byte(part)
	}
	return stamp{messageID: digest(parts...), request: what}
}

// digestBytes is how many bytes of a SHA-256 a digest has: enough that nobody finds two texts with
// the same.
const digestBytes = 18

// digest returns a digest of a list of texts. Each text goes in with its length, so that lists
// whose texts are divided otherwise differ.
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

// put puts the stamp on a message, with whether the write creates the key's value. The zero stamp
// puts nothing.
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

// A repeatedError says that this very request was carried out before, and what it did.
type repeatedError struct {
	// written is what the request did then.
	written Written
}

func (*repeatedError) Error() string { return "the request was carried out before" }

// repeatedIsDone turns a *repeatedError into the success that it stands for.
func repeatedIsDone(written Written, err error) (Written, error) {
	if repeated, ok := errors.AsType[*repeatedError](err); ok {
		repeated.written.IsRepeated = true
		return repeated.written, nil
	}
	return written, err
}

// madeBy returns a *repeatedError if the request with this stamp made the entry,
// [kv.ErrIdempotencyReuse] if another request with the same idempotency key did, and otherwise nil.
func (s stamp) madeBy(e *kv.Entry) error {
	if s.messageID == "" || e == nil || e.Bookkeeping == nil ||
		e.Bookkeeping.MessageID != s.messageID {
		return nil
	}
	switch e.Bookkeeping.Request {
	case s.request + madeNothing:
		return &repeatedError{Written{Position: e.Unchecked()}} // as it was acknowledged
	case s.request + madeCreated:
		return &repeatedError{Written{Position: e.Unchecked(), Created: true}}
	}
	return fmt.Errorf("%w: it stored revision %d", kv.ErrIdempotencyReuse, e.Revision)
}

// duplicate finds out what the write was that the server says it has stored already. If it was
// overwritten since, it cannot be compared any more, and is taken for the same. If it cannot be
// read, it may be the same: whatever the cause is, it must not be said that nothing was done.
func (b *Bucket) duplicate(ctx context.Context, msg *nats.Msg, rev kv.Revision) error {
	e, err := b.fetchEntry(ctx, b.originGet, getRequest{Sequence: uint64(rev)})
	if err != nil && !errors.Is(err, kv.ErrKeyNotFound) {
		return fmt.Errorf("%w: it was sent before, and what was stored cannot be read: %v",
			kv.ErrOutcomeUnknown, err)
	}
	if err == nil {
		if err := stampOf(msg).madeBy(&e); err != nil {
			return err
		}
	}
	created := first(msg.Header, headerRequest) == stampOf(msg).request+madeCreated
	position := kv.Position{Revision: rev, Epoch: b.epochOfWrite(ctx, rev)}
	return &repeatedError{Written{Position: position, Created: created}}
}
