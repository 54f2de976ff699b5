package kvclient

import (
	"errors"
	"fmt"
)

// What the domain can refuse or fail at. The types below carry more and match none of these.
var (
	// ErrBucketNotFound: there is no such bucket, and the server said so.
	ErrBucketNotFound = errors.New("bucket not found")
	// ErrBadBucket: a stream of that name exists that is not a key-value bucket.
	ErrBadBucket = errors.New("the stream of that name is not a key-value bucket")
	// ErrKeyNotFound: the key was never written, or nothing of it is left.
	ErrKeyNotFound = errors.New("key not found")
	// ErrRevisionNotFound: the revision is gone, was never written, or belongs to another key.
	ErrRevisionNotFound = errors.New("revision not found")
	// ErrRevisionNotReached: the bucket did not come to the wanted revision in time.
	ErrRevisionNotReached = errors.New("revision not reached in time")
	// ErrKeyTooLong: the key is longer than [MaxKeyBytes].
	ErrKeyTooLong = errors.New("key too long")
	// ErrHeaderTooLarge: the headers to be stored are larger than the server takes (64 KiB).
	ErrHeaderTooLarge = errors.New("stored headers too large")
	// ErrBucketFull: the bucket's max_bytes is reached; nothing was stored.
	ErrBucketFull = errors.New("bucket full")
	// ErrStorageExhausted: a limit of the account or server is reached; nothing was stored.
	ErrStorageExhausted = errors.New("storage of the account or server exhausted")
	// ErrOverloaded: the server refuses for load; nothing was done.
	ErrOverloaded = errors.New("server overloaded")
	// ErrContention: other writers won each of the bounded tries; nothing was stored.
	ErrContention = errors.New("too many concurrent writers of this key")
	// ErrUnavailable: NATS or its JetStream is away; the request was certainly not carried out.
	ErrUnavailable = errors.New("NATS is not available")
	// ErrTimeout: a read or administrative request got no answer in time.
	ErrTimeout = errors.New("NATS did not answer in time")
	// ErrOutcomeUnknown: a write was sent and its acknowledgement did not come; it may or may not have been stored.
	ErrOutcomeUnknown = errors.New("outcome of the write is unknown")
	// ErrUnexpectedAnswer: NATS answered something that the gateway does not understand.
	ErrUnexpectedAnswer = errors.New("unexpected answer from NATS")
)

// A SyntaxError tells what is wrong with text from a client.
type SyntaxError struct {
	What   string // "key", "bucket name", "filter", "revision" or "position"; "filters" for all of a request
	Offset int    // of the offending byte
	Reason string
}

func (e *SyntaxError) Error() string {
	return fmt.Sprintf("invalid %s at offset %d: %s", e.What, e.Offset, e.Reason)
}

// A KeyDeletedError tells that the key's last entry is a marker.
type KeyDeletedError struct {
	Marker Entry
}

func (e *KeyDeletedError) Error() string {
	return fmt.Sprintf("key deleted: %s at revision %d", e.Marker.Operation, e.Marker.Revision)
}

// A RevisionMismatchError tells that a precondition does not hold; nothing was stored.
type RevisionMismatchError struct {
	Current   Position // the key's last revision, 0 if it was never written
	KeyExists bool     // the precondition was that the key has no value
}

func (e *RevisionMismatchError) Error() string {
	return fmt.Sprintf("the key is at revision %d", e.Current.Revision)
}

// An EpochChangedError tells that a position belongs to another history: of a bucket that was
// deleted and created again since, or of one that lost its end and grew again.
type EpochChangedError struct {
	Current Epoch
}

func (e *EpochChangedError) Error() string {
	return fmt.Sprintf("the bucket's epoch is %s", e.Current)
}

// A ValueTooLargeError tells that a value and the headers stored with it exceed the bucket's or server's limit; nothing was
// sent.
type ValueTooLargeError struct {
	Limit int // bytes that the value may have beside this write's headers
}

func (e *ValueTooLargeError) Error() string {
	return fmt.Sprintf("the value exceeds the %d bytes that the headers leave", e.Limit)
}

// A BucketExistsError tells that a bucket of that name exists with another configuration.
type BucketExistsError struct {
	Differences []Difference
}

func (e *BucketExistsError) Error() string {
	return fmt.Sprintf("bucket exists with another configuration: %d fields differ", len(e.Differences))
}

// A ConfigError tells that a bucket's configuration was refused, here or by the server.
type ConfigError struct {
	Reason string
}

func (e *ConfigError) Error() string { return "invalid bucket configuration: " + e.Reason }

// An APIError is an answer of JetStream that the gateway has no word for.
type APIError struct {
	Code        int    `json:"code"`     // in the manner of an HTTP status
	ErrCode     int    `json:"err_code"` // JetStream's own error code
	Description string `json:"description"`
}

func (e *APIError) Error() string {
	return fmt.Sprintf("JetStream error %d (%d): %s", e.ErrCode, e.Code, e.Description)
}
