package kvclient

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// MaxSteps is how many operations a transaction can have: the server's limit for an atomic batch.
const MaxSteps = 1000

// A StepKind says what a step does.
type StepKind uint8

const (
	PutStep    StepKind = iota // stores a value
	DeleteStep                 // leaves a marker, whatever is there, and the earlier revisions
	PurgeStep                  // leaves a marker, whatever is there, and removes the earlier revisions
	CheckStep                  // writes nothing; its precondition must hold
)

// A Step is one operation of a transaction.
type Step struct {
	Kind         StepKind
	Key          Key
	Value        []byte        // of a put
	ContentType  string        // of a put, stored with the value if not empty
	TTL          time.Duration // of a put's value or a purge's marker; 0 for none
	Precondition Precondition  // none, one revision, or only if absent
}

func (s *Step) writes() bool { return s.Kind != CheckStep }

// A Transaction is a number of operations of which all are done or none is.
type Transaction struct {
	Steps []Step
	// Idempotency makes a second transaction with the same key an *[AlreadyAppliedError], within the bucket's duplicate window.
	Idempotency Idempotency
	// Admit, if not nil, is asked once before anything is sent that could change the bucket. What it
	// returns ends the transaction, and nothing was done.
	Admit func() error
}

// A Transacted tells what a transaction did.
type Transacted struct {
	ID        string     // as in the [Mark] of its entries
	Position             // of its last write
	Revisions []Revision // of each step; of a check, the one that it found
}

// A TransactionsNotEnabledError tells that a bucket does not allow atomic batches; nothing was stored.
type TransactionsNotEnabledError struct {
	Bucket string // whose allow_atomic would enable them; for a mirror, the origin
}

func (e *TransactionsNotEnabledError) Error() string {
	return fmt.Sprintf("bucket %s does not allow transactions", e.Bucket)
}

// A StepError tells which step of a transaction cannot be done, and why; nothing was sent.
type StepError struct {
	Index int
	Err   error
}

func (e *StepError) Error() string { return fmt.Sprintf("step %d: %v", e.Index, e.Err) }

func (e *StepError) Unwrap() error { return e.Err }

// A StepRuleError tells which rule of transactions a step breaks.
type StepRuleError struct{ Reason string }

func (e *StepRuleError) Error() string { return e.Reason }

// A FailedStep is a step whose precondition did not hold when it was looked at.
type FailedStep struct {
	Index   int
	Key     Key
	Current Revision // of its key's last entry, 0 if it was never written
}

// A TransactionFailedError tells that a precondition did not hold; nothing was stored. The server does not say whose, so Failed are
// those found not to hold afterwards; none if others have changed what was in the way.
type TransactionFailedError struct{ Failed []FailedStep }

func (e *TransactionFailedError) Error() string {
	return fmt.Sprintf("%d preconditions of the transaction do not hold", len(e.Failed))
}

// An AlreadyAppliedError tells that a transaction with the same idempotency key was carried out; this one was not.
type AlreadyAppliedError struct {
	Steps []Step
	First *Transacted // what the first did; nil if nothing of it is left to be read, or it was another transaction
}

func (e *AlreadyAppliedError) Error() string {
	return "a transaction with this idempotency key was applied"
}

// Transact carries out a transaction, all of it or nothing, through the server's atomic batch (ADR-50). It returns a *[StepError], a
// *[TransactionFailedError], an *[AlreadyAppliedError], a *[TransactionsNotEnabledError], and otherwise what Put does.
//
// The server checks the preconditions as it commits. What the key's absence means, a marker's revision or 0, it must be told, so that is
// read before, and again when another writer was faster.
func (b *Bucket) Transact(ctx context.Context, t Transaction) (Transacted, error) {
	b, rules, err := b.toWrite(ctx)
	if err != nil {
		return Transacted{}, err
	}
	if !rules.atomic {
		return Transacted{}, &TransactionsNotEnabledError{Bucket: rules.bucket}
	}
	plan, err := b.plan(t, rules)
	if err != nil {
		return Transacted{}, err
	}
	if err := plan.makeReady(ctx); err != nil {
		return Transacted{}, err
	}
	var before []Revision
	for try := range maxTries {
		// With an idempotency key the server has the first word: what is in the way may be this very transaction's.
		if try > 0 || t.Idempotency.Key == "" {
			err = plan.checkPreconditions(ctx, try > 0)
		}
		var done Transacted
		if err == nil && try == 0 && t.Admit != nil {
			if err := t.Admit(); err != nil {
				return Transacted{}, err
			}
		}
		if err == nil {
			if try > 0 && slices.Equal(before, plan.expected) {
				awaitWriter(try)
			}
			before = slices.Clone(plan.expected)
			done, err = plan.commit(ctx)
		}
		if err == errDuplicate {
			return Transacted{}, plan.alreadyApplied(ctx)
		}
		if _, ok := errors.AsType[*mismatchError](err); !ok {
			return done, err
		}
	}
	return Transacted{}, &TransactionFailedError{}
}
