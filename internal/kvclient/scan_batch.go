package kvclient

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"kvgateway/internal/kv"
	"kvgateway/internal/kvclient/link"
)

// readBatch reads one batch to its end, without looking at its messages: what is done with them may
// take a long time, as when a client reads an export slowly, and meanwhile other answers are to
// have the room that this batch had on the connection.
//
// What comes means for the scan:
//
//	what comes                       | batch   | scan
//	meansEntry, meansRemark          | goes on | goes on
//	meansNothing, meansExpired       | ends    | may end
//	meansFilled                      | ends    | goes on
//	meansUnserved                    | ends    | asks again, unservedTries times
//	meansGone, any other             | ends    | fails
//	nothing for scanDoubt            | goes on | fails if the bucket is gone: it is looked up
//	nothing for the client's timeout | ends    | fails
//	the connection is lost           | ends    | fails
func (r *scanReader) readBatch(ctx context.Context) ([]*nats.Msg, error) {
	r.batch, r.filled = r.batch[:0], false
	for len(r.batch) < r.batchSize() {
		msg, err := r.receive(ctx)
		if err != nil {
			return nil, err
		}
		switch meaningOf(msg) {
		case meansEntry:
			r.batch = append(r.batch, msg)
		case meansRemark:
		default:
			r.more = false
			return r.batch, r.batchEnded(ctx, msg)
		}
	}
	return r.batch, nil
}

// addAll visits the entries of a batch. It returns how many of its messages have a revision of at
// most end.
func (r *scanReader) addAll(batch []*nats.Msg, end kv.Revision) (upTo uint64, err error) {
	defer clear(batch) // its memory is used again, and must not keep what has been visited
	for _, msg := range batch {
		revision, err := r.add(msg)
		if err != nil {
			return upTo, err
		}
		if revision <= end && revision != r.passed.revision {
			upTo++
		}
	}
	return upTo, nil
}

// receive waits for the next message, for the client's timeout. A server that deletes a stream does
// not always say so to those who wait for its messages (measured), so after each scanDoubt without
// a message the bucket is looked up.
func (r *scanReader) receive(ctx context.Context) (*nats.Msg, error) {
	giveUp := time.Now().Add(r.bucket.client.timeout)
	for {
		r.stalled.Reset(min(scanDoubt, time.Until(giveUp)))
		select {
		case msg := <-r.consumer.messages:
			return msg, link.Denied(msg)
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-r.consumer.gone:
			return nil, fmt.Errorf("%w: the connection was lost in a scan", kv.ErrUnavailable)
		case <-r.stalled.C:
		}
		if !time.Now().Before(giveUp) {
			return nil, fmt.Errorf("%w: a scan stalled", kv.ErrTimeout)
		}
		current, err := r.bucket.rebind(ctx)
		switch {
		case errors.Is(err, kv.ErrBucketNotFound):
			return nil, err
		case err == nil && current.epoch != r.bucket.epoch:
			return nil, fmt.Errorf("%w: the bucket was created again in a scan", kv.ErrUnavailable)
		}
	}
}

// batchEnded does what the message with which the server ended a batch asks for. It returns nil if
// the scan goes on or has nothing more to read.
func (r *scanReader) batchEnded(ctx context.Context, msg *nats.Msg) error {
	switch meaningOf(msg) {
	case meansNothing, meansExpired:
		return nil
	case meansFilled:
		r.more, r.filled = true, true
		return nil
	case meansUnserved:
		reason := r.bucket.whyUnserved(ctx)
		if r.unserved++; r.unserved < unservedTries && !errors.Is(reason, kv.ErrBucketNotFound) {
			awaitServer(r.unserved)
			r.more = true
			return nil
		}
		return reason
	case meansGone:
		return r.bucket.whyUnserved(ctx)
	}
	status, _ := statusOf(msg)
	return fmt.Errorf("%w: scan: status %q", kv.ErrUnexpectedAnswer, status)
}
