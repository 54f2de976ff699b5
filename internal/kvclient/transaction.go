package kvclient

import (
	"context"
	"time"

	"kvgateway/internal/kv"
)

// MaxSteps is how many operations a transaction can have: the server's limit for an atomic batch.
const MaxSteps = 1000

// A StepKind says what a step does.
type StepKind uint8

// The kinds of steps.
const (
	// PutStep stores a value.
	PutStep StepKind = iota
	// DeleteStep leaves a marker, whatever is there, and the earlier revisions.
	DeleteStep
	// PurgeStep leaves a marker, whatever is there, and removes the earlier revisions.
	PurgeStep
	// CheckStep writes nothing; its precondition must hold.
	CheckStep
)

// A Step is one operation of a transaction. A delete in a transaction leaves a marker whatever is
// there, so it needs no read, and its write can carry the precondition of a check.
type Step struct {
	// Kind is what the step does.
	Kind StepKind
	// Key is the key that it does it to.
	Key kv.Key
	// Value is that of a put.
	Value []byte
	// ContentType is that of a put; it is stored with the value if it is not empty.
	ContentType string
	// TTL is that of a put's value or of a purge's marker; 0 for none.
	TTL time.Duration
	// Precondition is none, one revision, or only if absent.
	Precondition kv.Precondition
}

// writes reports whether the step writes something.
func (s *Step) writes() bool { return s.Kind != CheckStep }

// A Transaction is a number of operations of which all are done or none is.
type Transaction struct {
	// Steps are the operations.
	Steps []Step
	// Idempotency makes a second transaction with the same key a *[kv.AlreadyAppliedError], within
	// the bucket's duplicate window.
	Idempotency Idempotency
	// Admit, if not nil, is asked once before anything is sent that could change the bucket. An
	// error that it returns ends the transaction, of which nothing was done. What is malformed, not
	// enabled or known to fail never gets here, so that it costs the bucket's other writers nothing
	// and uses up no rate (TestRefusedTransactionsAreNotCounted).
	Admit func() error
	// Allowed is that of a [Write].
	Allowed func() error
}

// Transact carries out a transaction, all of it or nothing, as one atomic batch of the server
// (ADR-50). The messages go one after the other on the bulk connection, and the first refusal or
// the last answer decides; what was begun and not finished the server forgets.
//
// The server checks the preconditions as it commits. It must be told what a key's absence means, a
// marker's revision or 0; so that is read first, and again when another writer was faster.
//
// nats-server 2.15.2 can store a part of a batch on a stream with one replica, when its own storage
// limit is reached in the commit, and answers nobody (measured): see checkHeadroom. On file storage
// each batch syncs a file of its own while the bucket's other writers wait: fifty batches a second
// cost them an eighth of their rate on a quiet disk, and forty cost them three quarters on a busy
// one (go run ./bench transactions). So transactions have a rate of their own for each bucket, 20 a
// second (--transaction-rate), which Admit enforces.
//
// It returns a *[kv.StepError], a *[kv.TransactionFailedError], a *[kv.AlreadyAppliedError], a
// *[kv.TransactionsNotEnabledError], and otherwise the errors of Put.
func (b *Bucket) Transact(ctx context.Context, t Transaction) (kv.Transacted, error) {
	b, rules, err := b.toWrite(ctx)
	if err != nil {
		return kv.Transacted{}, err
	}
	if !rules.atomic {
		return kv.Transacted{}, &kv.TransactionsNotEnabledError{Bucket: rules.bucket}
	}
	plan, err := b.plan(t, rules)
	if err != nil {
		return kv.Transacted{}, err
	}
	if err := plan.makeReady(ctx); err != nil {
		return kv.Transacted{}, err
	}
	done, err := plan.run(ctx, t.Admit)
	if err == errDuplicate {
		return kv.Transacted{}, plan.alreadyApplied(ctx)
	}
	return done, err
}
