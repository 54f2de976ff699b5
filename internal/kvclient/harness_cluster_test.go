package kvclient_test

import (
	"context"
	"strconv"
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

// leaveBehind stops a node other than the leader of the bucket's stream, and stores so many values
// of so many bytes, which the node has to catch up with when it is started again.
func leaveBehind(
	t *testing.T, nodes *natstest.Cluster, b *kvclient.Bucket, js jetstream.JetStream,
	values, bytes int,
) (away int) {
	t.Helper()
	away = (nodes.StreamLeader(js, "KV_shop") + 1) % 3
	nodes.StopNode(away)
	value := string(make([]byte, bytes))
	for i := range values {
		natstest.Eventually(t, soon, "a put with two nodes", func() bool {
			return write(t, b, "big"+strconv.Itoa(i), value) == nil
		})
	}
	return away
}

// lookWhileCatchingUp stores values of 30 keys, first with all nodes, and then while one node has
// to catch up with so many values of 100 KiB. After each write it calls look with what was stored.
func lookWhileCatchingUp(
	t *testing.T, nodes *natstest.Cluster, b *kvclient.Bucket, js jetstream.JetStream,
	before, values int, look func(k string, rev kv.Revision),
) {
	t.Helper()
	name := func(i int) string { return "k" + strconv.Itoa(i%30) }
	for i := range before {
		look(name(i), put(t, b, name(i), "v"))
	}
	nodes.StartNode(leaveBehind(t, nodes, b, js, values, 100<<10))
	for i := range 100 {
		var rev kv.Revision
		natstest.Eventually(t, soon, "a put", func() bool {
			w, err := b.Put(t.Context(), kvclient.Write{Key: key(t, name(i))})
			rev = w.Revision
			return err == nil
		})
		look(name(i), rev)
	}
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
