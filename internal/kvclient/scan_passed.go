package kvclient

import (
	"context"
	"errors"
	"fmt"
	"time"

	"kvgateway/internal/kv"
)

// passedOverBatch is how many messages are asked for at once to learn which one was passed over.
// The bytes of such a batch are not bounded, or the server would pass over one there too. A message
// without its value has less than headBytes.
const (
	passedOverBatch = 64
	headBytes       = 66 << 10
)

// A passedOver finds the messages that the server passed over when it ended batches for their
// bytes.
//
// A consumer that delivers the last message of each subject goes through a list of revisions, if
// the stream keeps several messages of a subject. A message for which a batch has no bytes left has
// been taken from the list by then, and nats-server 2.15.2 does not put it back. So each batch of a
// snapshot that was filled cost a key, without an error, and what the consumer says of itself does
// not tell which (TestReplayReadsWhatBatchesHadNoRoomFor).
//
// The message comes next in that list. So from the first batch that is filled on, a second consumer
// goes through the list, without values and without a bound on bytes. What it has next behind the
// last revision that came is the message, if that is still the last one of its subject; otherwise
// it was overwritten, and is left out as every other one that is overwritten before it is read.
//
// That consumer may say that it has nothing although it has: beside busy writers, one in some
// thousands delivered none of 120 messages (measured with nats-server 2.15.2; watchcheck found a
// snapshot without a key). So its end is believed only if the leader has nothing behind the last
// revision either: where a message is stored, the last one of its subject is in the list. Otherwise
// another consumer is made, and after the client's timeout the read fails.
type passedOver struct {
	// list goes through the list; nil before the first batch that was filled.
	list *scanReader
	// ahead has the messages that list has read, from the one on that was asked for last.
	ahead []listed
	// revision is that of the message that was visited last; 0 for none. A server that does put
	// messages back delivers it first thing in the next batch, where it is not counted again.
	revision kv.Revision
}

// A listed message is one of which the place in the stream is known, and no more.
type listed struct {
	revision kv.Revision
	subject  string
}

// mayPassOver reports whether the server may have passed a message over in the last batch.
func (r *scanReader) mayPassOver() bool {
	return r.filled && !r.history && r.bucket.rules.history
}

// readPassedOver visits the message that the server passed over in the last batch, if there is one
// up to end. It reports whether there was.
func (r *scanReader) readPassedOver(ctx context.Context, end kv.Revision) (found bool, err error) {
	giveUp := time.Now().Add(r.bucket.client.timeout)
	after := r.last
	for try := 0; ; try++ {
		message, err := r.nextInList(ctx, after)
		switch {
		case err != nil:
			return false, err
		case message.revision > end:
			return false, nil
		case message.revision == 0:
			next, err := r.nextStored(ctx, after)
			switch {
			case err != nil:
				return false, err
			case next == 0 || next > end:
				return false, nil
			case time.Now().After(giveUp):
				return false, fmt.Errorf("%w: a consumer leaves out what is stored", kv.ErrTimeout)
			}
			r.passed.close()
			backOff(min(try, 4))
			continue
		}
		last := getRequest{LastBySubject: message.subject}
		e, err := r.bucket.fetchEntry(ctx, r.bucket.leaderGet, last)
		switch {
		case errors.Is(err, kv.ErrKeyNotFound), err == nil && e.Revision != message.revision:
			after = message.revision
			continue // it was removed, or overwritten
		case err != nil:
			return false, err
		}
		r.passed.revision = message.revision
		if !r.values {
			e.Size, e.Value = len(e.Value), nil
		}
		return true, r.show(e, message.subject)
	}
}

// nextInList returns the first message behind a revision that the second consumer has; its revision
// is 0 if the consumer says that it has none.
func (r *scanReader) nextInList(ctx context.Context, after kv.Revision) (found listed, err error) {
	p := &r.passed
	if p.list == nil {
		if err := r.openList(ctx); err != nil {
			return found, err
		}
	}
	for {
		for ; len(p.ahead) > 0; p.ahead = p.ahead[1:] {
			if p.ahead[0].revision > after {
				return p.ahead[0], nil
			}
		}
		if !p.list.more {
			return found, nil
		}
		batch, err := p.list.fetchBatch(ctx)
		if err != nil {
			return found, err
		}
		for _, msg := range batch {
			e, err := p.list.consumer.number(msg)
			if err != nil {
				return found, err
			}
			p.ahead = append(p.ahead, listed{e.Revision, msg.Subject})
		}
	}
}

// nextStored asks the leader for the revision of the first message behind another one that the
// reader's consumer selects; it is 0 if there is none.
func (r *scanReader) nextStored(
	ctx context.Context, after kv.Revision,
) (found kv.Revision, err error) {
	for _, subject := range r.subjects {
		next := getRequest{Sequence: uint64(after) + 1, NextBySubject: subject}
		m, err := r.bucket.fetchMessage(ctx, r.bucket.leaderGet, next)
		switch {
		case errors.Is(err, kv.ErrKeyNotFound):
		case err != nil:
			return found, err
		case found == 0 || m.Sequence < uint64(found):
			found = kv.Revision(m.Sequence)
		}
	}
	return found, nil
}

// openList makes the consumer that goes through the list.
func (r *scanReader) openList(ctx context.Context) error {
	list := &scanReader{filters: r.filters, bucket: r.bucket, inactive: r.inactive, headsOnly: true}
	if err := list.open(ctx); err != nil {
		return err
	}
	list.stalled = time.NewTimer(r.bucket.client.timeout)
	r.passed.list = list
	list.more = true
	return list.consumer.listen(passedOverBatch + 16)
}

// close ends the reader's consumers.
func (r *scanReader) close() {
	r.consumer.close()
	r.passed.close()
}

// close ends the second consumer, if there is one.
func (p *passedOver) close() {
	if p.list != nil {
		p.list.stalled.Stop()
		p.list.close()
		p.list, p.ahead = nil, nil
	}
}
