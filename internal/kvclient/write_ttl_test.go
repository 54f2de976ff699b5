package kvclient_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"kvgateway/internal/kv"
	"kvgateway/internal/kvclient"
	"kvgateway/internal/natstest"
)

// When a value on a replicated stream expires, the key's older values do not come back.
func TestClusterExpiryRevealsNothingOlder(t *testing.T) {
	_, c, b, _ := cluster(t)
	update(t, c, `{"limit_marker_ttl":"1s"}`)
	for i := range 20 {
		k := fmt.Sprint("k", i)
		put(t, b, k, "older")
		put(t, b, k, "old")
		_, err := bind(t, c, "shop").Put(t.Context(), kvclient.Write{
			Key: key(t, k), Value: []byte("new"), TTL: time.Second,
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for i := range 20 {
		natstest.Eventually(t, soon, "the key is gone", func() bool {
			e, err := get(t, bind(t, c, "shop"), fmt.Sprint("k", i))
			if err == nil && string(e.Value) != "new" {
				t.Fatalf("%s is back", e.Value)
			}
			return errors.Is(err, kv.ErrKeyNotFound)
		})
	}
}

// The gateway and native clients understand each other's times to live.
func TestTimeToLiveAgreesWithNativeClients(t *testing.T) {
	t.Parallel()
	c, s := gateway(t)
	native := natstest.CreateBucket(t, s.JetStream(t), jetstream.KeyValueConfig{
		Bucket: "shop", History: 5, LimitMarkerTTL: time.Second,
	})
	b := bind(t, c, "shop")
	_, err := native.Create(t.Context(), "native", []byte(`{"n":1}`), jetstream.KeyTTL(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	before, err := get(t, b, "native")
	if err != nil || before.Expires.IsZero() {
		t.Fatalf("%+v, %v", before, err)
	}
	_, err = b.Patch(t.Context(), kvclient.Patch{
		Key: key(t, "native"), Format: kvclient.MergePatch, Body: []byte(`{"n":2}`),
	})
	if err != nil {
		t.Fatal(err)
	}
	after, err := get(t, b, "native")
	if early := before.Expires.Sub(after.Expires); err != nil || early < 0 || early > time.Second {
		t.Errorf("expires %s, after a patch %s (%v)", before.Expires, after.Expires, err)
	}
	_, err = b.Put(t.Context(), kvclient.Write{
		Key: key(t, "ours"), Value: []byte("v"), TTL: time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	w, err := native.Watch(t.Context(), "ours")
	if err != nil {
		t.Fatal(err)
	}
	defer w.Stop()
	for e := range w.Updates() {
		if e != nil && e.Operation() == jetstream.KeyValuePurge {
			break
		}
	}
	_, err = native.Update(t.Context(), "native", []byte("plain"), uint64(after.Revision))
	if err != nil {
		t.Fatal(err)
	}
	if e, err := get(t, b, "native"); err != nil || !e.Expires.IsZero() {
		t.Errorf("%+v, %v", e, err)
	}
}

// The time to live "never" exempts an entry from that of the bucket, and a patch keeps it.
func TestPatchKeepsTimeToLiveNever(t *testing.T) {
	t.Parallel()
	c, s := gateway(t)
	natstest.CreateBucket(t, s.JetStream(t), jetstream.KeyValueConfig{
		Bucket: "shop", History: 5, TTL: time.Hour, LimitMarkerTTL: time.Second,
	})
	b := bind(t, c, "shop")
	msg := &nats.Msg{
		Subject: "$KV.shop.k",
		Data:    []byte(`{"n":1}`),
		Header:  nats.Header{"Nats-TTL": {"never"}},
	}
	if _, err := s.JetStream(t).PublishMsg(t.Context(), msg); err != nil {
		t.Fatal(err)
	}
	_, err := b.Patch(t.Context(), kvclient.Patch{
		Key: key(t, "k"), Format: kvclient.MergePatch, Body: []byte(`{"n":2}`),
	})
	if err != nil {
		t.Fatal(err)
	}
	if e, err := get(t, b, "k"); err != nil || !e.Expires.IsZero() || string(e.Value) != `{"n":2}` {
		t.Errorf("%+v, %v", e, err)
	}
}
