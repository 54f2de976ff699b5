package kvclient

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go"

	"kvgateway/internal/kv"
)

// maxTries bounds how often a write that must read first is tried again because another writer was
// faster.
const maxTries = 8

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
}

// A Written says what a write did.
type Written struct {
	kv.Position      // Where the entry was stored; without a check.
	Created     bool // It is known that the key had no value before.
}

// Put stores a value. How it is held to its precondition is described at [kv.Precondition]. In
// buckets with entries that may never expire (see mayExempt) a read comes before the publish.
//
// It returns a *[kv.RevisionMismatchError], a *[kv.ValueTooLargeError], a *[TTLNotEnabledError], a
// *[TTLTooShortError], [kv.ErrIdempotencyReuse], [kv.ErrHeaderTooLarge], [kv.ErrBucketFull],
// [kv.ErrStorageExhausted], [kv.ErrOverloaded], [kv.ErrContention], [kv.ErrBucketNotFound],
// [kv.ErrUnavailable], or [kv.ErrOutcomeUnknown].
func (b *Bucket) Put(ctx context.Context, w Write) (Written, error) {
	return repeatedIsDone(b.put(ctx, w))
}

// put is Put, with a *repeatedError for a write that was carried out before.
func (b *Bucket) put(ctx context.Context, w Write) (Written, error) {
	b, err := b.currentFor(ctx, w.Precondition)
	if err != nil {
		return Written{}, err
	}
	if err := b.CheckTTL(ctx, w.TTL); err != nil {
		return Written{}, err
	}
	msg := w.message(b)
	if w.Idempotency.Key != "" {
		w.stamp(b).put(msg, w.Precondition.IfAbsent())
	}
	if b.mayExempt() {
		if err := b.replaceNever(ctx, w.Key, msg); err != nil {
			return Written{}, err
		}
	}
	if room := b.roomOf(msg.Header, 0, w.Precondition); len(w.Value) > room {
		return Written{}, &kv.ValueTooLargeError{Limit: room}
	}
	if w.Precondition.Always() {
		position, err := b.publish(ctx, msg)
		return Written{Position: position}, err
	}
	if w.Precondition.IfAbsent() {
		return b.create(ctx, w.Key, msg)
	}
	if rev, ok := w.Precondition.IfRevision(b.epoch); ok {
		return b.update(ctx, w.Key, msg, rev)
	}
	return b.putChecked(ctx, w.Key, msg, w.Precondition)
}

// currentFor returns the bucket for a write. If the precondition names an epoch that this binding
// does not know, it asks the server first: the bucket may have been created again since.
func (b *Bucket) currentFor(ctx context.Context, p kv.Precondition) (*Bucket, error) {
	b = b.overWrites()
	if !p.NamesOtherEpoch(b.epoch) {
		return b, nil
	}
	current, err := b.rebind(ctx)
	return current, notSent(err)
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

// publishExpecting publishes the message on condition that the key's last revision is rev, 0 for
// never written. It returns a *mismatchError otherwise.
func (b *Bucket) publishExpecting(
	ctx context.Context, msg *nats.Msg, rev kv.Revision,
) (kv.Position, error) {
	setHeader(msg, headerExpected, rev.String())
	return b.publish(ctx, msg)
}

// create stores the message if the key has no value. Only over a marker does that take more than
// one publish: the server names the marker's revision, which is read and then expected, so that no
// other writer can slip in between.
func (b *Bucket) create(ctx context.Context, key kv.Key, msg *nats.Msg) (Written, error) {
	var expected kv.Revision
	for try := range maxTries {
		position, err := b.publishExpecting(ctx, msg, expected)
		mismatch, ok := errors.AsType[*mismatchError](err)
		if !ok {
			return Written{Position: position, Created: true}, err
		}
		e, err := b.entryBehind(ctx, key, mismatch)
		if repeated := stampOf(msg).madeBy(&e); repeated != nil {
			return Written{}, repeated
		}
		if err == nil && e.IsMarker() && e.Revision == expected ||
			errors.Is(err, kv.ErrKeyNotFound) && expected == 0 {
			awaitWriter(try)
		}
		switch {
		case errors.Is(err, kv.ErrKeyNotFound):
			expected = 0
		case err != nil:
			return Written{}, err
		case !e.IsMarker():
			return Written{}, &kv.RevisionMismatchError{Current: e.Position, KeyExists: true}
		default:
			expected = e.Revision
		}
	}
	return Written{}, kv.ErrContention
}

// awaitWriter waits for a moment, longer with each try, where a replicated stream refuses a write
// that nothing visible contradicts: another writer's is on its way through the replicas, and will
// be seen or have failed soon.
func awaitWriter(try int) { time.Sleep(time.Millisecond << try) }

// update stores the message if the key's last revision is rev.
func (b *Bucket) update(
	ctx context.Context, key kv.Key, msg *nats.Msg, rev kv.Revision,
) (Written, error) {
	s := stampOf(msg)
	s.put(msg, rev == 0)
	for try := range maxTries {
		position, err := b.publishExpecting(ctx, msg, rev)
		mismatch, ok := errors.AsType[*mismatchError](err)
		if !ok {
			return Written{Position: position, Created: rev == 0}, err
		}
		if mismatch.known && mismatch.current != rev && s.messageID == "" {
			return Written{}, &kv.RevisionMismatchError{
				Current: kv.Position{Revision: mismatch.current, Epoch: b.epoch}}
		}
		e, err := b.entryBehind(ctx, key, &mismatchError{})
		if err != nil && !errors.Is(err, kv.ErrKeyNotFound) {
			return Written{}, err
		}
		// The server checks the revision before it looks for a duplicate (measured), so a request
		// that was carried out before is refused because of the revision that it made itself. See
		// stamp.
		if repeated := s.madeBy(&e); repeated != nil {
			return Written{}, repeated
		}
		if e.Revision != rev {
			return Written{}, b.preconditionFailed(kv.Precondition{}, &e)
		}
		awaitWriter(try)
	}
	return Written{}, kv.ErrContention
}

// entryBehind returns the entry that a mismatch was about: that of the revision which the server
// named, else the key's last.
func (b *Bucket) entryBehind(ctx context.Context, key kv.Key, m *mismatchError) (kv.Entry, error) {
	request := getRequest{LastBySubject: b.readPrefix + key.String()}
	if m.known && m.current > 0 {
		request = getRequest{Sequence: uint64(m.current)}
	}
	e, err := b.fetchEntry(ctx, b.originGet, request)
	return e, notSent(err)
}

// putChecked reads the key's last entry, checks the precondition, and stores the message on
// condition that nothing changed meanwhile.
func (b *Bucket) putChecked(
	ctx context.Context, key kv.Key, msg *nats.Msg, p kv.Precondition,
) (Written, error) {
	var expected, before kv.Revision
	s := stampOf(msg)
	attempts := b.attempts(key)
	defer attempts.end()
	for try := range maxTries {
		last, err := attempts.last(ctx, try)
		if err == nil {
			err = s.madeBy(last)
		}
		if err != nil {
			return Written{}, err
		}
		if !p.Holds(last, b.epoch) {
			return Written{}, b.preconditionFailed(p, last)
		}
		if before, expected = expected, 0; last != nil {
			expected = last.Revision
		}
		if try > 0 && expected == before {
			awaitWriter(try)
		}
		created := last == nil || last.IsMarker()
		s.put(msg, created)
		position, err := b.publishExpecting(ctx, msg, expected)
		if _, ok := errors.AsType[*mismatchError](err); !ok {
			return Written{Position: position, Created: created}, err
		}
	}
	return Written{}, kv.ErrContention
}

// lastOrNil returns the key's last entry in the stream that writes go to, as that stream's leader
// has it; nil if there is none.
func (b *Bucket) lastOrNil(ctx context.Context, key kv.Key) (*kv.Entry, error) {
	var e kv.Entry
	var err error
	if !b.isMirror() {
		e, _, err = b.lastEntry(ctx, key, Leader)
	} else {
		request := getRequest{LastBySubject: b.readPrefix + key.String()}
		e, err = b.fetchEntry(ctx, b.originGet, request)
	}
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
	}
	e.KeyExists = p.IfNoneMatch.Any && (!p.IfMatch.Present() || p.IfMatch.Matches(last, b.epoch))
	return e
}
