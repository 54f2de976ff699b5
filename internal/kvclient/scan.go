package kvclient

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

const (
	// scanBatch is how many messages a scan asks for at once.
	scanBatch = 2000

	// scanInactive is after what time the server drops the consumer of a scan that died.
	scanInactive = 30 * time.Second
)

// A scan reads entries from a bucket's stream, in the order of their revisions, with a consumer of its own on the bulk
// connection. It is complete: every key that had an entry when the scan began is reported, with an entry at least as new as
// `since`. A key that is written meanwhile may be reported again, with a newer entry.
type scan struct {
	filters Filters
	history bool // all retained revisions, else the last of each key
	values  bool // with the values, else metadata only
}

// errIncomplete: messages were lost on the way.
var errIncomplete = errors.New("messages missing in a scan")

// run calls visit for each entry and returns the revision that the result is not older than. It returns [ErrOverloaded] if too
// many scans are under way for too long, [ErrBucketNotFound], [ErrUnavailable] or [ErrTimeout].
func (s scan) run(ctx context.Context, b *Bucket, visit func(Entry) error) (since Revision, err error) {
	select {
	case b.client.scans <- struct{}{}:
		defer func() { <-b.client.scans }()
	case <-time.After(b.client.timeout):
		return 0, fmt.Errorf("%w: %d listings are under way", ErrOverloaded, maxScans)
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	info, err := b.client.streamInfo(ctx, b.name)
	if err != nil {
		return 0, err
	}
	since = Revision(info.State.LastSeq)
	subjects, exact := s.filters.cover()
	for i, subject := range subjects {
		subjects[i] = b.readPrefix + subject
	}
	consumer, err := s.consumer(ctx, b, subjects)
	if err != nil {
		return 0, err
	}
	defer b.dropConsumer(consumer)
	r := scanReader{scan: s, bucket: b, exact: exact, end: since, initial: consumer.CachedInfo().NumPending}
	return since, r.read(ctx, consumer, visit)
}

func (s scan) consumer(ctx context.Context, b *Bucket, subjects []string) (jetstream.Consumer, error) {
	js, err := b.client.jetStream()
	if err != nil {
		return nil, err
	}
	config := jetstream.ConsumerConfig{
		DeliverPolicy:     jetstream.DeliverLastPerSubjectPolicy,
		AckPolicy:         jetstream.AckNonePolicy,
		FilterSubjects:    subjects,
		HeadersOnly:       !s.values,
		MemoryStorage:     true,
		Replicas:          1,
		InactiveThreshold: scanInactive,
	}
	if s.history {
		config.DeliverPolicy = jetstream.DeliverAllPolicy
	}
	ctx, cancel := context.WithTimeout(ctx, b.client.timeout)
	defer cancel()
	consumer, err := js.CreateConsumer(ctx, b.stream, config)
	if err != nil {
		return nil, b.consumerError(err)
	}
	return consumer, nil
}

// consumerError gives the domain's words to what nats.go says of a consumer.
func (b *Bucket) consumerError(err error) error {
	if apiErr, ok := errors.AsType[*jetstream.APIError](err); ok {
		return bucketError(b.name, &APIError{Code: apiErr.Code, ErrCode: int(apiErr.ErrorCode), Description: apiErr.Description})
	}
	err = sendError(err)
	if err == errNoResponders {
		return fmt.Errorf("%w: JetStream does not respond", ErrUnavailable)
	}
	return err
}

// dropConsumer deletes a scan's consumer, so that it does not count against the stream's limit until it is found inactive.
func (b *Bucket) dropConsumer(consumer jetstream.Consumer) {
	js, err := b.client.jetStream()
	if err == nil {
		ctx, cancel := context.WithTimeout(context.Background(), b.client.timeout)
		defer cancel()
		err = js.DeleteConsumer(ctx, b.stream, consumer.CachedInfo().Name)
	}
	if err != nil {
		b.client.logger.Debug().Err(err).Str("bucket", b.name.String()).Msg("consumer of a scan not deleted")
	}
}

// A scanReader decides when a scan is complete.
//
// First comes what the stream held as the consumer was created. An entry that was overwritten before it could be read is
// missing there, and its successor comes later: counting messages alone, as native listings do, ends too early when another
// key was overwritten as well. So a scan that misses some goes on to what was the last revision at that moment.
type scanReader struct {
	scan
	bucket  *Bucket
	exact   bool     // the consumer's filters select nothing but what the scan's do
	end     Revision // the revision up to which it must read
	initial uint64   // messages that the consumer had to deliver at its creation

	received uint64
}

func (r *scanReader) read(ctx context.Context, consumer jetstream.Consumer, visit func(Entry) error) error {
	if r.initial == 0 {
		return nil
	}
	messages, err := consumer.Messages(jetstream.PullMaxMessages(scanBatch), jetstream.WithMessagesErrOnMissingHeartbeat(true))
	if err != nil {
		return r.bucket.consumerError(err)
	}
	defer messages.Stop()
	for extended := false; ; {
		msg, err := messages.Next(jetstream.NextContext(ctx))
		if err != nil {
			return r.bucket.consumerError(err)
		}
		meta, err := msg.Metadata()
		if err != nil {
			return fmt.Errorf("%w: scan: %w", ErrUnexpectedAnswer, err)
		}
		r.received++
		if meta.Sequence.Consumer != r.received {
			return fmt.Errorf("%w: %w: message %d came as %d", ErrUnavailable, errIncomplete, meta.Sequence.Consumer, r.received)
		}
		if err := r.visit(msg, meta, visit); err != nil {
			return err
		}
		revision := Revision(meta.Sequence.Stream)
		if meta.NumPending == 0 || revision >= r.end && (extended || r.received >= r.initial) {
			return nil
		}
		if revision >= r.end && !extended {
			info, err := r.bucket.client.streamInfo(ctx, r.bucket.name)
			if err != nil {
				return err
			}
			r.end, extended = Revision(info.State.LastSeq), true
		}
	}
}

// visit hands one message on as an entry, unless the consumer's filters were wider than the scan's. Keys outside the grammar,
// which other tools can store, are never shown.
func (r *scanReader) visit(msg jetstream.Msg, meta *jetstream.MsgMetadata, visit func(Entry) error) error {
	key, ok := r.bucket.keyOf(msg.Subject())
	if !ok || !r.exact && !r.filters.Matches(key.name) {
		return nil
	}
	e := Entry{
		Key:      key.name,
		Position: Position{Revision: Revision(meta.Sequence.Stream), Epoch: r.bucket.epoch},
		Created:  meta.Timestamp.UTC(),
		Value:    msg.Data(),
		Size:     len(msg.Data()),
	}
	e.describe(msg.Headers())
	if !r.values {
		// The server tells the size where it leaves the value out; should it not be a number, none is known.
		e.Size, _ = strconv.Atoi(last(msg.Headers(), headerMessageSize))
	}
	return visit(e)
}

// keyOf returns the key that a subject of the bucket's stream stands for, if it is within the grammar.
func (b *Bucket) keyOf(subject string) (Key, bool) {
	if len(subject) <= len(b.readPrefix) {
		return Key{}, false
	}
	key, err := ParseKey(subject[len(b.readPrefix):])
	if err != nil {
		b.client.hiddenKeys.Add(1)
		return Key{}, false
	}
	return key, true
}
