package kvclient

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"kvgateway/internal/kv"
	"kvgateway/internal/kvclient/link"
)

// How a tail reads. The bytes of its batches are in tail_readahead.go.
const (
	// tailBatch is how many messages a tail asks for at once.
	tailBatch = 500
	// tailHeartbeat is how often the server says something while it has nothing to send.
	tailHeartbeat = 500 * time.Millisecond
	// tailSilence is how long nothing may come before the consumer is taken for lost.
	tailSilence = 3 * tailHeartbeat
	// tailInactive is after what time the server drops the consumer of a tail whose gateway died.
	tailInactive = 30 * time.Second
)

// errConnectionLost ends a tail whose connection was lost.
var errConnectionLost = fmt.Errorf("%w: the connection was lost", kv.ErrUnavailable)

// A Tail delivers what a bucket's stream stores, in order and without a gap except for what the
// stream had dropped before it was read. Keys outside the grammar come as entries without a key, so
// that every revision is accounted for.
//
// It reads batches of a pull consumer, one after the other, on the feeds' connection:
//
//	what comes                      | what the tail does
//	an entry, next in number        | delivers it
//	an entry with another number    | ends: messages were lost
//	meansIdle                       | notes that the stream had nothing to deliver
//	meansRemark                     | nothing: the batch was counted to its end, and the next
//	                                | one is asked for already
//	meansExpired                    | the batch has ended: asks for a quiet one
//	meansFilled                     | the batch has ended: asks for a larger one
//	what NATS has denied            | ends
//	any other meaning               | ends: the consumer or the stream is gone
//	nothing for tailSilence         | ends: the consumer is taken for lost
//	the connection is lost          | ends
//	Close                           | ends, without an error
//
// A tail does not notice a consumer that is alive and delivers nothing, as one that is paused or on
// a replica that is behind: the feed does.
type Tail struct {
	// C brings what arrives. It is closed when the tail ends; Err says why.
	C <-chan Arrival

	// consumer is what the tail reads with.
	consumer *consumer
	// cancel ends the tail.
	cancel context.CancelFunc
	// out is C, for the goroutine that reads.
	out chan Arrival
	// began is when the tail began.
	began time.Time
	// heard is how many nanoseconds after began the server said something last.
	heard atomic.Int64

	// ahead is what the server may send ahead. It and the fields below are used by the goroutine
	// that reads, once it runs.
	ahead readAhead
	// ended is why the last batch ended; batchCounted while one is read.
	ended batchEnd
	// silence fires when nothing has come for a while.
	silence *time.Timer
	// idle is what the next arrival has as [Arrival.Idle].
	idle time.Duration

	// mu guards err.
	mu sync.Mutex
	// err is why the tail ended.
	err error
}

// An Arrival is what a tail delivers at a time.
type Arrival struct {
	// Entries are what arrived, at least one entry.
	Entries []kv.Entry
	// Idle is how long, at least, the stream had nothing to deliver between the entry before these
	// and the first of them: the server sends a heartbeat for each half a second in which it has
	// nothing.
	Idle time.Duration
}

// Tail starts reading after a revision, which must not be beyond the stream's last one: a consumer
// that starts beyond it never delivers the messages in between (measured).
func (b *Bucket) Tail(ctx context.Context, after kv.Revision) (*Tail, error) {
	c, err := b.makeConsumer(ctx, b.client.feeds, consumerSpec{
		purpose:  "feed",
		subjects: []string{b.readPrefix + kv.AllKeys.String()},
		from:     after + 1,
		inactive: tailInactive,
	})
	if err != nil {
		c.close() // it may be there all the same
		return nil, err
	}
	t := &Tail{
		consumer: c,
		out:      make(chan Arrival),
		began:    time.Now(),
		ahead:    readAhead{bound: b.client.limits.feeds, message: b.client.messageBytes()},
	}
	t.C = t.out
	if err := t.ahead.begin(ctx); err != nil {
		c.close()
		return nil, err
	}
	if err := c.listen(tailBatch + 16); err != nil {
		t.ahead.end()
		c.close()
		return nil, err
	}
	// The tail lives until it is closed, not for as long as the request that started it.
	run, cancel := context.WithCancel(context.WithoutCancel(ctx))
	t.cancel = cancel
	go t.run(run)
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

// Heard returns when the server said something last, which it does at least every 0.5 s while the
// connection is there. Nothing that it said until then is lost. What it says after that may be, if
// the connection dies and no error shows it.
func (t *Tail) Heard() time.Time { return t.began.Add(time.Duration(t.heard.Load())) }

// run reads until the tail ends.
func (t *Tail) run(ctx context.Context) {
	defer close(t.out)
	defer t.ahead.end()
	defer t.consumer.close()
	err := t.read(ctx)
	if ctx.Err() == nil {
		t.mu.Lock()
		t.err = err
		t.mu.Unlock()
	}
}

// read reads batches, one after the other, until something is wrong.
func (t *Tail) read(ctx context.Context) error {
	t.silence = time.NewTimer(tailSilence)
	defer t.silence.Stop()
	for {
		if err := t.ask(ctx); err != nil {
			return err
		}
		if err := t.readBatch(ctx); err != nil {
			return err
		}
	}
}

// ask asks for a batch, with as many bytes as the end of the last one suggests.
func (t *Tail) ask(ctx context.Context) error {
	bytes, expires, err := t.ahead.next(ctx, t.ended)
	if err != nil {
		return err
	}
	return t.consumer.ask(fmt.Appendf(nil,
		`{"batch":%d,"max_bytes":%d,"expires":%d,"idle_heartbeat":%d}`,
		tailBatch, bytes, expires, tailHeartbeat))
}

// readBatch delivers one batch, until it has as many messages as were asked for or the server ends
// it.
func (t *Tail) readBatch(ctx context.Context) error {
	t.ended = batchCounted
	before := t.consumer.received
	for t.ended == batchCounted && t.consumer.received < before+tailBatch {
		msg, err := t.receive(ctx)
		if err != nil {
			return err
		}
		entries, failed := t.collect(msg)
		if err := t.deliver(ctx, entries); err != nil {
			return err
		}
		if failed != nil {
			return failed
		}
	}
	if t.ended == batchFilled && t.consumer.received == before {
		t.ended = batchTooSmall
	}
	return nil
}

// receive waits for the next message, for tailSilence.
func (t *Tail) receive(ctx context.Context) (*nats.Msg, error) {
	t.silence.Reset(tailSilence)
	select {
	case msg := <-t.consumer.messages:
		if err := link.Denied(msg); err != nil {
			return nil, err
		}
		t.heard.Store(int64(time.Since(t.began)))
		return msg, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-t.consumer.gone:
		return nil, errConnectionLost
	case <-t.silence.C:
		return nil, fmt.Errorf("%w: a tail's consumer is silent", kv.ErrTimeout)
	}
}

// collect returns the entries of a message and of those that wait behind it, up to the end of the
// batch. If there is an error, the entries before it are to be delivered all the same.
func (t *Tail) collect(msg *nats.Msg) (entries []kv.Entry, err error) {
	for {
		entries, err = t.add(entries, msg)
		enough := len(entries) == cap(t.consumer.messages)/2
		if err != nil || enough || t.ended != batchCounted {
			return entries, err
		}
		select {
		case msg = <-t.consumer.messages:
		default:
			return entries, nil
		}
	}
}

// add appends the entry of a message, or notes what the server says in the place of one. It returns
// why the tail ends, if it does.
func (t *Tail) add(entries []kv.Entry, msg *nats.Msg) ([]kv.Entry, error) {
	switch meaningOf(msg) {
	case meansEntry:
		e, err := t.consumer.number(msg)
		if err != nil {
			return entries, err
		}
		return append(entries, e), nil
	case meansIdle:
		if len(entries) == 0 {
			t.idle += tailHeartbeat
		}
	case meansRemark:
	case meansExpired:
		t.ended = batchExpired
	case meansFilled:
		t.ended = batchFilled
	default:
		status, description := statusOf(msg)
		return entries, fmt.Errorf("%w: tail ended: %s %s", kv.ErrUnavailable, status, description)
	}
	return entries, nil
}

// deliver waits until the entries are received, if there are any.
func (t *Tail) deliver(ctx context.Context, entries []kv.Entry) error {
	if len(entries) == 0 {
		return nil
	}
	select {
	case t.out <- Arrival{entries, t.idle}:
		t.idle = 0
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
