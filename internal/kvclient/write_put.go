package kvclient

import (
	"context"
	"time"

	"github.com/nats-io/nats.go"

	"kvgateway/internal/kv"
)

// A Write is a value to be stored under a key.
type Write struct {
	// Key is the key that gets the value.
	Key kv.Key
	// Value is the value.
	Value []byte
	// ContentType and ContentEncoding are stored with the value if they are not empty.
	ContentType, ContentEncoding string
	// TTL is when the entry expires; 0 if it does not by itself.
	TTL time.Duration
	// Precondition is what the key's last entry must be.
	Precondition kv.Precondition
	// Idempotency makes a repetition of the write do nothing.
	Idempotency Idempotency
	// Allowed, if not nil, is asked before each attempt is sent, after what it has waited for. An
	// error that it returns ends the write, of which nothing was done.
	Allowed func() error
}

// A Written says what a write did.
type Written struct {
	// Position is where the entry was stored; it has no check.
	kv.Position
	// Created says that the key is known to have had no value before.
	Created bool
	// IsRepeated says that the write was carried out before, and now nothing was done.
	IsRepeated bool
}

// Put stores a value, if its precondition holds: see replacement for what it costs to know that. In
// buckets with entries that may never expire (see mayExempt) a read comes before the publish.
//
// It returns a *[kv.RevisionMismatchError], a *[kv.ValueTooLargeError], a
// *[kv.TTLNotEnabledError], a *[kv.TTLTooShortError], [kv.ErrIdempotencyReuse],
// [kv.ErrHeaderTooLarge], [kv.ErrBucketFull], [kv.ErrStorageExhausted], [kv.ErrOverloaded],
// [kv.ErrContention], [kv.ErrBucketNotFound], [kv.ErrUnavailable], or [kv.ErrOutcomeUnknown].
func (b *Bucket) Put(ctx context.Context, w Write) (Written, error) {
	return repeatedIsDone(b.put(ctx, w))
}

// put is Put, with a *repeatedError for a write that was carried out before.
func (b *Bucket) put(ctx context.Context, w Write) (Written, error) {
	current, err := b.currentFor(ctx, w.Key, w.Precondition)
	if err != nil {
		return Written{}, err
	}
	if err := current.CheckTTL(ctx, w.TTL); err != nil {
		return Written{}, err
	}
	msg := w.message(current)
	if w.Idempotency.Key != "" {
		w.stamp(current).put(msg, w.Precondition.IfAbsent())
	}
	if current.mayExempt() {
		if err := current.replaceNever(ctx, w.Key, msg); err != nil {
			return Written{}, err
		}
	}
	if room := current.roomOf(msg.Header, 0, w.Precondition); len(w.Value) > room {
		return Written{}, &kv.ValueTooLargeError{Limit: room}
	}
	if w.Precondition.Always() {
		position, err := current.publish(ctx, msg, w.Allowed)
		return Written{Position: position}, err
	}
	return current.putIf(ctx, msg, &w)
}

// ifAbsent is the precondition that the key has no value.
var ifAbsent = kv.Precondition{IfNoneMatch: kv.Condition{Any: true}}

// putIf stores the message if the precondition holds. Only over a marker does a create take more
// than one publish: what is there is read and then expected, so that no other writer can slip in
// between.
func (b *Bucket) putIf(ctx context.Context, msg *nats.Msg, w *Write) (Written, error) {
	var created bool
	p := w.Precondition
	r := replacement{bucket: b, key: w.Key, stamp: stampOf(msg), allowed: w.Allowed}
	r.propose = func(last *kv.Entry) (*nats.Msg, error) {
		if !p.Holds(last, b.epoch) {
			return nil, b.preconditionFailed(p, last)
		}
		created = last == nil || last.IsMarker()
		r.stamp.put(msg, created) // put assumed that nothing was there
		return msg, nil
	}
	if p.IfAbsent() {
		r.known = knownRevision{0, true}
	} else if rev, ok := p.IfRevision(b.epoch); ok {
		r.known, r.byRevision = knownRevision{rev, true}, true
	} else {
		r.queues = true
	}
	position, err := r.run(ctx)
	return Written{Position: position, Created: created}, err
}

// currentFor returns the bucket for a write of the key. If the precondition names an epoch that
// this binding does not know, it asks the server first: the bucket may have been created again
// since. So it does before it refuses a key that a mirror does not hold.
func (b *Bucket) currentFor(ctx context.Context, k kv.Key, p kv.Precondition) (*Bucket, error) {
	b = b.overWrites()
	if !p.NamesOtherEpoch(b.epoch) && b.checkExtent(k) == nil {
		return b, nil
	}
	current, err := b.rebind(ctx)
	if err != nil {
		return nil, notSent(err)
	}
	return current, current.checkExtent(k)
}

// message returns the write without its precondition and its stamp.
func (w *Write) message(b *Bucket) *nats.Msg {
	msg := &nats.Msg{Subject: b.writePrefix + w.Key.String(), Data: w.Value}
	w.setHeaders(msg)
	return msg
}

// setHeaders puts on a message what is stored with the value.
func (w *Write) setHeaders(msg *nats.Msg) {
	if w.ContentType != "" {
		setHeader(msg, headerContentType, w.ContentType)
	}
	if w.ContentEncoding != "" {
		setHeader(msg, headerContentEncoding, w.ContentEncoding)
	}
	if w.TTL > 0 {
		setTTL(msg, w.TTL)
	}
}

// stamp returns the stamp of the write.
func (w *Write) stamp(b *Bucket) stamp {
	return w.Idempotency.stamp(b.name, w.Key, "PUT",
		[]byte(w.ContentType), []byte(w.ContentEncoding), []byte(w.TTL.String()), w.Value)
}
