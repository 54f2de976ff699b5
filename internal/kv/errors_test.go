package kv_test

import (
	"errors"
	"fmt"
	"testing"

	"kvgateway/internal/kv"
)

func TestOnlyWhatMayPassIsTriedAgain(t *testing.T) {
	t.Parallel()
	for _, err := range []error{
		kv.ErrOverloaded, kv.ErrUnavailable, kv.ErrTimeout, kv.ErrContention,
		fmt.Errorf("%w: not sent: %w", kv.ErrUnavailable, errors.New("closed")),
	} {
		if !kv.MayPass(err) {
			t.Errorf("%v does not pass", err)
		}
	}
	for _, err := range []error{
		nil, kv.ErrBucketNotFound, kv.ErrBadBucket, kv.ErrKeyNotFound, kv.ErrRevisionNotFound,
		kv.ErrRevisionNotReached, kv.ErrBucketFull, kv.ErrStorageExhausted, kv.ErrOutcomeUnknown,
		kv.ErrIdempotencyReuse, kv.ErrExpired, kv.ErrUnexpectedAnswer, &kv.EpochChangedError{},
		fmt.Errorf("%w: %w", kv.ErrOutcomeUnknown, kv.ErrTimeout),
	} {
		if kv.MayPass(err) {
			t.Errorf("%v passes", err)
		}
	}
}
