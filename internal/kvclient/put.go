package kvclient

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

// maxTries bounds how often a write that must read first is tried again because another writer was faster.
const maxTries = 8

// A Write is a value to be stored under a key.
type Write struct {
	Key                          Key
	Value                        []byte
	ContentType, ContentEncoding string        // stored with the value if not empty
	TTL                          time.Duration // after which the entry expires; 0 for not by itself
	Precondition                 Precondition
	Idempotency                  Idempotency
}

// A Written tells what a write did.
type Written struct {
	Position
	Created bool // it is known that the key had no value before
}

// Put stores a value. Without a precondition, with one revision or with "only if absent" it is one publish that the server
// checks; every other precondition needs a read first, and is tried again when another writer was faster.
//
// It returns a *[RevisionMismatchError], a *[ValueTooLargeError], a *[TTLNotEnabledError], a *[TTLTooShortError],
// [ErrIdempotencyReuse], [ErrHeaderTooLarge], [ErrBucketFull], [ErrStorageExhausted], [ErrOverloaded], [ErrContention],
// [ErrBucketNotFound], [ErrUnavailable], or [ErrOutcomeUnknown].
func (b *Bucket) Put(ctx context.Context, w Write) (Written, error) {
	return repeatedIsDone(b.put(ctx, w))
}

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
		w.stamp(b).put(msg, w.Precondition.ifAbsent())
	}
	if b.mayExempt() {
		if err := b.replaceNever(ctx, w.Key, msg); err != nil {
			return Written{}, err
		}
	}
	if room := b.roomOf(msg.Header, 0, w.Precondition); len(w.Value) > room {
		return Written{}, &ValueTooLargeError{Limit: room}
	}
	if w.Precondition.Always() {
		position, err := b.publish(ctx, msg)
		return Written{Position: position}, err
	}
	if w.Precondition.ifAbsent() {
		return b.create(ctx, w.Key, msg)
	}
	if rev, ok := w.Precondition.ifRevision(b.epoch); ok {
		return b.update(ctx, w.Key, msg, rev)
	}
	return b.putChecked(ctx, w.Key, msg, w.Precondition)
}

// knowing returns the bucket for a write, as the server knows it now if the precondition names an
// epoch that this binding does not know: the bucket may have been created again since.
func (b *Bucket) currentFor(ctx context.Context, p Precondition) (*Bucket, error) {
	b = b.overWrites()
	if !p.foreignEpoch(b.epoch) {
		return b, nil
	}
	current, err := b.rebind(ctx)
	return current, notSent(err)
}

// notSent tells of a read without an answer that the write it was for was not sent.
func notSent(err error) error {
	if errors.Is(err, ErrTimeout) {
		return fmt.Errorf("%w: not sent: %w", ErrUnavailable, err)
	}
	return err
}

// message is the write without its precondition and its stamp.
func (w *Write) message(b *Bucket) *nats.Msg {
	msg := &nats.Msg{Subject: b.writePrefix + w.Key.name, Data: w.Value}
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

func (w *Write) stamp(b *Bucket) stamp {
	return w.Idempotency.stamp(b.name, w.Key, "PUT", []byte(w.ContentType), []byte(w.ContentEncoding), []byte(w.TTL.String()), w.Value)
}

func setHeader(msg *nats.Msg, name, value string) {
	if msg.Header == nil {
		msg.Header = make(nats.Header, 2)
	}
	msg.Header[name] = []string{value}
}

// setHeaders sets two headers at once, for one allocation.
func setHeaders(msg *nats.Msg, name1, value1, name2, value2 string) {
	if msg.Header == nil {
		msg.Header = make(nats.Header, 2)
	}
	values := []string{value1, value2}
	msg.Header[name1], msg.Header[name2] = values[:1:1], values[1:]
}

// publishExpecting publishes the message on condition that the key's last revision is rev, 0 for never written. It returns
// a *mismatchError otherwise.
func (b *Bucket) publishExpecting(ctx context.Context, msg *nats.Msg, rev Revision) (Position, error) {
	setHeader(msg, headerExpected, rev.String())
	return b.publish(ctx, msg)
}

// create stores the message if the key has no value. Only over a marker does it take more than the one publish: the server
// tells the marker's revision, which is looked at and then expected, so that no other writer can slip in between.
func (b *Bucket) create(ctx context.Context, key Key, msg *nats.Msg) (Written, error) {
	var expected Revision
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
		if err == nil && e.IsMarker() && e.Revision == expected || errors.Is(err, ErrKeyNotFound) && expected == 0 {
			awaitWriter(try)
		}
		switch {
		case errors.Is(err, ErrKeyNotFound):
			expected = 0
		case err != nil:
			return Written{}, err
		case !e.IsMarker():
			return Written{}, &RevisionMismatchError{Current: e.Position, KeyExists: true}
		default:
			expected = e.Revision
		}
	}
	return Written{}, ErrContention
}

// awaitWriter waits a moment, longer with each try, where a replicated stream refuses a write that nothing visible contradicts:
// another writer's is on its way through the replicas, and will be seen or have failed soon.
func awaitWriter(try int) { time.Sleep(time.Millisecond << try) }

// update stores the message if the key's last revision is rev.
func (b *Bucket) update(ctx context.Context, key Key, msg *nats.Msg, rev Revision) (Written, error) {
	s := stampOf(msg)
	s.put(msg, rev == 0)
	for try := range maxTries {
		position, err := b.publishExpecting(ctx, msg, rev)
		mismatch, ok := errors.AsType[*mismatchError](err)
		if !ok {
			return Written{Position: position, Created: rev == 0}, err
		}
		if mismatch.known && mismatch.current != rev && s.messageID == "" {
			return Written{}, &RevisionMismatchError{Current: Position{Revision: mismatch.current, Epoch: b.epoch}}
		}
		e, err := b.entryBehind(ctx, key, &mismatchError{})
		if err != nil && !errors.Is(err, ErrKeyNotFound) {
			return Written{}, err
		}
		// The server checks the revision before it looks for a duplicate (measured), so a request that was carried out before is
		// refused for the revision that it made itself.
		if repeated := s.madeBy(&e); repeated != nil {
			return Written{}, repeated
		}
		if e.Revision != rev {
			return Written{}, b.preconditionFailed(Precondition{}, &e)
		}
		awaitWriter(try)
	}
	return Written{}, ErrContention
}

// entryBehind returns the entry that a mismatch spoke of: by the revision that the server named, else the key's last.
func (b *Bucket) entryBehind(ctx context.Context, key Key, m *mismatchError) (Entry, error) {
	request := getRequest{LastBySubject: b.readPrefix + key.name}
	if m.known && m.current > 0 {
		request = getRequest{Sequence: uint64(m.current)}
	}
	e, err := b.fetchEntry(ctx, b.originGet, request)
	return e, notSent(err)
}

// putChecked reads the key's last entry, checks the precondition, and stores on condition that nothing changed meanwhile.
func (b *Bucket) putChecked(ctx context.Context, key Key, msg *nats.Msg, p Precondition) (Written, error) {
	var expected, before Revision
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
	return Written{}, ErrContention
}

// lastOrNil returns the key's last entry as the leader of the stream has it that writes go to, nil if there is none.
func (b *Bucket) lastOrNil(ctx context.Context, key Key) (*Entry, error) {
	var e Entry
	var err error
	if !b.isMirror() {
		e, _, err = b.lastEntry(ctx, key, Leader)
	} else {
		e, err = b.fetchEntry(ctx, b.originGet, getRequest{LastBySubject: b.readPrefix + key.name})
	}
	if errors.Is(err, ErrKeyNotFound) {
		return nil, nil
	}
	return &e, notSent(err)
}

// violated is the error for a precondition that the key's last entry does not meet.
func (b *Bucket) preconditionFailed(p Precondition, last *Entry) error {
	e := &RevisionMismatchError{Current: Position{Epoch: b.epoch}}
	if last != nil {
		e.Current.Revision, e.Current.Check = last.Revision, last.Check
	}
	e.KeyExists = p.IfNoneMatch.Any && (!p.IfMatch.Present() || p.IfMatch.Matches(last, b.epoch))
	return e
}

// A mismatchError tells that the server expected another last revision; nothing was stored.
type mismatchError struct {
	current Revision
	known   bool // the server named the current revision
}

func (*mismatchError) Error() string { return "wrong last revision" }

// unservedTries bounds how often a request is repeated that nobody took although the bucket is there; the waits between add up to
// 0.3 s. In a cluster a stream that was just created, or whose leader changes, has nobody for a moment.
const unservedTries = 5

func awaitServer(try int) { time.Sleep(20 * time.Millisecond << try) }

// publish sends a write and waits for the server's acknowledgement. What nobody took was certainly not stored, and is sent again;
// so is what a replicated stream is about to store already, to learn what became of it.
func (b *Bucket) publish(ctx context.Context, msg *nats.Msg) (Position, error) {
	for try := 0; ; try++ {
		position, err := b.publishOnce(ctx, msg)
		if try == unservedTries-1 || !errors.Is(err, errUnderWay) {
			return position, err
		}
		awaitServer(try)
	}
}

func (b *Bucket) publishOnce(ctx context.Context, msg *nats.Msg) (Position, error) {
	reply, err := b.link.request(ctx, msg, acknowledgementBytes)
	for try := 0; err == errNoResponders; try++ {
		gone := b.whyUnserved(ctx)
		if try == unservedTries-1 || errors.Is(gone, ErrBucketNotFound) || !b.link.conn().IsConnected() {
			return Position{}, gone
		}
		awaitServer(try)
		reply, err = b.link.request(ctx, msg, acknowledgementBytes)
	}
	switch {
	case errors.Is(err, nats.ErrMaxPayload):
		return Position{}, &ValueTooLargeError{Limit: max(0, b.maxMessage-headerBytes(msg.Header))}
	case errors.Is(err, ErrTimeout):
		return Position{}, fmt.Errorf("%w: %w", ErrOutcomeUnknown, err)
	case err != nil:
		return Position{}, err
	}
	rev, duplicate, err := b.readAcknowledgement(reply)
	if tooLarge, ok := errors.AsType[*ValueTooLargeError](err); ok {
		// The limit is not the one that was checked.
		if current, err := b.rebind(ctx); err == nil {
			tooLarge.Limit = max(0, current.maxMessage-headerBytes(msg.Header))
		}
	}
	if err == nil && duplicate {
		err = b.duplicate(ctx, msg, rev)
	}
	if err != nil {
		return Position{}, err
	}
	b.client.sizes.note(msg.Subject, len(msg.Data))
	return Position{Revision: rev, Epoch: b.epochOfWrite(ctx, rev)}, nil
}

// epochOfWrite is the epoch in which a write was acknowledged. A revision that the bucket had passed when it was last
// looked at shows that it was created again since.
func (b *Bucket) epochOfWrite(ctx context.Context, rev Revision) Epoch {
	if rev > b.lastSeq {
		return b.epoch
	}
	b.client.forget(b.name)
	current, err := b.rebind(ctx)
	if err != nil {
		b.client.logger.Warn().Err(err).Str("bucket", b.name.String()).Msg("epoch of a re-created bucket not known yet")
		return b.epoch
	}
	return current.epoch
}

// unserved finds out why nobody listens on the bucket's subjects, so that nothing was stored: [ErrBucketNotFound] if the bucket
// is gone, else [ErrUnavailable]. Asking the server once tells the two apart in microseconds.
func (b *Bucket) whyUnserved(ctx context.Context) error {
	b.client.forget(b.name)
	if _, err := b.rebind(ctx); err != nil {
		return notSent(err)
	}
	return fmt.Errorf("%w: nobody serves the bucket's stream at the moment", ErrUnavailable)
}

// acknowledged reads the server's answer to a write: the revision, or why it was refused. Anybody can listen on the subject and
// answer; only the stream's own word counts. Duplicate tells that it was stored before, at that revision.
func (b *Bucket) readAcknowledgement(reply *nats.Msg) (rev Revision, duplicate bool, err error) {
	var ack struct {
		apiResponse
		Stream    string `json:"stream"`
		Sequence  uint64 `json:"seq"`
		Duplicate bool   `json:"duplicate"`
	}
	if err := json.Unmarshal(reply.Data, &ack); err != nil {
		return 0, false, fmt.Errorf("%w: unreadable acknowledgement: %w", ErrOutcomeUnknown, err)
	}
	switch e := ack.Error; {
	case e == nil && (ack.Stream != b.ackStream || ack.Sequence == 0):
		return 0, false, fmt.Errorf("%w: acknowledged by stream %.64q at %d", ErrOutcomeUnknown, ack.Stream, ack.Sequence)
	case e == nil:
		return Revision(ack.Sequence), ack.Duplicate, nil
	case e.isMismatch():
		current, known := e.currentRevision()
		return 0, false, &mismatchError{current, known}
	case e.ErrCode == errCodeTTLDisabled:
		return 0, false, &TTLNotEnabledError{Bucket: strings.TrimPrefix(b.ackStream, streamPrefix)}
	case e.ErrCode == errCodeMessageTooLarge:
		return 0, false, &ValueTooLargeError{}
	default:
		return 0, false, refusal(e)
	}
}
