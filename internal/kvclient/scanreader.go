package kvclient

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"kvgateway/internal/bound"
)

// A scanReader reads what the consumer of a scan delivers, and decides when the scan is complete.
//
// The consumer delivers the last entry of each key, as they are when it is created, and then what is new. An entry that is
// overwritten before it was delivered is skipped, and its successor comes later, or is overwritten in turn: counting messages,
// as native listings do, ends too early when other keys were written as well, and a busy key can stay ahead of the reader for
// ever. So if any may have been skipped, the names of all keys are compared, and the missing are read one by one.
type scanReader struct {
	filters          Filters
	matcher          Matcher // of them
	bucket           *Bucket // as it was when the scan began
	visit            func(Entry) error
	link             *link // that it is read on
	values           bool  // are wanted, not only their sizes
	history          bool  // every retained entry above after is wanted, not only the last of each key
	after            Revision
	until            Revision      // for a replay: where it ends; nothing need be completed beyond
	inactive         time.Duration // after which the server drops the consumer; scanInactive if zero
	consumer         string
	inbox            string
	messages         chan *nats.Msg // that came to the inbox
	batch            []*nats.Msg    // that has come and is not taken over yet
	stalled          *time.Timer
	gone             <-chan struct{} // closed when the connection is lost
	subjects         []string        // of the consumer
	exact            bool            // they select nothing but what the scan's filters do
	sentinel         bool            // they select the stream's last message, so that its delivery shows how far the consumer's replica is
	sentinelRevision Revision        // of that message

	pending  uint64    // messages that the consumer had to deliver when it was created, as the server counts
	keys     []string  // that were visited, where the scan has to be complete
	seen     nameTally // those
	names    nameArena // what those, and the visited entries, are made of
	received uint64
	last     Revision // the newest that was delivered
	more     bool     // the consumer may have more to deliver
	unserved int      // times that nobody took the request for a batch
	counted  uint64   // messages that came within the bound, or that were stored when the scan began
}

// selectSubjects decides what the consumer delivers. The consumer of a replicated stream can be on a replica that is behind, and
// would end the scan early; so there the stream's last message is selected as well, whatever its key: once it has come, the
// replica has all that is before it.
func (r *scanReader) selectSubjects(ctx context.Context) error {
	selected, exact := r.filters.cover()
	r.exact, r.matcher = exact, r.filters.Matcher()
	covered := false
	sentinel, err := r.findSentinel(ctx)
	if err != nil {
		return err
	}
	for _, filter := range selected {
		covered = covered || covers(filter, sentinel.Key)
		r.subjects = append(r.subjects, r.bucket.readPrefix+filter)
	}
	if r.sentinel && !covered {
		r.subjects, r.exact = append(r.subjects, r.bucket.readPrefix+sentinel.Key), false
	}
	return nil
}

// findSentinel returns the last message of a replicated stream, as its leader has it. Where there is none, nothing is left to be read.
func (r *scanReader) findSentinel(ctx context.Context) (sentinel Entry, err error) {
	if !r.bucket.replicated {
		return sentinel, nil
	}
	sentinel, err = r.bucket.fetchEntry(ctx, r.bucket.leaderGet, getRequest{LastBySubject: r.bucket.readPrefix + AllKeys.pattern})
	if errors.Is(err, ErrKeyNotFound) {
		return sentinel, nil
	}
	r.sentinel, r.sentinelRevision = err == nil, sentinel.Revision
	return sentinel, err
}

func (r *scanReader) read(ctx context.Context) (err error) {
	turn := bound.TurnOf(ctx) // it mostly waits for NATS
	turn.Pause()
	defer turn.Resume()
	nc := r.link.conn()
	r.gone = r.link.windows.gone()
	r.stalled = time.NewTimer(r.bucket.client.timeout)
	defer r.stalled.Stop()
	r.inbox, r.messages = nc.NewInbox(), make(chan *nats.Msg, scanBatch+16)
	subscription, err := nc.ChanSubscribe(r.inbox, r.messages)
	if err != nil {
		return fmt.Errorf("%w: scan: %w", ErrUnavailable, err)
	}
	defer subscription.Unsubscribe()
	r.more = r.pending > 0 || r.sentinel
	if r.until > 0 {
		r.counted, err = r.readTo(ctx, nc, r.until)
		return err
	}
	if r.counted, err = r.readTo(ctx, nc, r.bucket.lastSeq); err != nil {
		return err
	}
	if !r.bucket.replicated {
		if all, err := r.deliveredAll(ctx, r.bucket.lastSeq); err != nil || all {
			return err
		}
	}
	current, err := r.bucket.rebind(ctx)
	if err != nil {
		return err
	}
	if _, err := r.readTo(ctx, nc, current.lastSeq); err != nil {
		return err
	}
	return r.readMissing(ctx)
}

// isAll tells whether the consumer has delivered all that was stored up to a revision, and skipped nothing.
//
// The server's count of what it had to deliver is not enough: when something is overwritten while the consumer is created, or right behind,
// it counts off what was removed at once, and counts what was stored in its place some time later (measured: 28 in the place of 104, and
// at 0 the consumer says that it has nothing). So the leader is asked whether anything was stored since.
func (r *scanReader) deliveredAll(ctx context.Context, upTo Revision) (bool, error) {
	if r.counted < r.pending {
		return false, nil
	}
	for _, subject := range r.subjects {
		_, err := r.bucket.fetchEntry(ctx, r.bucket.leaderGet, getRequest{Sequence: uint64(upTo) + 1, NextBySubject: subject})
		switch {
		case errors.Is(err, ErrKeyNotFound):
		case err == nil, errors.Is(err, ErrUnexpectedAnswer): // there is a message, though not one that others can read
			return false, nil
		default:
			return false, err
		}
	}
	return true, nil
}

// readTo reads until the consumer has delivered a message at or beyond the revision, or has nothing more. It returns how many
// messages it got up to that revision.
func (r *scanReader) readTo(ctx context.Context, nc *nats.Conn, end Revision) (upTo uint64, err error) {
	next := r.bucket.client.apiPrefix + "CONSUMER.MSG.NEXT." + r.bucket.stream + "." + r.consumer
	giveUp := time.Now().Add(r.bucket.client.timeout)
	limit := int64(scanBytes)
	if r.values {
		limit = max(replayBytes, 2*r.bucket.client.messageBytes())
	}
	request := fmt.Appendf(nil, `{"batch":%d,"no_wait":true,"max_bytes":%d}`, scanBatch, limit)
	for r.more && r.last < end && ctx.Err() == nil {
		claim, err := r.link.admitBulk(ctx, nc, limit)
		if err != nil {
			return upTo, err
		}
		if err := nc.PublishRequest(next, r.inbox, request); err != nil {
			claim.end()
			return upTo, fmt.Errorf("%w: scan: %w", ErrUnavailable, err)
		}
		batch, err := r.take(ctx)
		claim.endOrAbandon(err == nil)
		if err != nil {
			return upTo, err
		}
		count, err := r.addAll(batch, end)
		if err != nil {
			return upTo, err
		}
		upTo += count
		if !r.more && r.last < r.sentinelRevision {
			if time.Now().After(giveUp) {
				return upTo, fmt.Errorf("%w: the replica with the scan's consumer is behind", ErrTimeout)
			}
			r.more = true
			awaitWriter(1)
		}
	}
	return upTo, ctx.Err()
}

// batchCompleted is what the server says behind the last message of a batch whose bytes were bounded and not used up.
const batchCompleted = "Batch Completed"

// take reads one batch to its end, without looking at its messages: whatever is done with them may
// take its time, as when a client reads an export slowly, and other answers are to have the room
// that this one has on the connection.
//
// A message of the stream is known by the subject for its acknowledgement, and not by its lack of a status, as nats.go knows
// it: a publisher can store a header `Status: 404`, which would end every listing of the bucket at that entry.
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
			// It is about the batch before, which has come. Taken for the end of this one, it would
			// lead to two at a time.
			continue
		}
		r.more = false
		return r.batch, r.ended(ctx, status, description)
	}
	return r.batch, nil
}

// addAll takes a batch over. It returns how many of its messages are at most of the revision end.
func (r *scanReader) addAll(batch []*nats.Msg, end Revision) (upTo uint64, err error) {
	defer clear(batch) // it is used again, and must not keep what has been taken over
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

// receive waits for the next message, for the client's timeout. A server that deletes a stream does not always say so to who waits for
// its messages (measured), so after a while without one the bucket is looked for.
func (r *scanReader) receive(ctx context.Context) (*nats.Msg, error) {
	giveUp := time.Now().Add(r.bucket.client.timeout)
	for {
		r.stalled.Reset(min(scanDoubt, time.Until(giveUp)))
		select {
		case msg := <-r.messages:
			return msg, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-r.gone:
			return nil, fmt.Errorf("%w: the connection was lost in a scan", ErrUnavailable)
		case <-r.stalled.C:
		}
		if !time.Now().Before(giveUp) {
			return nil, fmt.Errorf("%w: a scan stalled", ErrTimeout)
		}
		current, err := r.bucket.rebind(ctx)
		switch {
		case errors.Is(err, ErrBucketNotFound):
			return nil, err
		case err == nil && current.epoch != r.bucket.epoch:
			return nil, fmt.Errorf("%w: the bucket was created again in a scan", ErrUnavailable)
		}
	}
}

// ended says what the status means with which the server ended a batch.
func (r *scanReader) ended(ctx context.Context, status, description string) error {
	switch status {
	case "404", "408": // nothing more at the moment
		return nil
	case "503": // nobody there
		gone := r.bucket.whyUnserved(ctx)
		if r.unserved++; r.unserved < unservedTries && !errors.Is(gone, ErrBucketNotFound) {
			awaitServer(r.unserved)
			r.more = true
			return nil
		}
		return gone
	case "409": // the batch has the bytes that were asked for, or the consumer was deleted
		if strings.Contains(description, "MaxBytes") {
			r.more = true
			return nil
		}
		return r.bucket.whyUnserved(ctx)
	}
	return fmt.Errorf("%w: scan: status %q", ErrUnexpectedAnswer, status)
}

// add takes one message over as an entry, unless the consumer's filters were wider than the scan's. Keys outside the grammar,
// which other tools can store, are never shown.
func (r *scanReader) add(msg *nats.Msg) (Revision, error) {
	meta, err := msg.Metadata()
	if err != nil {
		return 0, fmt.Errorf("%w: scan: %w", ErrUnexpectedAnswer, err)
	}
	r.received++
	if meta.Sequence.Consumer != r.received {
		return 0, fmt.Errorf("%w: a scan lost messages: %d came as number %d", ErrUnavailable, meta.Sequence.Consumer, r.received)
	}
	r.last = Revision(meta.Sequence.Stream)
	e := r.bucket.delivered(msg, meta)
	if e.Key == "" || !r.exact && !r.matcher.Matches(e.Key) || r.sentinel && r.last > r.sentinelRevision && r.last <= r.bucket.lastSeq {
		return r.last, nil // or the leader has removed it already, and the replica has yet to
	}
	if !r.values {
		// The server tells the size where it leaves the value out; should it not be a number, none is known.
		e.Value = nil
		e.Size, _ = strconv.Atoi(last(msg.Header, headerMessageSize))
	}
	if r.until == 0 {
		e.Key = r.names.keep(e.Key)
		r.keys = append(r.keys, e.Key)
		r.seen.add(e.Key)
	}
	return r.last, r.visit(e)
}

// readMissing reads the keys that the stream has and the consumer did not deliver.
func (r *scanReader) readMissing(ctx context.Context) error {
	slices.Sort(r.keys)
	for _, subject := range r.subjects {
		err := r.bucket.eachSubject(ctx, subject, r.seen, func(subject string) error {
			key, ok := r.bucket.keyOf(subject)
			if !ok || !r.matcher.Matches(key.name) {
				return nil
			}
			if _, visited := slices.BinarySearch(r.keys, key.name); visited {
				return nil
			}
			e, err := r.bucket.fetchEntry(ctx, r.bucket.leaderGet, getRequest{LastBySubject: subject})
			if errors.Is(err, ErrKeyNotFound) {
				return nil // purged meanwhile
			}
			if err != nil {
				return err
			}
			e.Value = nil
			return r.visit(e)
		})
		if err != nil {
			return err
		}
	}
	return nil
}
