package natstest

import (
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

const (
	// createPatience bounds the wait until a bucket can be created.
	createPatience = 30 * time.Second
	// storeNotCreated is the server's error code while the files of a stream of the same name are
	// still being removed. The deletion has been answered before that.
	storeNotCreated jetstream.ErrorCode = 10049
)

// CreateBucket creates a bucket natively, also where one of that name was deleted a moment ago. It
// fails the test on any error.
func CreateBucket(
	tb testing.TB, js jetstream.JetStream, config jetstream.KeyValueConfig,
) (bucket jetstream.KeyValue) {
	tb.Helper()
	Eventually(tb, createPatience, "bucket "+config.Bucket+" is created", func() bool {
		var err error
		bucket, err = js.CreateKeyValue(tb.Context(), config)
		var refused *jetstream.APIError
		if errors.As(err, &refused) && refused.ErrorCode == storeNotCreated {
			return false
		}
		if err != nil {
			tb.Fatal(err)
		}
		return true
	})
	return bucket
}
