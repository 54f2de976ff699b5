package kvclient_test

import (
	"errors"
	"testing"
	"time"

	"kvgateway/internal/kv"
	"kvgateway/internal/kvclient"
	"kvgateway/internal/natstest"
)

// A bucket exists, but the node with its only replica is down. Requests fail as unavailable, which
// says that nothing was done and that the bucket may come back.
func TestBucketOnANodeThatIsDownIsUnavailable(t *testing.T) {
	if testing.Short() {
		t.Skip("starts three servers")
	}
	t.Parallel()
	nodes := natstest.StartCluster(t)
	c := connect(t, kvclient.Options{URL: nodes.URL(), RequestTimeout: 500 * time.Millisecond})
	js := nodes.JetStream(t)
	natstest.Eventually(t, soon, "a bucket with one replica", func() bool {
		config := kv.DefaultBucketConfig()
		_, _, err := c.CreateBucket(t.Context(), bucketName(t, "one"), config)
		return err == nil
	})
	b := bind(t, c, "one")
	put(t, b, "k", "v")
	nodes.StopNode(nodes.StreamLeader(js, "KV_one"))

	// The other nodes do not answer at all until they consider the one as lost.
	var err error
	natstest.Eventually(t, 30*time.Second, "an answer about the bucket", func() bool {
		_, err = c.Status(t.Context(), bucketName(t, "one"))
		return err != nil && !errors.Is(err, kv.ErrTimeout)
	})
	if !errors.Is(err, kv.ErrUnavailable) {
		t.Errorf("status: %v, want ErrUnavailable", err)
	}
	if _, err := get(t, b, "k"); !errors.Is(err, kv.ErrUnavailable) {
		t.Errorf("get: %v, want ErrUnavailable", err)
	}
	if err := write(t, b, "k", "w"); !errors.Is(err, kv.ErrUnavailable) {
		t.Errorf("put: %v, want ErrUnavailable", err)
	}
}
