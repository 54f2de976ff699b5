package feed_test

import (
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"

	"kvgateway/internal/feed"
	"kvgateway/internal/natstest"
)

// A lost consumer is not waited for. Here nobody answers the request to delete it, as when the
// node that had it goes down.
func TestLostConsumerDelaysNothing(t *testing.T) {
	t.Parallel()
	nats := natstest.Start(t, natstest.Options{Configure: func(o *server.Options) {
		o.NoAuthUser = "native"
		noDelete := &server.Permissions{
			Publish: &server.SubjectPermission{Deny: []string{"$JS.API.CONSUMER.DELETE.>"}},
		}
		o.Users = []*server.User{
			{Username: "native", Password: "n"},
			{Username: "gateway", Password: "g", Permissions: noDelete},
		}
	}})
	l := newLabAt(t, nats, "nats://gateway:g@"+nats.Addr(), feed.Options{})
	kv := l.bucket(t, jetstream.KeyValueConfig{Bucket: "b", Storage: jetstream.MemoryStorage})
	w := l.watch(t, "b", feed.SubscribeOptions{})
	w.untilKind(feed.Synced)
	l.eachConsumer(t, func(stream jetstream.Stream, name string) error {
		return stream.DeleteConsumer(t.Context(), name)
	})
	put(t, kv, "a", "1")
	began := time.Now()
	w.untilKind(feed.Changed)
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("the change came after %v", took)
	}
}

// A consumer that is alive and delivers nothing is replaced. Here it is paused; one on a replica
// that is behind looks the same.
func TestSilentConsumerIsReplaced(t *testing.T) {
	t.Parallel()
	l := newLab(t, feed.Options{})
	kv := l.bucket(t, jetstream.KeyValueConfig{Bucket: "b", Storage: jetstream.MemoryStorage})
	w := l.watch(t, "b", feed.SubscribeOptions{})
	w.untilKind(feed.Synced)
	for tries := 0; ; tries++ {
		// The consumer is paused again each time: the advisory of the bucket's creation may come
		// only now, and then the feed starts a new source.
		l.eachConsumer(t, func(stream jetstream.Stream, name string) error {
			_, err := stream.PauseConsumer(t.Context(), name, time.Now().Add(time.Hour))
			return err
		})
		last := put(t, kv, "a", "1")
		told := w.until("the change, or that the source is lost", func(e feed.Event) bool {
			return e.Kind == feed.Stale || e.Kind == feed.Changed && e.Change.Revision == last
		})
		if told.Kind == feed.Stale {
			break
		}
		if tries == 10 { // changes that were on their way may have come
			t.Fatal("the consumer is not paused")
		}
	}
	w.untilKind(feed.Changed)
}

// eachConsumer does something to every consumer of the bucket b.
func (l *lab) eachConsumer(t *testing.T, do func(stream jetstream.Stream, name string) error) {
	t.Helper()
	stream, err := l.js.Stream(t.Context(), "KV_b")
	if err != nil {
		t.Fatal(err)
	}
	for name := range stream.ConsumerNames(t.Context()).Name() {
		err := do(stream, name)
		if err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) { // it may go at any time
			t.Fatal(err)
		}
	}
}
