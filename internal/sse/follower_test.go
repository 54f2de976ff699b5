package sse

import (
	"bytes"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"kvgateway/internal/feed"
	"kvgateway/internal/feed/feedtest"
	"kvgateway/internal/kv"
	"kvgateway/internal/kvclient"
	"kvgateway/internal/natstest"
	"kvgateway/internal/sse/stream"
)

// A stream that has more to send is also woken by changes that come meanwhile. Both reasons lead to
// one turn of its loop, which must send the changes as well. They once waited for the next
// heartbeat.
func TestATurnTellsWhatCameSinceTheLast(t *testing.T) {
	const patience = 20 * time.Second
	server := natstest.Start(t, natstest.Options{})
	_, hub := feedtest.Start(t, kvclient.Options{URL: server.URL()}, feed.Options{})
	native, err := server.JetStream(t).
		CreateKeyValue(t.Context(), jetstream.KeyValueConfig{Bucket: "b"})
	if err != nil {
		t.Fatal(err)
	}
	name, _ := kv.ParseBucketName("b")
	woken := make(chan struct{}, 1)
	subscription, err := hub.Subscribe(t.Context(), name, feed.SubscribeOptions{UpdatesOnly: true},
		feed.WakeByToken(woken))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(subscription.Close)
	follower := NewFollower(FollowOptions{OneBucket: true})
	follower.Add(Followed{Subscription: subscription})
	stored := uint64(0)
	store := func(key string, size int) {
		t.Helper()
		if _, err := native.Put(t.Context(), key, make([]byte, size)); err != nil {
			t.Fatal(err)
		}
		stored++
		natstest.Eventually(t, patience, "the feed has it", func() bool {
			return hub.Stats().Changes.Load() == stored
		})
	}
	// A poll takes all of these, and a turn does not send all of them.
	for range pollEvents {
		store("early", stream.FlushAt/pollEvents)
	}
	var sent []byte
	when := stream.AtOnce
	for turns := 0; when == stream.AtOnce; turns++ {
		var out []byte
		if out, when = follower.Next(nil); turns == 0 {
			if when != stream.AtOnce || follower.sentEvents == len(*follower.events) {
				t.Fatal("one turn was enough for all")
			}
			<-woken
			store("late", 1)
			select {
			// Together with the turn that is due anyway this is one turn.
			case <-woken:
			case <-time.After(patience):
				t.Fatal("the stream was not woken")
			}
		}
		sent = append(sent, out...)
	}
	if n := bytes.Count(sent, []byte(`"late"`)); n != 1 {
		t.Errorf("what came between two turns was sent %d times", n)
	}
}
