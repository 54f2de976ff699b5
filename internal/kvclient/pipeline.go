package kvclient

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"kvgateway/internal/bound"
)

const (
	// pipelineBytes is how much a pipeline may have sent that is not acknowledged.
	pipelineBytes = 8 << 20
	// pipelineMessages is how many messages that may be: small ones count for their part of the
	// bytes.
	pipelineMessages = 512
	// pipelineWait is how long a message may wait to be sent. What is sent before is settled, or
	// given up, or waits for a client that does not read what became of it: that is bounded
	// elsewhere.
	pipelineWait = time.Hour
)

// pipelineSpec is the bound of each pipeline.
var pipelineSpec = bound.Spec{
	Name:    "import-bytes",
	Of:      "messages that one import or deletion by filter has sent and NATS has not acknowledged",
	Unit:    bound.Bytes,
	Limit:   pipelineBytes,
	AtLimit: "the next line of the import is read when there is room",
	Wait:    pipelineWait,
	Queue:   1, // there is one sender
}

// A pipeline publishes messages one after the other without waiting for each acknowledgement: all go through one connection,
// so the stream stores them in this order. They are settled in this order too, each once, by a goroutine of the pipeline's.
type pipeline struct {
	bucket *Bucket
	nc     *nats.Conn
	gone   <-chan struct{} // closed when the connection is lost
	inbox  string          // ends in a dot; what follows is the flight's number
	acks   chan *nats.Msg
	early  [pipelineMessages]*nats.Msg // acknowledgements that overtook others, by the flight's number
	queue  chan *flight
	done   chan struct{} // closed when all is settled
	last   Revision      // acknowledged; they rise, or the bucket is another
	heard  time.Time     // when the last acknowledgement came

	unsettled *bound.Bound    // bytes of the flights
	takes     context.Context // ends when the pipeline takes no more
	takeNone  context.CancelFunc

	mu       sync.Mutex
	subjects map[string]int // of the flights
	sent     uint64
	err      error // why it takes no more
}

// A flight is a message that was sent, or something that takes its turn among them.
type flight struct {
	msg    *nats.Msg // nil for what only takes its turn
	number uint64
	sent   time.Time
	hold   bound.Hold // of the pipeline's bytes
	err    error      // why it was not sent
	settle func(Revision, error) error
}

// openPipeline starts a pipeline. It must be closed. How many there are is the callers' to bound.
func (b *Bucket) openPipeline(ctx context.Context) (opened *pipeline, err error) {
	if b, err = b.overBulk().rebind(ctx); err != nil {
		return nil, notSent(err)
	}
	l := b.client.bulk
	p := &pipeline{bucket: b, nc: l.conn(), gone: l.windows.gone(), last: b.lastSeq, acks: make(chan *nats.Msg, 2*pipelineMessages),
		queue: make(chan *flight, pipelineMessages), done: make(chan struct{}), subjects: make(map[string]int)}
	p.inbox = p.nc.NewInbox() + "."
	subscription, err := p.nc.ChanSubscribe(p.inbox+"*", p.acks)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	set := b.client.limits.set
	p.unsettled = set.New(pipelineSpec)
	p.takes, p.takeNone = context.WithCancel(context.Background())
	go func() {
		defer close(p.done)
		defer set.Drop(p.unsettled)
		defer p.takeNone()
		defer subscription.Unsubscribe()
		for f := range p.queue {
			if err := f.settle(p.outcome(f)); err != nil {
				p.stop(err)
			}
			p.release(f)
		}
	}()
	return p, nil
}

// send publishes a message as soon as there is room. Settle is called when its outcome is known, and all before it are settled;
// an error that it returns stops the pipeline. Send returns why the pipeline takes no more.
func (p *pipeline) send(msg *nats.Msg, settle func(Revision, error) error) error {
	f := &flight{msg: msg, settle: settle}
	if err := p.admit(f, len(msg.Data)+len(msg.Subject)+headerBytes(msg.Header)); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.subjects[msg.Subject]++
	f.number, f.sent = p.sent, time.Now()
	p.sent++
	var buffer [96]byte
	msg.Reply = string(strconv.AppendUint(append(buffer[:0], p.inbox...), f.number, 10))
	if p.nc.IsClosed() {
		f.err = fmt.Errorf("%w: not sent: %w", ErrUnavailable, nats.ErrConnectionClosed)
	} else if err := p.nc.PublishMsg(msg); err != nil {
		f.err = p.bucket.notPublished(msg, err)
	}
	p.queue <- f // which has room for as many as are admitted
	return nil
}

// pass takes a turn among the messages: settle is called when all before it are settled.
func (p *pipeline) barrier(settle func() error) error {
	f := &flight{settle: func(Revision, error) error { return settle() }}
	if err := p.admit(f, 0); err != nil {
		return err
	}
	p.queue <- f
	return nil
}

// admit waits for room. A flight that is too large for any goes alone.
func (p *pipeline) admit(f *flight, size int) error {
	const least = pipelineBytes / pipelineMessages
	err := p.unsettled.Take(p.takes, &f.hold, "", int64(max(size, least)), nil)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err == nil && err == nil {
		return nil
	}
	f.hold.Release()
	return cmp.Or(p.err, err)
}

func (p *pipeline) release(f *flight) {
	f.hold.Release()
	p.mu.Lock()
	defer p.mu.Unlock()
	if f.msg != nil {
		if p.subjects[f.msg.Subject]--; p.subjects[f.msg.Subject] == 0 {
			delete(p.subjects, f.msg.Subject)
		}
	}
}

// stop makes send return the error, from now on. What was sent is settled still.
func (p *pipeline) stop(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err == nil {
		p.err = err
	}
	p.takeNone()
}

// close waits until all that was sent is settled. It returns why the pipeline was stopped; nil if it was not.
func (p *pipeline) close() error {
	close(p.queue)
	<-p.done
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}

// notPublished says what became of a message that could not be published.
func (b *Bucket) notPublished(msg *nats.Msg, err error) error {
	switch err := sendError(err); {
	case errors.Is(err, nats.ErrMaxPayload):
		return &ValueTooLargeError{Limit: max(0, b.maxMessage-headerBytes(msg.Header))}
	case errors.Is(err, ErrTimeout):
		return fmt.Errorf("%w: %w", ErrOutcomeUnknown, err)
	default:
		return err
	}
}

// outcome waits for what became of a flight. It returns what a publish does.
func (p *pipeline) outcome(f *flight) (Revision, error) {
	if f.msg == nil || f.err != nil {
		return 0, f.err
	}
	reply, err := p.answer(f)
	if err != nil {
		return 0, err
	}
	if len(reply.Data) == 0 && first(reply.Header, "Status") == "503" {
		return p.resend(f)
	}
	rev, _, err := p.bucket.readAcknowledgement(reply)
	if err == nil && rev <= p.last {
		return 0, p.recreated()
	}
	p.last = max(p.last, rev)
	return rev, err
}

// answer waits for the acknowledgement of a flight, for the client's timeout after it was sent, or after the last one that came:
// of many that are lost together, as with a leader, the first is waited for, and not each in turn.
func (p *pipeline) answer(f *flight) (*nats.Msg, error) {
	slot := &p.early[f.number%pipelineMessages]
	for *slot == nil {
		select { // without a timer, which is seldom needed
		case msg := <-p.acks:
			p.fileAck(msg, f.number)
			continue
		default:
		}
		since := f.sent
		if p.heard.After(since) {
			since = p.heard
		}
		timer := time.NewTimer(time.Until(since.Add(p.bucket.client.timeout)))
		select {
		case msg := <-p.acks:
			p.fileAck(msg, f.number)
		case <-p.gone:
			if timer.Stop(); len(p.acks) == 0 {
				return nil, fmt.Errorf("%w: the connection was lost", ErrOutcomeUnknown)
			}
		case <-timer.C:
			return nil, fmt.Errorf("%w: no acknowledgement came in time", ErrOutcomeUnknown)
		}
		timer.Stop()
	}
	msg := *slot
	*slot = nil
	return msg, nil
}

// keep files an acknowledgement, if it is of a flight that is waited for: the head of the queue, or one behind it.
func (p *pipeline) fileAck(msg *nats.Msg, head uint64) {
	p.heard = time.Now()
	number, err := strconv.ParseUint(strings.TrimPrefix(msg.Subject, p.inbox), 10, 64)
	if err == nil && number >= head && number < head+pipelineMessages {
		p.early[number%pipelineMessages] = msg
	}
}

// again sends a message once more that nobody took, as [Bucket.publish] does; nothing else is sent meanwhile. If a later message
// for the same key is under way already, that one shall win.
func (p *pipeline) resend(f *flight) (Revision, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.subjects[f.msg.Subject] > 1 {
		return 0, fmt.Errorf("%w: nobody took it, and a later write of the key is under way", ErrUnavailable)
	}
	position, err := p.bucket.overWrites().publish(context.Background(), f.msg)
	return position.Revision, err
}

// recreated is the error for an acknowledgement with a revision that the bucket had passed: it was created again.
func (p *pipeline) recreated() error {
	p.bucket.client.forget(p.bucket.name)
	current, err := p.bucket.rebind(context.Background())
	if err != nil {
		return fmt.Errorf("%w: the bucket was created again: %w", ErrOutcomeUnknown, err)
	}
	return &EpochChangedError{Current: current.epoch}
}
