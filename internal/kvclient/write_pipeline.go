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
	"kvgateway/internal/kv"
	"kvgateway/internal/kvclient/link"
)

const (
	// pipelineBytes is how many bytes a pipeline may have sent that are not acknowledged.
	pipelineBytes = 8 << 20
	// pipelineMessages is how many messages that may be. Small messages count for their part of the
	// bytes.
	pipelineMessages = 512
	// pipelineWait is how long a message may wait to be sent. What was sent before it is settled,
	// or given up, or waits for a client that does not read what became of it, which is bounded
	// elsewhere.
	pipelineWait = time.Hour
)

// pipelineSpec is what the bound of each pipeline is made from.
var pipelineSpec = bound.Spec{
	Name: "import-bytes",
	Of: "messages that one import or deletion by filter has sent and NATS has not " +
		"acknowledged",
	Unit:    bound.Bytes,
	Limit:   pipelineBytes,
	AtLimit: "the next line of the import is read when there is room",
	Wait:    pipelineWait,
	Queue:   1, // there is only one sender
}

// A pipeline publishes messages one after the other without waiting for each acknowledgement. All
// go through one connection, so the stream stores them in this order. They are settled in this
// order too, each once, by a goroutine of the pipeline; so one number, that of the last line which
// is done with, is enough to go on after a cut. With at most 512 messages or 8 MiB in flight it
// stores 84,000 small entries a second in an embedded server, where one put after the other makes
// 15,000 to 33,000.
//
// What becomes of a flight:
//
//	event                                    | outcome
//	it could not be published                | certainly not sent, or too large; not waited for
//	the stream acknowledges it               | its revision, or the refusal
//	the revision is not above the last one   | the bucket was created again: EpochChangedError
//	nobody took it (503), and no later write | it is published once more, while nothing else is
//	of the key is in flight                  | sent, and waited for
//	nobody took it, and a later write is     | ErrUnavailable: the later one is to win
//	NATS denies it                           | DeniedError: nothing was stored
//	nothing comes for the client's timeout   | ErrOutcomeUnknown, which ends an import
//	the connection is lost                   | ErrOutcomeUnknown
//
// The timeout runs from when the flight was sent or from the last acknowledgement, whichever is
// later. What a leader that goes has taken and not stored is lost, and nobody is told; all of it is
// waited for once, and not each message in turn.
type pipeline struct {
	// bucket is the bucket as it was when the pipeline was opened.
	bucket *Bucket
	// nc is the connection that all messages go through.
	nc *nats.Conn
	// gone is closed when that connection is lost.
	gone <-chan struct{}
	// inbox is the beginning of the reply subjects, up to a dot; behind it stands the flight's
	// number.
	inbox string
	// acks are the acknowledgements that came to the inbox.
	acks chan *nats.Msg
	// queue has the flights that are not settled yet, in order. Closing it ends the pipeline.
	queue chan *flight
	// done is closed when everything is settled.
	done chan struct{}

	// early has acknowledgements that overtook others, by the flight's number. It and the next two
	// are used by the goroutine that settles.
	early [pipelineMessages]*nats.Msg
	// last is the last revision that was acknowledged. Revisions rise, or the bucket is another
	// one.
	last kv.Revision
	// heard is when the last acknowledgement came.
	heard time.Time

	// unsettled bounds the bytes of the flights.
	unsettled *bound.Bound
	// admits is done when the pipeline admits no more. It has the owner of what the pipeline
	// claims.
	admits context.Context
	// admitNone ends admits.
	admitNone context.CancelFunc

	// mu guards the following, and is held while a message is published.
	mu sync.Mutex
	// subjects is how many flights each subject has.
	subjects map[string]int
	// flights are those that are not settled yet, each at its number modulo their count.
	flights [pipelineMessages]*flight
	// sent is how many messages were sent, and the number of the next one.
	sent uint64
	// err is why the pipeline admits no more; nil while it does.
	err error
}

// A flight is a message that was sent, or a barrier among the messages.
type flight struct {
	// msg is the message; nil for a barrier.
	msg *nats.Msg
	// number is the message's number, from 0.
	number uint64
	// sent is when the message was sent.
	sent time.Time
	// hold is what the message holds of the pipeline's bytes.
	hold bound.Hold
	// charge is what the message holds of the pace of writes.
	charge charge
	// order is its number among all that the connection sends; see [link.Link.Number].
	order uint64
	// denied says that NATS has denied it; the mutex of the pipeline guards it.
	denied bool
	// err is why the message was not sent; nil if it was.
	err error
	// settle is called once, with what became of the message.
	settle func(kv.Revision, error) error
}

// openPipeline starts a pipeline. It must be closed. Its callers bound how many pipelines there
// are: in handlers, where it shows that a client stalls (TestStalledImportsGiveUpTheirPlaces).
func (b *Bucket) openPipeline(ctx context.Context) (opened *pipeline, err error) {
	if b, err = b.overBulk().rebind(ctx); err != nil {
		return nil, notSent(err)
	}
	l := b.client.bulk
	p := &pipeline{
		bucket:   b,
		nc:       l.Conn(),
		gone:     l.Gone(),
		last:     b.lastSeq,
		acks:     make(chan *nats.Msg, 2*pipelineMessages),
		queue:    make(chan *flight, pipelineMessages),
		done:     make(chan struct{}),
		subjects: make(map[string]int),
	}
	p.inbox = p.nc.NewInbox() + "."
	subscription, err := p.nc.ChanSubscribe(p.inbox+"*", p.acks)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", kv.ErrUnavailable, err)
	}
	stopListening := l.Listen(p.waits, p.denied)
	set := b.client.limits.set
	p.unsettled = set.New(pipelineSpec)
	p.admits, p.admitNone = context.WithCancel(context.WithoutCancel(ctx))
	go func() {
		defer close(p.done)
		defer set.Drop(p.unsettled)
		defer p.admitNone()
		defer subscription.Unsubscribe()
		defer stopListening()
		for f := range p.queue {
			revision, err := p.outcome(f)
			f.charge.settle(err)
			if err := f.settle(revision, err); err != nil {
				p.stop(err)
			}
			p.release(f)
		}
	}()
	return p, nil
}

// send publishes a message as soon as there is room. If allowed is not nil and returns an error by
// then, the message is not published, and that is its outcome. Settle is called when its outcome is
// known and all messages before it are settled; an error that it returns stops the pipeline. Send
// returns why the pipeline takes no more.
func (p *pipeline) send(
	msg *nats.Msg, allowed func() error, settle func(kv.Revision, error) error,
) error {
	f := &flight{msg: msg, settle: settle}
	size := messageSize(msg)
	pace := p.bucket.client.pace
	err := pace.insist(p.admits, func() (err error) {
		f.charge, err = pace.admit(p.admits, size)
		return err
	})
	if err != nil {
		return p.stopped(err)
	}
	if err := p.admit(f, size); err != nil {
		f.charge.refund()
		return err
	}
	if allowed != nil {
		f.err = allowed()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.subjects[msg.Subject]++
	f.number, f.sent = p.sent, time.Now()
	p.sent++
	f.order = p.bucket.client.bulk.Number()
	p.flights[f.number%pipelineMessages] = f
	var buffer [96]byte
	msg.Reply = string(strconv.AppendUint(append(buffer[:0], p.inbox...), f.number, 10))
	if f.err != nil {
		f.charge.refund()
		f.charge = nil
	} else if p.nc.IsClosed() {
		f.err = fmt.Errorf("%w: not sent: %w", kv.ErrUnavailable, nats.ErrConnectionClosed)
	} else if err := p.nc.PublishMsg(msg); err != nil {
		f.err = p.bucket.notPublished(msg, err)
	}
	p.queue <- f // there is room in it for as many as are admitted
	return nil
}

// barrier calls settle when all messages before it are settled.
func (p *pipeline) barrier(settle func() error) error {
	f := &flight{settle: func(kv.Revision, error) error { return settle() }}
	if err := p.admit(f, 0); err != nil {
		return err
	}
	p.queue <- f
	return nil
}

// admit waits for room. A flight that is too large for any room goes alone.
func (p *pipeline) admit(f *flight, size int) error {
	const least = pipelineBytes / pipelineMessages
	err := p.unsettled.Take(p.admits, &f.hold, "", int64(max(size, least)), nil)
	if err = p.stopped(err); err != nil {
		f.hold.Release()
	}
	return err
}

// stopped returns why the pipeline admits no more, or err if it was not stopped.
func (p *pipeline) stopped(err error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return cmp.Or(p.err, err)
}

// release gives back what a settled flight holds.
func (p *pipeline) release(f *flight) {
	defer f.hold.Release() // another flight may have the place of this one then
	p.mu.Lock()
	defer p.mu.Unlock()
	if f.msg != nil {
		p.flights[f.number%pipelineMessages] = nil
		if p.subjects[f.msg.Subject]--; p.subjects[f.msg.Subject] == 0 {
			delete(p.subjects, f.msg.Subject)
		}
	}
}

// stop makes send return the error from now on. What was sent is still settled.
func (p *pipeline) stop(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err == nil {
		p.err = err
	}
	p.admitNone()
}

// close waits until everything that was sent is settled. It returns why the pipeline was stopped;
// nil if it was not.
func (p *pipeline) close() error {
	close(p.queue)
	<-p.done
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}

// notPublished returns the outcome of a message that could not be published.
func (b *Bucket) notPublished(msg *nats.Msg, err error) error {
	err = link.SendError(err)
	if errors.Is(err, nats.ErrMaxPayload) {
		return b.tooLarge(msg.Header)
	}
	return unanswered(err)
}

// outcome waits for what became of a flight. It returns what publish does.
func (p *pipeline) outcome(f *flight) (kv.Revision, error) {
	if f.msg == nil || f.err != nil {
		return 0, f.err
	}
	reply, err := p.answer(f)
	if err != nil {
		return 0, err
	}
	if err := link.Denied(reply); err != nil {
		return 0, unanswered(err)
	}
	if link.NoResponders(reply) {
		return p.resend(f)
	}
	rev, _, err := p.bucket.readAcknowledgement(reply)
	if err == nil && rev <= p.last {
		return 0, p.recreated()
	}
	if _, tooLarge := errors.AsType[*kv.ValueTooLargeError](err); tooLarge {
		return 0, p.bucket.tooLarge(f.msg.Header)
	}
	p.last = max(p.last, rev)
	return rev, err
}

// answer waits for the acknowledgement of a flight, for the client's timeout after the flight was
// sent or after the last acknowledgement that came.
func (p *pipeline) answer(f *flight) (*nats.Msg, error) {
	slot := &p.early[f.number%pipelineMessages]
	for *slot == nil {
		select { // without making a timer, which is seldom needed
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
				return nil, fmt.Errorf("%w: the connection was lost", kv.ErrOutcomeUnknown)
			}
		case <-timer.C:
			return nil, fmt.Errorf("%w: no acknowledgement came in time", kv.ErrOutcomeUnknown)
		}
		timer.Stop()
	}
	msg := *slot
	*slot = nil
	return msg, nil
}

// fileAck keeps an acknowledgement if it is of a flight that is waited for: the head of the queue,
// or one behind it.
func (p *pipeline) fileAck(msg *nats.Msg, head uint64) {
	p.heard = time.Now()
	number, err := strconv.ParseUint(strings.TrimPrefix(msg.Subject, p.inbox), 10, 64)
	if err == nil && number >= head && number < head+pipelineMessages {
		p.early[number%pipelineMessages] = msg
	}
}

// resend publishes a message once more that nobody took, as [Bucket.publish] does; nothing else is
// sent meanwhile. If a later message for the same key is in flight already, that one is to win, and
// this one is not sent.
func (p *pipeline) resend(f *flight) (kv.Revision, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.subjects[f.msg.Subject] > 1 {
		return 0, fmt.Errorf("%w: nobody took it, and a later write of the key is under way",
			kv.ErrUnavailable)
	}
	position, err := p.bucket.overWrites().publishAdmitted(context.Background(), f.msg)
	return position.Revision, err
}

// recreated returns the error for an acknowledgement with a revision that the bucket had passed: it
// was created again.
func (p *pipeline) recreated() error {
	p.bucket.client.forget(p.bucket.name)
	current, err := p.bucket.rebind(context.Background())
	if err != nil {
		return fmt.Errorf("%w: the bucket was created again: %w", kv.ErrOutcomeUnknown, err)
	}
	return &kv.EpochChangedError{Current: current.epoch}
}
