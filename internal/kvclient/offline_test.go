package kvclient_test

import (
	"errors"
	"testing"
	"time"

	"kvgateway/internal/kvclient"
	"kvgateway/internal/natstest"
)

// A bucket whose only replica is on a node that is down is there, and out of reach for a while:
// that is no surprise, and nothing was done.
func TestBucketOnANodeThatIsDownIsUnavailable(t *testing.T) {
	if testing.Short() {
		t.Skip("starts three servers")
	}
	t.Parallel()
	nodes := natstest.StartCluster(t)
	c := connect(t, kvclient.Options{URL: nodes.URL(), RequestTimeout: 500 * time.Millisecond})
	js := nodes.JetStream(t)
	natstest.Eventually(t, soon, "a bucket with one replica", func() bool {
		_, _, err := c.CreateBucket(t.Context(), bucketName(t, "one"), kvclient.DefaultBucketConfig())
		return err == nil
	})
	b := bind(t, c, "one")
	put(t, b, "k", "v")
	nodes.StopNode(nodes.StreamLeader(js, "KV_one"))

	// Until the other nodes take the one for gone they do not answer at all.
	var err error
	natstest.Eventually(t, 30*time.Second, "a word on the bucket", func() bool {
		_, err = c.Status(t.Context(), bucketName(t, "one"))
		return err != nil && !errors.Is(err, kvclient.ErrTimeout)
	})
	if !errors.Is(err, kvclient.ErrUnavailable) {
		t.Errorf("status: %v, want ErrUnavailable", err)
	}
	if _, err := get(t, b, "k"); !errors.Is(err, kvclient.ErrUnavailable) {
		t.Errorf("get: %v, want ErrUnavailable", err)
	}
	if err := write(t, b, "k", "w"); !errors.Is(err, kvclient.ErrUnavailable) {
		t.Errorf("put: %v, want ErrUnavailable", err)
	}
}
