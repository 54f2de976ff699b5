package kvclient_test

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"kvgateway/internal/kvclient"
	"kvgateway/internal/natstest"
)

// FinishRollUps removes what an interrupted roll-up left. It leaves alone whatever is above a
// roll-up, and buckets that copy others. What a real crash leaves is tested in test/e2e.
func TestFinishRollUpsLeavesOtherKeysAlone(t *testing.T) {
	t.Parallel()
	c, s := gateway(t)
	js := s.JetStream(t)
	kv := natstest.CreateBucket(t, js, jetstream.KeyValueConfig{
		Bucket: "shop", History: 5, LimitMarkerTTL: time.Second,
	})
	natstest.CreateBucket(t, js, jetstream.KeyValueConfig{
		Bucket: "mirror", History: 5, Mirror: &jetstream.StreamSource{Name: "KV_shop"},
	})
	natstest.CreateBucket(t, js, jetstream.KeyValueConfig{
		Bucket: "sink", History: 5, LimitMarkerTTL: time.Second,
		Sources: []*jetstream.StreamSource{{Name: "shop"}},
	})
	b := bind(t, c, "shop")
	for _, k := range []string{"rolled", "above", "purged", "plain"} {
		put(t, b, k, "1")
		put(t, b, k, "2")
	}
	for _, k := range []string{"rolled", "above"} {
		_, err := b.Put(t.Context(), kvclient.Write{
			Key: key(t, k), Value: []byte("3"), TTL: time.Hour,
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	put(t, b, "above", "4")
	remove(t, b, "purged", true)
	counts := func() (all [3]uint64) {
		for i, bucket := range []string{"shop", "mirror", "sink"} {
			status, err := native(t, js, bucket).Status(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			all[i] = status.Values()
		}
		return all
	}
	natstest.Eventually(t, soon, "the copies follow", func() bool {
		return counts() == [3]uint64{6, 6, 6}
	})
	before := counts()
	if n, err := c.FinishRollUps(t.Context()); n != 0 || err != nil || counts() != before {
		t.Errorf("%d keys, %v; from %v to %v messages", n, err, before, counts())
	}
	if e, err := kv.Get(t.Context(), "above"); err != nil || string(e.Value()) != "4" {
		t.Errorf("%v, %v", e, err)
	}
}
