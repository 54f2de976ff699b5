package kvclient_test

import (
	"context"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"kvgateway/internal/kv"
	"kvgateway/internal/kvclient"
	"kvgateway/internal/natstest"
)

// cluster starts three nodes and a gateway in front of them, and creates the bucket "shop" with
// three replicas and a history of five.
func cluster(t *testing.T) (
	*natstest.Cluster, *kvclient.Client, *kvclient.Bucket, jetstream.JetStream,
) {
	t.Helper()
	if testing.Short() {
		t.Skip("starts three servers")
	}
	t.Parallel()
	nodes := natstest.StartCluster(t)
	c := connect(t, kvclient.Options{URL: nodes.URL()})
	js := nodes.JetStream(t)
	// Servers answer clients a moment before they know of each other's JetStream.
	config := kv.DefaultBucketConfig()
	config.Replicas, config.History = 3, 5
	natstest.Eventually(t, soon, "a bucket with three replicas", func() bool {
		_, _, err := c.CreateBucket(t.Context(), bucketName(t, "shop"), config)
		return err == nil
	})
	b := bind(t, c, "shop")
	nodes.StreamLeader(js, "KV_shop")
	return nodes, c, b, js
}

// resign makes the leader of the bucket's stream step down.
func resign(t *testing.T, js jetstream.JetStream) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), soon)
	defer cancel()
	const stepDown = "$JS.API.STREAM.LEADER.STEPDOWN.KV_shop"
	if _, err := js.Conn().RequestWithContext(ctx, stepDown, nil); err != nil {
		t.Fatalf("step down: %v", err)
	}
}
