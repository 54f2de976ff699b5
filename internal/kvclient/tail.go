package kvclient

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"
)

const (
	tailBatch     = 500
	tailHeartbeat = 500 * time.Millisecond // of the server while it has nothing to send
	tailSilence   = 3 * tailHeartbeat      // without a word, after which the consumer is taken for lost
	tailInactive  = 30 * time.Second       // after which the server drops the consumer of a tail that died
)

// A StreamState is what the leader of a bucket's stream says of it at one moment.
type StreamState struct {
	Epoch       Epoch
	Created     time.Time // as the server says
	At          time.Time // when it was so, by the server's clock
	First, Last Revision
	Messages    uint64
	Subjects    uint64
	LastTime    time.Time     // when the last message was stored
	Lifetime    time.Duration // the shortest that an entry or a marker may have; 0 if none vanishes by age
	Discards    bool          // the oldest messages may vanish for want of room, whatever they are
	History     int64         // messages that are kept of each key
	Terms       Terms         // on which the bucket keeps its entries
}

// NothingRemoved tells that the stream still holds every message that it was ever given.
func (s StreamState) NothingRemoved() bool {
	return s.Last == 0 || s.First == 1 && s.Messages == uint64(s.Last)
}

// State asks the server for a bucket and the state of its stream. It returns what [Client.Status] does, and [ErrUnavailable] while a
// replicated stream has no leader: then every replica answers, each with what it knows (measured, nats-server 2.15.2).
func (c *Client) State(ctx context.Context, name BucketName) (*Bucket, StreamState, error) {
	return c.state(ctx, c.writes, name)
}

func (c *Client) state(ctx context.Context, l *link, name BucketName) (
	*Bucket, StreamState, error) {
	b, info, err := c.lookUp(ctx, l, name)
	if err != nil {
		return nil, StreamState{}, err
	}
	if info.Cluster != nil && info.Cluster.Leader == "" && info.Config.Replicas > 1 {
		return nil, StreamState{}, fmt.Errorf("%w: stream %s has no leader", ErrUnavailable, name.stream())
	}
	return b, StreamState{
		Epoch:    b.epoch,
		Created:  info.Created,
		At:       info.TimeStamp,
		First:    Revision(info.State.FirstSeq),
		Last:     Revision(info.State.LastSeq),
		Messages: info.State.Msgs,
		Subjects: info.State.NumSubjects,
		LastTime: info.State.LastTime,
		Lifetime: lifetime(info.Config),
		Discards: discards(&info.Config),
		History:  info.Config.MaxMsgsPerSubject,
		Terms:    termsOf(b.readPrefix, &info.Config),
	}, nil
}

// lifetime is the shortest that a message may have: it has the stream's, or one of its own, which is at least a second.
func lifetime(config jetstream.StreamConfig) time.Duration {
	switch {
	case !config.AllowMsgTTL:
		return config.MaxAge
	case config.MaxAge == 0:
		return time.Second
	}
	return min(config.MaxAge, time.Second)
}

// NextRevision asks the leader for the first revision after one that is still stored; 0 if there is none.
func (b *Bucket) NextRevision(ctx context.Context, after Revision) (Revision, error) {
	m, err := b.fetchMessage(ctx, b.leaderGet, getRequest{Sequence: uint64(after) + 1, NextBySubject: b.readPrefix + AllKeys.pattern})
	switch {
	case errors.Is(err, ErrKeyNotFound):
		return 0, nil
	case err != nil:
		return 0, err
	}
	return Revision(m.Sequence), nil
}

// StoredAt asks the leader when the message of a revision was stored. It returns the zero time if that is not there any more.
func (b *Bucket) StoredAt(ctx context.Context, revision Revision) (time.Time, error) {
	m, err := b.fetchMessage(ctx, b.leaderGet, getRequest{Sequence: uint64(revision)})
	switch {
	case errors.Is(err, ErrKeyNotFound):
		return time.Time{}, nil
	case err != nil:
		return time.Time{}, err
	}
	return m.Time, nil
}

// errConnectionLost ends a tail whose connection was lost.
var errConnectionLost = fmt.Errorf("%w: the connection was lost", ErrUnavailable)

// A Tail delivers what a bucket's stream stores, in order and without a gap but for what the stream had dropped before it was
// read. Keys outside the grammar come as entries without a key, so that every revision is accounted for.
type Tail struct {
	// C brings entries, at least one at a time. It is closed when the tail ends; Err says why.
	C <-chan []Entry

	bucket   *Bucket
	consumer string
	cancel   context.CancelFunc
	out      chan []Entry
	messages chan *nats.Msg
	received uint64
	last     Revision
	began    time.Time
	heard    atomic.Int64 // nanoseconds after began
	ahead    readAhead    // used by the goroutine that reads, once it runs
	ended    batchEnd     // why the last batch ended, used by the same

	mu  sync.Mutex
	err error
}

// Tail starts reading after a revision, which must not be beyond the stream's last: a consumer that starts there is deaf to what
// lies between (measured).
func (b *Bucket) Tail(ctx context.Context, after Revision) (*Tail, error) {
	config := jetstream.ConsumerConfig{
		Name:              "kvgw-feed-" + nuid.Next(),
		DeliverPolicy:     jetstream.DeliverByStartSequencePolicy,
		OptStartSeq:       uint64(after) + 1,
		AckPolicy:         jetstream.AckNonePolicy,
		MemoryStorage:     true,
		Replicas:          1,
		InactiveThreshold: tailInactive,
	}
	if _, err := b.newConsumer(ctx, b.client.feeds, config, []string{b.readPrefix + AllKeys.pattern}); err != nil {
		b.dropConsumer(b.client.feeds, config.Name) // it may be there all the same
		return nil, err
	}
	nc := b.client.feeds.conn()
	inbox := nc.NewInbox()
	t := &Tail{
		bucket:   b,
		consumer: config.Name,
		out:      make(chan []Entry),
		messages: make(chan *nats.Msg, tailBatch+16),
		last:     after,
		began:    time.Now(),
		ahead:    readAhead{bound: b.client.limits.feeds, message: b.client.messageBytes()},
	}
	t.C = t.out
	if err := t.ahead.begin(ctx); err != nil {
		b.dropConsumer(b.client.feeds, config.Name)
		return nil, err
	}
	subscription, err := nc.ChanSubscribe(inbox, t.messages)
	if err != nil {
		t.ahead.end()
		return nil, fmt.Errorf("%w: tail: %w", ErrUnavailable, err)
	}
	// The tail lives until it is closed, not for as long as the request that started it.
	run, cancel := context.WithCancel(context.WithoutCancel(ctx))
	t.cancel = cancel
	go t.run(run, nc, inbox, subscription)
	return t, nil
}

// Close ends the tail.
func (t *Tail) Close() { t.cancel() }

// Err says why C was closed; nil after Close.
func (t *Tail) Err() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.err
}

// Heard returns when the server said something last, at least every 0.5 s while the connection stands: up to then no word of it is
// lost, as it may be where a connection dies and nobody is told.
func (t *Tail) Heard() time.Time { return t.began.Add(time.Duration(t.heard.Load())) }

func (t *Tail) run(ctx context.Context, nc *nats.Conn, inbox string, subscription *nats.Subscription) {
	defer close(t.out)
	defer t.bucket.dropConsumer(t.bucket.client.feeds, t.consumer)
	defer t.ahead.end()
	defer subscription.Unsubscribe()
	err := t.read(ctx, nc, inbox)
	if ctx.Err() == nil {
		t.mu.Lock()
		t.err = err
		t.mu.Unlock()
	}
}

// read asks for batches, one after the other, until something is wrong.
func (t *Tail) read(ctx context.Context, nc *nats.Conn, inbox string) error {
	gone := t.bucket.client.feeds.windows.gone()
	next := t.bucket.client.apiPrefix + "CONSUMER.MSG.NEXT." + t.bucket.stream + "." + t.consumer
	silence := time.NewTimer(tailSilence)
	defer silence.Stop()
	for {
		bytes, expires, err := t.ahead.next(ctx, t.ended)
		if err != nil {
			return err
		}
		request := fmt.Appendf(nil, `{"batch":%d,"max_bytes":%d,"expires":%d,"idle_heartbeat":%d}`,
			tailBatch, bytes, expires, tailHeartbeat)
		if err := nc.PublishRequest(next, inbox, request); err != nil {
			return fmt.Errorf("%w: tail: %w", ErrUnavailable, err)
		}
		t.ended = batchCounted
		before := t.received
		for left := tailBatch; left > 0; {
			silence.Reset(tailSilence)
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-gone:
				return errConnectionLost
			case <-silence.C:
				return fmt.Errorf("%w: a tail's consumer is silent", ErrTimeout)
			case msg := <-t.messages:
				t.heard.Store(int64(time.Since(t.began)))
				entries, ended, err := t.collect(msg)
				left -= len(entries)
				if len(entries) > 0 {
					select {
					case t.out <- entries:
					case <-ctx.Done():
						return ctx.Err()
					}
				}
				if err != nil {
					return err
				}
				if ended {
					left = 0
				}
			}
		}
		if t.ended == batchFilled && t.received == before {
			t.ended = batchTooSmall
		}
	}
}

// collect takes a message and those that wait behind it. Ended tells that the batch is over.
func (t *Tail) collect(msg *nats.Msg) (entries []Entry, ended bool, err error) {
	for {
		if !strings.HasPrefix(msg.Reply, "$JS.ACK.") {
			ended, err = t.control(msg)
		} else {
			var e Entry
			if e, err = t.entry(msg); err == nil {
				entries = append(entries, e)
			}
		}
		if ended || err != nil || len(entries) == cap(t.messages)/2 {
			return entries, ended, err
		}
		select {
		case msg = <-t.messages:
		default:
			return entries, false, nil
		}
	}
}

// control reads what the server says of a batch in the place of a message.
func (t *Tail) control(msg *nats.Msg) (ended bool, err error) {
	status, description := first(msg.Header, "Status"), first(msg.Header, "Description")
	switch {
	case status == "100", status == "409" && description == batchCompleted:
		return false, nil // that batch was counted to its end, and the next is asked for already
	case status == "408":
		t.ended = batchExpired
		return true, nil
	case status == "409" && strings.Contains(description, "MaxBytes"):
		t.ended = batchFilled
		return true, nil
	}
	return true, fmt.Errorf("%w: tail ended: %s %s", ErrUnavailable, status, description)
}

func (t *Tail) entry(msg *nats.Msg) (Entry, error) {
	meta, err := msg.Metadata()
	if err != nil {
		return Entry{}, fmt.Errorf("%w: tail: %w", ErrUnexpectedAnswer, err)
	}
	if t.received++; meta.Sequence.Consumer != t.received {
		return Entry{}, fmt.Errorf("%w: a tail lost messages: %d came as number %d", ErrUnavailable, meta.Sequence.Consumer, t.received)
	}
	t.last = Revision(meta.Sequence.Stream)
	return t.bucket.delivered(msg, meta), nil
}

// delivered makes an entry of what a consumer delivered, without a key if that is outside the grammar.
func (b *Bucket) delivered(msg *nats.Msg, meta *nats.MsgMetadata) Entry {
	key, _ := b.keyOf(msg.Subject)
	e := Entry{
		Key:      key.name,
		Position: b.at(meta.Sequence.Stream, meta.Timestamp),
		Created:  meta.Timestamp.UTC(),
		Value:    msg.Data,
		Size:     len(msg.Data),
	}
	e.describe(msg.Header, b.ages)
	return e
}
