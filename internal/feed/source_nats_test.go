package feed_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"

	"kvgateway/internal/feed"
	"kvgateway/internal/feed/feedtest"
	"kvgateway/internal/kvclient"
	"kvgateway/internal/natstest"
)

func TestSourceComesBackAfterALoss(t *testing.T) {
	t.Parallel()
	l := newLab(t, feed.Options{})
	native := l.bucket(t, jetstream.KeyValueConfig{Bucket: "b", History: 5})
	put(t, native, "a", "1")
	w := l.watch(t, "b", feed.SubscribeOptions{})
	w.untilKind(feed.Synced)
	w.untilExact(1)
	l.server.Stop()
	w.untilKind(feed.Stale)
	l.server.Restart()
	w.untilKind(feed.Live)
	natstest.Eventually(t, patience, "a put", func() bool {
		_, err := native.PutString(t.Context(), "a", "2")
		return err == nil
	})
	w.untilExact(2)
	w.wantState(map[string]string{"a": "2"})
}

// A watch of a replicated bucket survives changes of the leader and restarts of nodes, the one
// with the consumer among them: what is folded is the bucket's state, and revisions rise strictly
// between resets.
func TestWatchSurvivesLeaderChanges(t *testing.T) {
	if testing.Short() {
		t.Skip("starts three servers")
	}
	t.Parallel()
	nodes := natstest.StartCluster(t)
	client, hub := feedtest.Start(t, kvclient.Options{URL: nodes.URL()}, feed.Options{})
	l := &lab{client: client, hub: hub, js: nodes.JetStream(t)}
	var kv jetstream.KeyValue
	natstest.Eventually(t, patience, "a replicated bucket", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		config := jetstream.KeyValueConfig{Bucket: "b", Replicas: 3, History: 5}
		var err error
		kv, err = l.js.CreateKeyValue(ctx, config)
		return err == nil
	})
	written := 0
	write := func() {
		t.Helper()
		key := fmt.Sprint("k", written%7)
		natstest.Eventually(t, patience, "a write", func() bool {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if written%5 == 4 {
				return kv.Delete(ctx, key) == nil
			}
			_, err := kv.PutString(ctx, key, fmt.Sprint("v", written))
			return err == nil
		})
		written++
	}
	write()
	w := l.watch(t, "b", feed.SubscribeOptions{})
	w.untilKind(feed.Synced)
	upset := map[string]func(){
		"the leader steps down": func() {
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			const stepDown = "$JS.API.STREAM.LEADER.STEPDOWN.KV_b"
			if _, err := nodes.Conn(t).RequestWithContext(ctx, stepDown, nil); err != nil {
				t.Errorf("step down: %v", err)
			}
		},
		"the leader's node restarts": func() {
			i := nodes.StreamLeader(l.js, "KV_b")
			nodes.StopNode(i)
			write()
			nodes.StartNode(i)
		},
	}
	for round := range 4 {
		for name, do := range upset {
			do()
			for range 10 {
				write()
			}
			agree(t, w, kv, fmt.Sprintf("round %d, after %s", round, name))
		}
	}
}

// agree waits until a watcher's state is the bucket's.
func agree(t *testing.T, w *watcher, kv jetstream.KeyValue, when string) {
	t.Helper()
	var diff string
	deadline := time.Now().Add(patience)
	for {
		events, _ := w.Poll(nil, 100)
		for _, e := range events {
			w.fold(e)
		}
		if diff = cmp.Diff(stateOf(t, kv), w.state); diff == "" && w.staged == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: the bucket's state and what was folded (-want +got)\n%s", when, diff)
		}
		select {
		case <-w.wake:
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// stateOf reads every key that the test writes.
func stateOf(t *testing.T, kv jetstream.KeyValue) map[string]string {
	t.Helper()
	state := make(map[string]string)
	for i := range 7 {
		key := fmt.Sprint("k", i)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		e, err := kv.Get(ctx, key)
		cancel()
		if err == nil {
			state[key] = string(e.Value())
		}
	}
	return state
}

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
