package kvclient

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"kvgateway/internal/bound"
	"kvgateway/internal/kv"
)

// A scanReader reads what the consumer of a scan, an export or a replay delivers, and decides when
// everything has come.
//
// # Why counting messages is not enough
//
// A consumer that delivers the last entry of each key delivers those that are there when it is
// created, and then what is new. An entry that is overwritten before it is delivered is skipped;
// its successor comes later, or is overwritten in its turn. Native listings end after as many
// messages as were pending at the start. If another key was overwritten as well, that count is
// reached too early, and a key is missing (TestScanIsCompleteWhereKeysComeTwice); and a busy key
// can stay ahead of the reader for ever (TestScanFindsAKeyThatIsAlwaysAhead).
//
// # The steps of a scan
//
//	step           | what happens                                     | next
//	selectSubjects | the consumer's subjects are chosen; on a         | makeConsumer
//	               | replicated stream they include a sentinel        |
//	makeConsumer   | the server says how many messages are pending    | readTo
//	readTo         | batches are read until a message at or beyond    | scan: deliveredAll;
//	               | the end has come, or the consumer has no more;   | replay, export: end
//	               | an end before the sentinel is not believed       |
//	deliveredAll   | as many came as were pending, and the leader     | yes: end
//	               | knows nothing newer that is selected; left out   | no: readTo
//	               | on a replicated stream                           |
//	readTo         | again, up to the stream's last revision by now   | readMissing
//	readMissing    | the names of all keys are compared with those    | end
//	               | that came, and the missing are read one by one   |
//
// A replay or an export (until is not 0) uses the reader for one pass only, and makes a new one for
// each further pass: see [Bucket.Replay] and [Bucket.Export].
//
// # The sentinel
//
// The consumer of a replicated stream can be on a replica that is behind, and would end the scan
// early. So there the stream's last message, as the leader has it, is selected as well, whatever
// its key is: once it has come, the replica has everything before it
// (TestClusterListingsSeeOwnWrites).
//
// What ends a batch is described at readBatch, and what a batch that was filled leaves out at
// passedOver. A scanReader is used by one goroutine.
type scanReader struct {
	// filters select what is to be visited.
	filters kv.Filters
	// matcher matches keys against filters.
	matcher kv.Matcher
	// bucket is the bucket as it was when the scan began.
	bucket *Bucket
	// visit is called for each entry; an error that it returns ends the scan.
	visit func(kv.Entry) error
	// hidden is called for each entry whose key is outside the grammar, which no visit gets; nil if
	// nobody wants to know.
	hidden func(kv.Entry) error
	// values says that values are wanted, and not only their sizes.
	values bool
	// history says that all retained entries are wanted, not only the last of each key.
	history bool
	// after is where a replay or an export begins: above this revision.
	after kv.Revision
	// until is where a replay or an export ends, with this revision; 0 for a scan.
	until kv.Revision
	// inactive is after what time the server drops an unused consumer; 0 for scanInactive.
	inactive time.Duration

	// consumer is what is read with.
	consumer *consumer
	// batch is the memory of the batches, each of which uses it again.
	batch []*nats.Msg
	// stalled fires when no message has come for a while.
	stalled *time.Timer

	// subjects are what the consumer selects.
	subjects []string
	// exact says that subjects select nothing but what filters do.
	exact bool
	// sentinel says that subjects select the stream's last message, whose delivery shows that the
	// consumer's replica has everything before it.
	sentinel bool
	// sentinelRevision is the revision of that message.
	sentinelRevision kv.Revision

	// counted is how many messages the first readTo received, up to its end.
	counted uint64
	// last is the newest revision that was delivered.
	last kv.Revision
	// more says that the consumer may have more to deliver.
	more bool
	// filled says that the last batch ended since the next message would have exceeded its bytes.
	filled bool
	// passed finds the messages that the server passed over for that reason.
	passed passedOver
	// headsOnly says that this reader is the list of another one; see passedOver.
	headsOnly bool
	// unserved is how often nobody took the request for a batch.
	unserved int

	// keys are the keys that were visited, where readMissing may need them.
	keys []string
	// seen is how many those are, and how many bytes they have.
	seen nameTally
	// names holds the text of those keys and of the visited entries' keys.
	names nameArena
}

// open makes the consumer. If there is no error, it must be closed.
func (r *scanReader) open(ctx context.Context) (err error) {
	if err := r.selectSubjects(ctx); err != nil {
		return err
	}
	spec := consumerSpec{
		purpose:     "scan",
		subjects:    r.subjects,
		headersOnly: !r.values,
		inactive:    cmp.Or(r.inactive, scanInactive),
	}
	if r.history {
		spec.from = r.after + 1
	}
	r.consumer, err = r.bucket.makeConsumer(ctx, r.bucket.client.bulk, spec)
	return err
}

// pass opens the consumer, reads once, and closes it: the pass of a replay or an export.
func (r *scanReader) pass(ctx context.Context) error {
	if err := r.open(ctx); err != nil {
		return err
	}
	defer r.close()
	return r.read(ctx)
}

// selectSubjects decides what the consumer delivers: a cover of the filters, and on a replicated
// stream the sentinel.
func (r *scanReader) selectSubjects(ctx context.Context) error {
	selected, exact := r.filters.Cover()
	r.exact, r.matcher = exact, r.filters.Matcher()
	covered := false
	sentinel, err := r.findSentinel(ctx)
	if err != nil {
		return err
	}
	for _, filter := range selected {
		covered = covered || kv.Covers(filter, sentinel.Key)
		r.subjects = append(r.subjects, r.bucket.readPrefix+filter)
	}
	if r.sentinel && !covered {
		r.subjects, r.exact = append(r.subjects, r.bucket.readPrefix+sentinel.Key), false
	}
	return nil
}

// findSentinel returns the last message of a replicated stream, as its leader has it. If there is
// none, nothing is left to be read.
func (r *scanReader) findSentinel(ctx context.Context) (sentinel kv.Entry, err error) {
	if !r.bucket.replicated {
		return sentinel, nil
	}
	last := getRequest{LastBySubject: r.bucket.readPrefix + kv.AllKeys.String()}
	sentinel, err = r.bucket.fetchEntry(ctx, r.bucket.leaderGet, last)
	if errors.Is(err, kv.ErrKeyNotFound) {
		return sentinel, nil
	}
	r.sentinel, r.sentinelRevision = err == nil, sentinel.Revision
	return sentinel, err
}

// read reads what the consumer delivers until the scan is complete, or until the pass of a replay
// or an export has ended.
func (r *scanReader) read(ctx context.Context) (err error) {
	turn := bound.TurnOf(ctx) // a scan mostly waits for NATS
	turn.Pause()
	defer turn.Resume()
	r.stalled = time.NewTimer(r.bucket.client.timeout)
	defer r.stalled.Stop()
	if err := r.consumer.listen(scanBatch + 16); err != nil {
		return err
	}
	r.more = r.consumer.pending > 0 || r.sentinel
	if r.until > 0 {
		r.counted, err = r.readTo(ctx, r.until)
		return err
	}
	if r.counted, err = r.readTo(ctx, r.bucket.lastSeq); err != nil {
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
	if _, err := r.readTo(ctx, current.lastSeq); err != nil {
		return err
	}
	return r.readMissing(ctx)
}

// deliveredAll reports whether the consumer has delivered everything that was stored up to a
// revision, and has skipped nothing. A replay does not ask it if a message at or beyond its end
// came.
//
// The server's count of what the consumer had to deliver is no proof. nats-server 2.15.2 counts off
// what is overwritten at once, and counts what took its place some time later. While 50,000 values
// a second were stored, one consumer in 2,000 was created with too low a count (28 for 104), and
// one that is created with 0 says that it has nothing. So everything was delivered only if the
// leader also says that nothing was stored since in what the consumer selects, which is one request
// for each subject (TestReadsAreCompleteWherePendingIsTooLow; watchcheck found it with a flood of
// overwrites). A listing, an export, a snapshot or a replay of which that is not known goes on.
func (r *scanReader) deliveredAll(ctx context.Context, upTo kv.Revision) (bool, error) {
	if r.counted < r.consumer.pending {
		return false, nil
	}
	for _, subject := range r.subjects {
		next := getRequest{Sequence: uint64(upTo) + 1, NextBySubject: subject}
		_, err := r.bucket.fetchEntry(ctx, r.bucket.leaderGet, next)
		switch {
		case errors.Is(err, kv.ErrKeyNotFound):
		case err == nil, errors.Is(err, kv.ErrUnexpectedAnswer):
			// There is a message, though perhaps one whose headers nobody can read.
			return false, nil
		default:
			return false, err
		}
	}
	return true, nil
}

// readTo reads until the consumer has delivered a message at or beyond the revision, or has nothing
// more. It returns how many messages came up to that revision. After a batch that was filled it
// reads another one in any case, since a message that had no room in it can come late.
func (r *scanReader) readTo(ctx context.Context, end kv.Revision) (upTo uint64, err error) {
	giveUp := time.Now().Add(r.bucket.client.timeout)
	for r.more && (r.last < end || r.filled) && ctx.Err() == nil {
		batch, err := r.fetchBatch(ctx)
		if err != nil {
			return upTo, err
		}
		count, err := r.addAll(batch, end)
		if err != nil {
			return upTo, err
		}
		upTo += count
		if r.mayPassOver() {
			found, err := r.readPassedOver(ctx, end)
			if err != nil {
				return upTo, err
			}
			if found {
				upTo++
			}
		}
		if r.more || r.last >= r.sentinelRevision {
			continue
		}
		if time.Now().After(giveUp) {
			return upTo, fmt.Errorf("%w: the replica with the scan's consumer is behind",
				kv.ErrTimeout)
		}
		r.more = true
		backOff(1)
	}
	return upTo, ctx.Err()
}

// fetchBatch asks for a batch once there is room for it on the connection, and reads it.
func (r *scanReader) fetchBatch(ctx context.Context) ([]*nats.Msg, error) {
	limit := int64(scanBytes)
	switch {
	case r.headsOnly:
		limit = passedOverBatch * headBytes
	case r.values:
		limit = max(replayBytes, 2*r.bucket.client.messageBytes())
	}
	claim, err := r.consumer.link.Claim(ctx, r.consumer.conn, limit)
	if err != nil {
		return nil, err
	}
	request := fmt.Appendf(nil, `{"batch":%d,"no_wait":true`, r.batchSize())
	if !r.headsOnly {
		request = fmt.Appendf(request, `,"max_bytes":%d`, limit)
	}
	request = append(request, '}')
	if err := r.consumer.ask(request); err != nil {
		claim.End()
		return nil, err
	}
	batch, err := r.readBatch(ctx)
	claim.EndOrAbandon(err == nil)
	return batch, err
}

// batchSize returns how many messages a batch has at most.
func (r *scanReader) batchSize() int {
	if r.headsOnly {
		return passedOverBatch
	}
	return scanBatch
}

// add visits the entry of one message, unless the consumer's subjects select more than the filters
// do and the filters do not select it, or it is outside the revisions of the pass. Keys outside the
// grammar, which other tools can store, are never visited.
func (r *scanReader) add(msg *nats.Msg) (kv.Revision, error) {
	e, err := r.consumer.number(msg)
	if err != nil {
		return 0, err
	}
	if e.Revision <= r.last {
		return e.Revision, nil // it was visited, or overwritten since: see passedOver
	}
	if !r.values {
		// The server gives the size if it leaves the value out; if that is not a number, none is
		// known.
		e.Value = nil
		e.Size, _ = strconv.Atoi(last(msg.Header, headerMessageSize))
	}
	return e.Revision, r.show(e, msg.Subject)
}

// show visits an entry that was read from a subject, if it is selected.
func (r *scanReader) show(e kv.Entry, subject string) error {
	r.last = e.Revision
	isHidden := e.Key == ""
	if isHidden {
		e.Key = strings.TrimPrefix(subject, r.bucket.readPrefix)
	}
	selected := (!isHidden || r.hidden != nil) && (r.exact || r.matcher.Matches(e.Key))
	// The leader has already removed what lies between the sentinel and the scan's beginning. The
	// replica may still deliver it.
	removed := r.sentinel && r.last > r.sentinelRevision && r.last <= r.bucket.lastSeq
	outside := r.until > 0 && (r.last <= r.after || r.last > r.until)
	if !selected || removed || outside {
		return nil
	}
	if isHidden {
		return r.hidden(e)
	}
	if r.until == 0 {
		e.Key = r.names.keep(e.Key)
		r.keys = append(r.keys, e.Key)
		r.seen.add(e.Key)
	}
	return r.visit(e)
}

// readMissing visits the keys that the stream has and the consumer did not deliver.
func (r *scanReader) readMissing(ctx context.Context) error {
	slices.Sort(r.keys)
	return r.bucket.eachMissing(ctx, search{
		subjects: r.subjects,
		matcher:  r.matcher,
		seen:     r.seen,
		delivered: func(key string) bool {
			_, visited := slices.BinarySearch(r.keys, key)
			return visited
		},
		visit: func(e kv.Entry) error {
			e.Value = nil
			return r.visit(e)
		},
	})
}
