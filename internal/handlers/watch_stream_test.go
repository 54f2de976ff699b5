package handlers

import (
	"bytes"
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"kvgateway/internal/feed"
	"kvgateway/internal/kvclient"
	"kvgateway/internal/natstest"
	"kvgateway/internal/sse"
)

// A stream that has more to say at once is woken for what comes meanwhile as well, and gets one turn for both: a loop gave it that, and
// what had come waited for the next heartbeat.
func TestATurnTellsWhatCameSinceTheLast(t *testing.T) {
	const patience = 20 * time.Second
	server := natstest.Start(t, natstest.Options{})
	client, err := kvclient.Connect(kvclient.Options{URL: server.URL(), Name: "test", Logger: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	hub := feed.NewHub(client, feed.Options{Logger: zerolog.Nop()})
	t.Cleanup(func() {
		hub.Close()
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		client.Close(ctx)
	})
	kv, err := server.JetStream(t).CreateKeyValue(t.Context(), jetstream.KeyValueConfig{Bucket: "b"})
	if err != nil {
		t.Fatal(err)
	}
	name, _ := kvclient.ParseBucketName("b")
	woken := make(chan struct{}, 1)
	subscription, err := hub.Subscribe(t.Context(), name, feed.SubscribeOptions{UpdatesOnly: true}, feed.Token(woken))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(subscription.Close)
	follower := &streamFollower{request: &watchRequest{one: true}, subscriptions: []followed{{Subscription: subscription, encoder: sse.Encoder{Bucket: name}}}}
	stored := uint64(0)
	store := func(key string, size int) {
		t.Helper()
		if _, err := kv.Put(t.Context(), key, make([]byte, size)); err != nil {
			t.Fatal(err)
		}
		stored++
		natstest.Eventually(t, patience, "the feed has it", func() bool { return hub.Stats().Changes.Load() == stored })
	}
	for range pollEvents { // all of which a poll takes, and a turn does not send
		store("early", sse.FlushAt/pollEvents)
	}
	var sent []byte
	next := sse.NextAtOnce
	for turns := 0; next == sse.NextAtOnce; turns++ {
		var out []byte
		if out, next = follower.Next(nil); turns == 0 {
			if next != sse.NextAtOnce || follower.told == len(*follower.events) {
				t.Fatal("one turn was enough for all")
			}
			<-woken
			store("late", 1)
			select {
			case <-woken: // with the turn that is due this is one
			case <-time.After(patience):
				t.Fatal("the stream was not woken")
			}
		}
		sent = append(sent, out...)
	}
	if n := bytes.Count(sent, []byte(`"late"`)); n != 1 {
		t.Errorf("what came between two turns was told %d times", n)
	}
}
