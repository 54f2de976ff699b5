package kvclient

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/nats-io/nats.go"

	"kvgateway/internal/kv"
)

var (
	// errDuplicate says that the server, or an entry, knows the transaction's idempotency key.
	errDuplicate = errors.New("duplicate transaction")
	// errIncomplete says that the server did not get all of the batch, and dropped it.
	errIncomplete = errors.New("incomplete batch")
)

// readersOfTransaction is how many goroutines read for one transaction. What they read is admitted
// to the connection as every other read is.
const readersOfTransaction = 16

// run looks and commits until no other writer is faster, maxTries times at most. Admit is asked
// before the first commit; see [Transaction]. It returns a *[kv.TransactionFailedError] without
// steps if another writer was faster each time, and otherwise what look, admit and commit return.
func (p *plan) run(ctx context.Context, admit func() error) (kv.Transacted, error) {
	var before []kv.Revision
	for try := range maxTries {
		if err := p.look(ctx, try); err != nil {
			return kv.Transacted{}, err
		}
		if try == 0 && admit != nil {
			if err := admit(); err != nil {
				return kv.Transacted{}, err
			}
		}
		if try > 0 && slices.Equal(before, p.expected) {
			backOff(try)
		}
		before = slices.Clone(p.expected)
		done, err := p.commit(ctx)
		if _, lost := errors.AsType[*mismatchError](err); !lost {
			return done, err
		}
	}
	return kv.Transacted{}, &kv.TransactionFailedError{}
}

// look checks the preconditions before a commit: at the first try only those whose revisions must
// be read, and with an idempotency key none, since what is in the way may be this very
// transaction's work, which the server knows.
func (p *plan) look(ctx context.Context, try int) error {
	if try == 0 && p.messageID != "" {
		return nil
	}
	return p.checkPreconditions(ctx, try > 0)
}

// checkPreconditions reads the keys that must be absent, or with all every key that has a
// precondition, and sets the revisions that the server is to expect. It returns a
// *[kv.TransactionFailedError] with the preconditions that do not hold, or errDuplicate if they
// fail because of this very transaction.
func (p *plan) checkPreconditions(ctx context.Context, all bool) error {
	found, err := p.lastEntries(ctx, func(s *Step) bool {
		return s.Precondition.IfAbsent() || all && !s.Precondition.Always()
	})
	if err != nil {
		return err
	}
	failed := &kv.TransactionFailedError{}
	for i, last := range found {
		var current kv.Revision
		if last != nil {
			current = last.Revision
		}
		switch s := &p.steps[i]; {
		case s.Precondition.Holds(last, p.bucket.epoch):
			p.expected[i] = current
		case p.wrote(last):
			return errDuplicate
		default:
			failed.Failed = append(failed.Failed,
				kv.FailedStep{Index: i, Key: s.Key, Current: current})
		}
	}
	if len(failed.Failed) > 0 {
		slices.SortFunc(failed.Failed, func(a, b kv.FailedStep) int { return a.Index - b.Index })
		return failed
	}
	return nil
}

// makeReady finds out what the messages need besides what the steps say, and whether there is room
// for them.
func (p *plan) makeReady(ctx context.Context) error {
	if err := p.replaceNever(ctx); err != nil {
		return err
	}
	if err := p.checkSizes(); err != nil {
		return err
	}
	return p.checkHeadroom(ctx)
}

// replaceNever is [Bucket.replaceNever] for all steps.
func (p *plan) replaceNever(ctx context.Context) error {
	if !p.rules.exempts {
		return nil
	}
	found, err := p.lastEntries(ctx, (*Step).writes)
	p.rollUp = make(map[int]bool)
	for i, last := range found {
		p.rollUp[i] = neverExpires(last)
	}
	return err
}

// lastEntries reads the last entries of the keys of some steps, by the steps' indexes; nil for a
// key that was never written.
func (p *plan) lastEntries(
	ctx context.Context, of func(*Step) bool,
) (map[int]*kv.Entry, error) {
	var (
		mu     sync.Mutex
		wait   sync.WaitGroup
		found  = make(map[int]*kv.Entry)
		failed error
		steps  = make(chan int)
	)
	for range min(readersOfTransaction, len(p.steps)) {
		wait.Go(func() {
			for i := range steps {
				last, err := p.bucket.lastOrNil(ctx, p.steps[i].Key)
				mu.Lock()
				found[i], failed = last, errors.Join(failed, err)
				mu.Unlock()
			}
		})
	}
	for i := range p.steps {
		if of(&p.steps[i]) {
			steps <- i
		}
	}
	close(steps)
	wait.Wait()
	return found, failed
}

// wrote reports whether an entry was written by a transaction that had the same idempotency key and
// did the same.
func (p *plan) wrote(e *kv.Entry) bool {
	return p.suffix != "" && e != nil && e.Transaction != nil &&
		strings.HasSuffix(e.Transaction.ID, p.suffix)
}

// alreadyApplied looks for what a transaction did whose idempotency key the server has seen. Any
// one of its entries that is still the last of its key shows the revisions of all.
func (p *plan) alreadyApplied(ctx context.Context) error {
	for _, m := range p.members {
		last, err := p.bucket.lastOrNil(ctx, p.steps[m.step].Key)
		if err != nil {
			break // the transaction was applied; what is left of it is not known
		}
		if p.wrote(last) {
			part := last.Transaction
			revision := last.Revision - kv.Revision(part.Index)
			first := p.transacted(part.ID, kv.Position{Epoch: last.Epoch, Revision: revision})
			return &kv.AlreadyAppliedError{Keys: p.keys(), First: &first}
		}
	}
	return &kv.AlreadyAppliedError{}
}

// transacted returns what the transaction did whose first write has this position.
func (p *plan) transacted(id string, first kv.Position) kv.Transacted {
	t := kv.Transacted{ID: id, Position: first, Revisions: slices.Clone(p.expected)}
	// #nosec G115 -- a length is not negative
	t.Revision += kv.Revision(len(p.members) - 1)
	for i, m := range p.members {
		t.Revisions[m.step] = first.Revision + kv.Revision(i)
	}
	return t
}

// commit sends the batch. If the server did not get all of it, as when the stream's leader changes,
// it has dropped the batch, which is sent again.
func (p *plan) commit(ctx context.Context) (kv.Transacted, error) {
	var done kv.Transacted
	err := p.bucket.untilServed(ctx, func() (err error) {
		done, err = p.send(ctx, p.newID())
		return err
	})
	return done, err
}

// send sends the batch once. It uses the connection for bulk, since 16 MB would hold up the writes
// of single keys.
func (p *plan) send(ctx context.Context, id string) (kv.Transacted, error) {
	messages := p.messages(id, p.expected)
	size := 0
	for _, msg := range messages {
		size += messageSize(msg)
	}
	charge, err := p.bucket.client.pace.admit(ctx, size)
	if err == nil && p.allowed != nil {
		if err = p.allowed(); err != nil {
			charge.refund()
		}
	}
	if err != nil {
		return kv.Transacted{}, err
	}
	done, err := p.sendAdmitted(ctx, id, messages)
	charge.settle(err)
	return done, err
}

// sendAdmitted is send for messages that the pace of writes has admitted.
func (p *plan) sendAdmitted(
	ctx context.Context, id string, messages []*nats.Msg,
) (kv.Transacted, error) {
	b := p.bucket
	reply, index, err := b.client.bulk.Batch(ctx, messages)
	if errors.Is(err, nats.ErrMaxPayload) {
		return kv.Transacted{}, &kv.StepError{
			Index: p.members[index].step, Err: b.tooLarge(messages[index].Header),
		}
	}
	if err != nil {
		return kv.Transacted{}, unanswered(err)
	}
	rev, _, err := b.readAcknowledgement(reply)
	if _, tooLarge := errors.AsType[*kv.ValueTooLargeError](err); tooLarge {
		err = b.tooLarge(messages[index].Header)
	}
	if err != nil {
		return kv.Transacted{}, p.batchRefusal(index, cmp.Or(b.deniedOf(err, messages), err))
	}
	var ack struct {
		Batch string `json:"batch"`
		Count int    `json:"count"`
	}
	err = json.Unmarshal(reply.Data, &ack)
	if err != nil || ack.Batch != id || ack.Count != len(p.members) ||
		// #nosec G115 -- a length is not negative
		rev < kv.Revision(ack.Count) {
		return kv.Transacted{}, fmt.Errorf("%w: acknowledged as batch %.64q of %d",
			kv.ErrOutcomeUnknown, ack.Batch, ack.Count)
	}
	first := kv.Position{
		Epoch: b.epochOfWrite(ctx, rev),
		// #nosec G115 -- a length is not negative
		Revision: rev - kv.Revision(ack.Count) + 1,
	}
	return p.transacted(id, first), nil
}

// deniedOf returns the denial because of which the server did not get all messages of a batch, if
// that is why it has refused the batch.
func (b *Bucket) deniedOf(err error, messages []*nats.Msg) error {
	refused, ok := errors.AsType[*kv.APIError](err)
	if !ok || refused.ErrCode != errCodeBatchIncomplete {
		return nil
	}
	return b.client.bulk.DeniedAmong(messages)
}

// batchRefusal turns a refusal, of the member at index or of the whole batch, into the error by
// which Transact ends or goes on.
func (p *plan) batchRefusal(index int, err error) error {
	step := p.members[index].step
	if tooLarge, ok := errors.AsType[*kv.ValueTooLargeError](err); ok {
		return &kv.StepError{Index: step, Err: tooLarge}
	}
	refused, ok := errors.AsType[*kv.APIError](err)
	if !ok {
		return err
	}
	switch refused.ErrCode {
	case errCodeBatchDisabled:
		return &kv.TransactionsNotEnabledError{Bucket: p.rules.bucket}
	case errCodeBatchDuplicate:
		return errDuplicate
	case errCodeDuplicateUnderWay:
		return &mismatchError{} // the other one is about to be stored: look again
	case errCodeBatchIncomplete:
		return errIncomplete
	case errCodeBatchesInFlight:
		return fmt.Errorf("%w: %w", kv.ErrOverloaded, refused)
	case errCodeBatchTooLarge:
		reason := "this NATS server takes fewer: " + refused.Description
		return breaksRule(step, reason)
	}
	return err
}
