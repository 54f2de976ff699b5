package kvclient

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go"

	"kvgateway/internal/kv"
	"kvgateway/internal/kvclient/link"
)

// publish sends a write and waits for the server's acknowledgement. A write that nobody took was
// certainly not stored, and is sent again. So is a write that a replicated stream is about to store
// already (10158), to learn what becomes of that. Before it is sent, after what it waited for,
// allowed is asked, if that is not nil.
func (b *Bucket) publish(
	ctx context.Context, msg *nats.Msg, allowed func() error,
) (kv.Position, error) {
	charge, err := b.client.pace.admit(ctx, messageSize(msg))
	if err == nil && allowed != nil {
		if err = allowed(); err != nil {
			charge.refund()
		}
	}
	if err != nil {
		return kv.Position{}, err
	}
	position, err := b.publishAdmitted(ctx, msg)
	charge.settle(err)
	return position, err
}

// publishAdmitted is publish for a message that the pace of writes has admitted.
func (b *Bucket) publishAdmitted(ctx context.Context, msg *nats.Msg) (kv.Position, error) {
	for try := 0; ; try++ {
		position, err := b.publishOnce(ctx, msg)
		if try == unservedTries-1 || !errors.Is(err, errUnderWay) {
			return position, err
		}
		awaitServer(try)
	}
}

// publishOnce is publish, with errUnderWay for what is about to be stored already.
func (b *Bucket) publishOnce(ctx context.Context, msg *nats.Msg) (kv.Position, error) {
	var reply *nats.Msg
	err := b.untilServed(ctx, func() (err error) {
		reply, err = b.link.Request(ctx, msg, link.AcknowledgementBytes)
		return unanswered(err)
	})
	if errors.Is(err, nats.ErrMaxPayload) {
		return kv.Position{}, b.tooLarge(msg.Header)
	}
	if err != nil {
		return kv.Position{}, err
	}
	rev, duplicate, err := b.readAcknowledgement(reply)
	if _, tooLarge := errors.AsType[*kv.ValueTooLargeError](err); tooLarge {
		// The limit need not be the one that was checked before.
		current, unknown := b.rebind(ctx)
		if unknown != nil {
			current = b
		}
		err = current.tooLarge(msg.Header)
	}
	if err == nil && duplicate {
		err = b.duplicate(ctx, msg, rev)
	}
	if err != nil {
		return kv.Position{}, err
	}
	b.client.sizes.note(msg.Subject, len(msg.Data))
	return kv.Position{Revision: rev, Epoch: b.epochOfWrite(ctx, rev)}, nil
}

// epochOfWrite returns the epoch in which a write was acknowledged. A revision that the bucket had
// passed when it was last looked up shows that it was created again since.
func (b *Bucket) epochOfWrite(ctx context.Context, rev kv.Revision) kv.Epoch {
	if rev > b.lastSeq {
		return b.epoch
	}
	b.client.forget(b.name)
	current, err := b.rebind(ctx)
	if err != nil {
		b.client.logger.Warn().Err(err).Str("bucket", b.name.String()).
			Msg("the epoch of a re-created bucket is not known yet")
		return b.epoch
	}
	return current.epoch
}

// readAcknowledgement reads the server's answer to a write: the revision, or why it was refused.
// Anybody can listen on the subject and answer; only what the stream itself answers counts.
// Duplicate says that the write was stored before, at that revision.
func (b *Bucket) readAcknowledgement(reply *nats.Msg) (rev kv.Revision, duplicate bool, err error) {
	var ack struct {
		apiResponse
		Stream    string `json:"stream"`
		Sequence  uint64 `json:"seq"`
		Duplicate bool   `json:"duplicate"`
	}
	if err := json.Unmarshal(reply.Data, &ack); err != nil {
		return 0, false, fmt.Errorf("%w: unreadable acknowledgement: %w", kv.ErrOutcomeUnknown, err)
	}
	switch e := ack.Error; {
	case e == nil && (ack.Stream != b.ackStream || ack.Sequence == 0):
		return 0, false, fmt.Errorf("%w: acknowledged by stream %.64q at %d",
			kv.ErrOutcomeUnknown, ack.Stream, ack.Sequence)
	case e == nil:
		return kv.Revision(ack.Sequence), ack.Duplicate, nil
	case isMismatch(e):
		return 0, false, &mismatchError{namedRevision(e)}
	case e.ErrCode == errCodeTTLDisabled:
		bucket := strings.TrimPrefix(b.ackStream, kv.StreamPrefix)
		return 0, false, &kv.TTLNotEnabledError{Bucket: bucket}
	case e.ErrCode == errCodeMessageTooLarge:
		return 0, false, &kv.ValueTooLargeError{}
	case b.rules.memory && b.ackStream == b.stream: // The rules of a mirror are not its origin's.
		return 0, false, ofMemory(refusal(e))
	default:
		return 0, false, refusal(e)
	}
}

// expectRevision makes the server store the message only if rev is the last revision of its key; 0
// if the key was never written. In a batch headerExpectedSubject can name another key.
func expectRevision(msg *nats.Msg, rev kv.Revision) {
	setHeader(msg, headerExpected, rev.String())
}

// setHeader sets a header of a message.
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
