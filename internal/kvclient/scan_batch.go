package kvclient

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"kvgateway/internal/kv"
)

// batchCompleted is what the server says behind the last message of a batch whose bytes were
// bounded and not used up. A reader that takes it for the end of the next batch has two requests
// under way at a time, which may bring more messages than there is room for.
const batchCompleted = "Batch Completed"

// take reads one batch to its end, without looking at its messages: what is done with them may take
// a long time, as when a client reads an export slowly, and meanwhile other answers are to have the
// room that this batch had on the connection.
//
// A message of the stream is known by the subject for its acknowledgement. nats.go knows it by its
// lack of a status; but a publisher can store a header `Status: 404`, which ends every native
// listing of the bucket at that entry (TestStoredHeadersDoNotBreakScans).
//
// What comes means:
//
//	what comes                       | meaning                             | batch   | scan
//	a message to be acknowledged     | an entry                            | goes on | goes on
//	409 Batch Completed              | the batch before this one has come  | goes on | goes on
//	404, 408                         | the consumer has nothing more       | ends    | may end
//	409 with MaxBytes                | the batch has the bytes asked for   | ends    | goes on
//	409 otherwise                    | the consumer was deleted            | ends    | fails
//	503                              | nobody serves the stream            | ends    | asks again
//	nothing for scanDoubt            | the bucket may be gone: look it up  | goes on | may fail
//	nothing for the client's timeout |                                     | ends    | fails
//	the connection is lost           |                                     | ends    | fails
func (r *scanReader) take(ctx context.Context) ([]*nats.Msg, error) {
	r.batch = r.batch[:0]
	for len(r.batch) < scanBatch {
		msg, err := r.receive(ctx)
		if err != nil {
			return nil, err
		}
		if strings.HasPrefix(msg.Reply, "$JS.ACK.") {
			r.batch = append(r.batch, msg)
			continue
		}
		status, description := first(msg.Header, "Status"), first(msg.Header, "Description")
		if description == batchCompleted && status == "409" {
			// It is about the batch before, which has come.
			continue
		}
		r.more = false
		return r.batch, r.batchEnded(ctx, status, description)
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
		if revision <= end {
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
			return msg, nil
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

// batchEnded interprets the status with which the server ended a batch. It returns nil if the scan
// goes on or has nothing more to read.
func (r *scanReader) batchEnded(ctx context.Context, status, description string) error {
	switch status {
	case "404", "408": // there is nothing more at the moment
		return nil
	case "503": // nobody serves the stream
		reason := r.bucket.whyUnserved(ctx)
		if r.unserved++; r.unserved < unservedTries && !errors.Is(reason, kv.ErrBucketNotFound) {
			awaitServer(r.unserved)
			r.more = true
			return nil
		}
		return reason
	case "409": // the batch has as many bytes as were asked for, or the consumer was deleted
		if strings.Contains(description, "MaxBytes") {
			r.more = true
			return nil
		}
		return r.bucket.whyUnserved(ctx)
	}
	return fmt.Errorf("%w: scan: status %q", kv.ErrUnexpectedAnswer, status)
}
