package kv

import (
	"errors"
	"fmt"
	"time"
)

// What the client can refuse or fail at. The types below carry more, and match none of these; only
// a [StepError] matches what it wraps.
var (
	// ErrBucketNotFound says that there is no such bucket; the server has said so.
	ErrBucketNotFound = errors.New("bucket not found")
	// ErrBadBucket says that a stream of that name exists that is not a key-value bucket.
	ErrBadBucket = errors.New("the stream of that name is not a key-value bucket")
	// ErrKeyNotFound says that the key was never written, or that nothing of it is left.
	ErrKeyNotFound = errors.New("key not found")
	// ErrRevisionNotFound says that the revision is gone, was never written, or belongs to another
	// key.
	ErrRevisionNotFound = errors.New("revision not found")
	// ErrRevisionNotReached says that the bucket did not come to the wanted revision in time.
	ErrRevisionNotReached = errors.New("revision not reached in time")
	// ErrKeyTooLong says that the key is longer than [MaxKeyBytes].
	ErrKeyTooLong = errors.New("key too long")
	// ErrHeaderTooLarge says that the headers to be stored are larger than the server takes (64
	// KiB).
	ErrHeaderTooLarge = errors.New("stored headers too large")
	// ErrBucketFull says that a limit of the bucket is reached, mostly its max_bytes; nothing was
	// stored.
	ErrBucketFull = errors.New("bucket full")
	// ErrTooManyMessages is the [ErrBucketFull] of a bucket with a limit of messages, in all or of
	// a key, which only other tools can set.
	ErrTooManyMessages = fmt.Errorf("%w: too many messages", ErrBucketFull)
	// ErrStorageExhausted says that a limit of the account or the server is reached; nothing was
	// stored.
	ErrStorageExhausted = errors.New("storage of the account or server exhausted")
	// ErrMemoryExhausted is the [ErrStorageExhausted] of a bucket whose storage is memory.
	ErrMemoryExhausted = fmt.Errorf("%w: memory", ErrStorageExhausted)
	// ErrOverloaded says that the server refuses because of its load; nothing was done.
	ErrOverloaded = errors.New("server overloaded")
	// ErrContention says that other writers won each of the bounded tries; nothing was stored.
	ErrContention = errors.New("too many concurrent writers of this key")
	// ErrIdempotencyReuse says that the idempotency key was used for another request that is still
	// stored; nothing was done.
	ErrIdempotencyReuse = errors.New("idempotency key used for another request")
	// ErrExpired says that the end of an entry is over; nothing was stored.
	ErrExpired = errors.New("the entry has expired")
	// ErrUnavailable says that NATS or its JetStream is away; the request was certainly not carried
	// out.
	ErrUnavailable = errors.New("NATS is not available")
	// ErrTimeout says that a read or an administrative request got no answer in time.
	ErrTimeout = errors.New("NATS did not answer in time")
	// ErrOutcomeUnknown says that a write was sent and its acknowledgement did not come; it may or
	// may not have been stored.
	ErrOutcomeUnknown = errors.New("outcome of the write is unknown")
	// ErrUnexpectedAnswer says that NATS answered something that the gateway does not understand.
	ErrUnexpectedAnswer = errors.New("unexpected answer from NATS")
)

// IsNoBucket reports whether an error says that there is no bucket of a name: no stream, or one
// that is no bucket. Nothing but a change of the stream can fix that.
func IsNoBucket(err error) bool {
	return errors.Is(err, ErrBucketNotFound) || errors.Is(err, ErrBadBucket)
}

// A DeniedError says that NATS has denied something, since the user that the request is made as has
// no permission for the subject. Nothing was done, unless Subscribe is set: what was sent may have
// been carried out then, and its answer cannot come.
type DeniedError struct {
	// Subject is the subject that was published or subscribed to.
	Subject string
	// Subscribe says that it was subscribed to.
	Subscribe bool
}

// Error implements error.
func (e *DeniedError) Error() string {
	if e.Subscribe {
		return fmt.Sprintf("NATS denies subscribing to %q", e.Subject)
	}
	return fmt.Sprintf("NATS denies publishing to %q", e.Subject)
}

// A SyntaxError says what is wrong with text from a client.
type SyntaxError struct {
	// What is "key", "bucket name", "filter", "revision" or "position"; or "filters" for all
	// filters of a request.
	What string
	// Offset is that of the offending byte.
	Offset int
	// Reason says what is wrong.
	Reason string
}

// Error implements error.
func (e *SyntaxError) Error() string {
	return fmt.Sprintf("invalid %s at offset %d: %s", e.What, e.Offset, e.Reason)
}

// A KeyDeletedError says that the key's last entry is a marker.
type KeyDeletedError struct {
	// Marker is the key's last entry.
	Marker Entry
}

// Error implements error.
func (e *KeyDeletedError) Error() string {
	return fmt.Sprintf("key deleted: %s at revision %d", e.Marker.Operation, e.Marker.Revision)
}

// A BucketNotFoundError is [ErrBucketNotFound] with the name of the bucket.
type BucketNotFoundError struct {
	// Bucket is the bucket that is missing, or the mirror whose origin is missing.
	Bucket BucketName
	// Origin is the origin that is missing, to which a mirror's writes go; "" if it is Bucket that
	// is missing.
	Origin string
}

// Error implements error.
func (e *BucketNotFoundError) Error() string {
	if e.Origin != "" {
		return fmt.Sprintf("%v: %s, the origin of %s", ErrBucketNotFound, e.Origin, e.Bucket)
	}
	return ErrBucketNotFound.Error() + ": " + e.Bucket.String()
}

// Unwrap returns [ErrBucketNotFound].
func (e *BucketNotFoundError) Unwrap() error { return ErrBucketNotFound }

// A RevisionMismatchError says that a precondition does not hold; nothing was stored.
type RevisionMismatchError struct {
	// Current is the position of the key's last entry; its revision is 0 if it was never written.
	Current Position
	// KeyExists says that the precondition was that the key has no value.
	KeyExists bool
	// Excluded says that If-None-Match has the tag of the key's last entry, and all else holds.
	Excluded bool
	// Deleted says that the key's last entry is known to be a marker.
	Deleted bool
}

// Error implements error.
func (e *RevisionMismatchError) Error() string {
	return fmt.Sprintf("the key is at revision %d", e.Current.Revision)
}

// An EpochChangedError says that a position belongs to another history: that of a bucket which was
// deleted and created again since, or of one that lost its end and grew again.
type EpochChangedError struct {
	// Current is the bucket's epoch now.
	Current Epoch
}

// Error implements error.
func (e *EpochChangedError) Error() string {
	return fmt.Sprintf("the bucket's epoch is %s", e.Current)
}

// A ValueTooLargeError says that a value and the headers stored with it, or a marker, exceed the
// limit of the bucket or of the server; nothing was stored.
type ValueTooLargeError struct {
	// Limit is how many bytes the value may have beside this write's headers; of a marker, how many
	// bytes the bucket takes.
	Limit int
	// Marker is how many bytes the marker has that was refused; 0 if it was a value.
	Marker int
}

// Error implements error.
func (e *ValueTooLargeError) Error() string {
	if e.Marker > 0 {
		return fmt.Sprintf("a marker of %d bytes exceeds the limit of %d", e.Marker, e.Limit)
	}
	return fmt.Sprintf("the value exceeds the %d bytes that the headers leave", e.Limit)
}

// A TTLNotEnabledError says that a bucket takes no entries with a time to live of their own;
// nothing was stored.
type TTLNotEnabledError struct {
	// Bucket is the bucket whose limit_marker_ttl would enable it: for a mirror, the origin.
	Bucket string
	// Longest is the longest limit_marker_ttl with which this time to live can be as short as it
	// is; 0 for any.
	Longest time.Duration
}

// Error implements error.
func (e *TTLNotEnabledError) Error() string {
	return fmt.Sprintf("bucket %s has no limit_marker_ttl", e.Bucket)
}

// A TTLTooShortError says that a time to live is shorter than the server would make it; nothing was
// stored.
type TTLTooShortError struct {
	// Minimum is the shortest time to live that the bucket takes.
	Minimum time.Duration
	// Remaining says that it is what is left of the present value's, which a patch keeps.
	Remaining bool
}

// Error implements error.
func (e *TTLTooShortError) Error() string {
	return fmt.Sprintf("time to live shorter than %s", e.Minimum)
}

// An OutsideMirrorError says that a mirror takes no write of a key. Usually the mirror does not
// copy that key: the origin would store the write, and the mirror would never show it. Nothing was
// stored.
type OutsideMirrorError struct {
	// Origin is the bucket to write to, which the mirror copies.
	Origin string
	// Holds are the filters of the keys that the mirror has; none if it has none under their names.
	Holds []string
	// Through is the bucket that the mirror copies and that is itself a mirror, of Origin, and so
	// takes no writes; "" if the mirror copies Origin.
	Through string
}

// Error implements error.
func (e *OutsideMirrorError) Error() string {
	return fmt.Sprintf("the mirror of %s does not hold the key", e.Origin)
}

// A TransactionsNotEnabledError says that a bucket does not allow atomic batches; nothing was
// stored.
type TransactionsNotEnabledError struct {
	// Bucket is the bucket whose allow_atomic would enable them: for a mirror, the origin.
	Bucket string
}

// Error implements error.
func (e *TransactionsNotEnabledError) Error() string {
	return fmt.Sprintf("bucket %s does not allow transactions", e.Bucket)
}

// A StepError says which step of a transaction cannot be done, and why; nothing was sent.
type StepError struct {
	// Index is the step's index.
	Index int
	// Err is why it cannot be done.
	Err error
}

// Error implements error.
func (e *StepError) Error() string { return fmt.Sprintf("step %d: %v", e.Index, e.Err) }

// Unwrap returns why the step cannot be done.
func (e *StepError) Unwrap() error { return e.Err }

// A StepRuleError says which rule of transactions a step breaks.
type StepRuleError struct {
	// Reason is the rule, for a client.
	Reason string
}

// Error implements error.
func (e *StepRuleError) Error() string { return e.Reason }

// A FailedStep is a step whose precondition did not hold when it was looked at.
type FailedStep struct {
	// Index is the step's index.
	Index int
	// Key is its key.
	Key Key
	// Current is the revision of the key's last entry; 0 if it was never written.
	Current Revision
}

// A TransactionFailedError says that a precondition did not hold; nothing was stored. The server
// does not say whose, so Failed are those that were found not to hold afterwards. Failed is empty
// if all held whenever they were looked at, but other writers were faster at each attempt: what is
// [ErrContention] for a write of one key.
type TransactionFailedError struct {
	// Failed are the steps whose preconditions were found not to hold.
	Failed []FailedStep
}

// Error implements error.
func (e *TransactionFailedError) Error() string {
	return fmt.Sprintf("%d preconditions of the transaction do not hold", len(e.Failed))
}

// An AlreadyAppliedError says that a transaction with the same idempotency key was carried out;
// this one was not.
type AlreadyAppliedError struct {
	// Keys are those of this transaction's steps.
	Keys []Key
	// First is what the first transaction did; nil if nothing of it is left to be read, or if it
	// was another transaction.
	First *Transacted
}

// Error implements error.
func (e *AlreadyAppliedError) Error() string {
	return "a transaction with this idempotency key was applied"
}

// A BucketExistsError says that a bucket of that name exists with another configuration.
type BucketExistsError struct {
	// Differences are where the two configurations differ.
	Differences []Difference
}

// Error implements error.
func (e *BucketExistsError) Error() string {
	return fmt.Sprintf("bucket exists with another configuration: %d fields differ",
		len(e.Differences))
}

// A ConfigError says that a bucket's configuration was refused, by the gateway or by the server.
type ConfigError struct {
	// Reason is what is wrong with it, for a client.
	Reason string
}

// Error implements error.
func (e *ConfigError) Error() string { return "invalid bucket configuration: " + e.Reason }

// An APIError is an answer of JetStream for which this package has no error of its own.
type APIError struct {
	// Code is like an HTTP status.
	Code int `json:"code"`
	// ErrCode is JetStream's own error code.
	ErrCode int `json:"err_code"`
	// Description is the server's text.
	Description string `json:"description"`
}

// Error implements error.
func (e *APIError) Error() string {
	return fmt.Sprintf("JetStream error %d (%d): %s", e.ErrCode, e.Code, e.Description)
}
