package kvclient_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"kvgateway/internal/kv"
	"kvgateway/internal/natstest"
)

// numbered returns n names in order: prefix000000, prefix000001 and so on.
func numbered(prefix string, n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf("%s%06d", prefix, i)
	}
	return list
}

// patiently is an option to wait if the server is slow, before the next value is sent.
var patiently = jetstream.WithStallWait(time.Minute)

// A filler stores many values natively, without waiting for each acknowledgement.
type filler struct {
	js jetstream.JetStream
}

func newFiller(t testing.TB, s *natstest.Server) filler {
	t.Helper()
	js, err := jetstream.New(s.Conn(t), jetstream.WithPublishAsyncMaxPending(2000))
	if err != nil {
		t.Fatal(err)
	}
	return filler{js}
}

// fill stores this value under each of the keys of the bucket "shop", and waits until all are
// stored.
func (f filler) fill(t testing.TB, keys []string, value string) {
	t.Helper()
	for _, k := range keys {
		if _, err := f.js.PublishAsync("$KV.shop."+k, []byte(value), patiently); err != nil {
			t.Fatal(err)
		}
	}
	f.await(t)
}

// await waits until all that was sent is acknowledged.
func (f filler) await(t testing.TB) {
	t.Helper()
	select {
	case <-f.js.PublishAsyncComplete():
	case <-time.After(time.Minute):
		t.Fatal("values are not stored within a minute")
	}
}

// remove stores a delete marker for each of the keys.
func (f filler) remove(t testing.TB, keys []string) {
	t.Helper()
	for _, k := range keys {
		msg := nats.NewMsg("$KV.shop." + k)
		msg.Header.Set("KV-Operation", "DEL")
		if _, err := f.js.PublishMsgAsync(msg, patiently); err != nil {
			t.Fatal(err)
		}
	}
	f.await(t)
}

func memory(c *kv.BucketConfig) { c.Storage = kv.MemoryStorage }
