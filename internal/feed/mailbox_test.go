package feed

import (
	"context"
	"maps"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"kvgateway/internal/kv"
	"kvgateway/internal/kvclient"
	"kvgateway/internal/natstest"
)

// However many advisories come while the feed is busy, those of purges that change nothing are no
// reset, and that of a purge which does is not lost.
func TestStormOfAdvisoriesIsNoPurge(t *testing.T) {
	const many = 3 * 256 // more than a mailbox takes
	name, _ := kv.ParseBucketName("b")
	newBusy := func() *Feed {
		f := newFeed(newHub(Options{}.withDefaults()), name)
		f.source.startAt(nil, kvclient.StreamState{Epoch: "a"})
		f.source.deliver([]kv.Entry{
			entry("deleted", 1, kv.Delete), entry("value", 2, kv.Put),
		})
		for range many {
			f.source.postAdvisory(kvclient.Advisory{Kind: kvclient.StreamUpdated})
			f.source.postAdvisory(kvclient.Advisory{
				Kind: kvclient.StreamPurged, Key: "deleted", Purged: 1,
			})
		}
		return f
	}
	listen := func(f *Feed) {
		for range 2 * many {
			<-f.source.mail.arrived
			a, told := f.source.mail.pop()
			if told {
				_ = f.source.handleAdvisory(a)
			}
			if len(f.source.mail.waiting) == 0 {
				return
			}
		}
	}
	f := newBusy()
	listen(f)
	reset, harmless := f.source.audit.dueReset, f.journal.harmlessPurges.keys
	if reset != "" || harmless != many || !f.source.audit.configUpdated {
		t.Errorf("reset for %q, %d of %d purges were harmless, updated %v",
			reset, harmless, many, f.source.audit.configUpdated)
	}
	f = newBusy()
	f.source.postAdvisory(kvclient.Advisory{Kind: kvclient.StreamPurged, Key: "value", Purged: 1})
	if listen(f); f.source.audit.dueReset != ReasonPurged {
		t.Errorf("reset for %q after the purge of a value", f.source.audit.dueReset)
	}
}

// A purge whose advisory found no room in the client is found out all the same, though the source
// goes on and a new message makes up for the one that is gone.
func TestPurgeWhoseAdvisoryWasDroppedIsAReset(t *testing.T) {
	t.Parallel()
	// This has room for the audit of what the test itself asks, however slow the machine is.
	const advisoryBytes = 32 << 10
	server := natstest.Start(t, natstest.Options{})
	client, err := kvclient.Connect(kvclient.Options{
		URL: server.URL(), AdvisoryBytes: advisoryBytes,
	})
	if err != nil {
		t.Fatal(err)
	}
	hub := NewHub(client, Options{})
	t.Cleanup(func() { hub.Close(); client.Close(context.Background()) })
	busy, release := make(chan struct{}), make(chan struct{})
	missed := make(chan struct{}, 100)
	client.Observe(func(a kvclient.Advisory) {
		switch {
		case a.Kind == kvclient.StreamPurged && a.Key == "deleted":
			close(busy)
			<-release // the client looks at no other advisory meanwhile
		case a.Kind == kvclient.AdvisoriesMissed:
			missed <- struct{}{}
		}
		hub.routeAdvisory(a)
	})
	natstest.Eventually(t, 10*time.Second, "the client is ready", func() bool {
		return client.Ready(t.Context()) == nil
	})
	js := server.JetStream(t)
	native, err := js.CreateKeyValue(t.Context(), jetstream.KeyValueConfig{Bucket: "b", History: 5})
	if err != nil {
		t.Fatal(err)
	}
	put := func(key string) {
		if _, err := native.PutString(t.Context(), key, "v"); err != nil {
			t.Fatal(err)
		}
	}
	put("a")
	put("b")
	put("deleted")
	if err := native.Delete(t.Context(), "deleted"); err != nil {
		t.Fatal(err)
	}
	name, _ := kv.ParseBucketName("b")
	s, err := hub.Subscribe(t.Context(), name, SubscribeOptions{}, func() {})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	state := make(map[string]bool)
	holds := func(keys ...string) func() bool {
		want := make(map[string]bool)
		for _, key := range keys {
			want[key] = true
		}
		return func() bool {
			events, _ := s.Poll(nil, 100)
			for _, e := range events {
				switch {
				case e.Kind == Reset:
					clear(state)
				case e.Kind == Changed && e.Change.IsMarker():
					delete(state, e.Change.Key)
				case e.Kind == Changed:
					state[e.Change.Key] = true
				}
			}
			_, exact, _, _ := s.Bookmark()
			return exact && maps.Equal(state, want)
		}
	}
	natstest.Eventually(t, 10*time.Second, "the snapshot", holds("a", "b"))
	// A marker that comes live is known to the feed, so that its purge is harmless.
	put("deleted")
	if err := native.Delete(t.Context(), "deleted"); err != nil {
		t.Fatal(err)
	}
	natstest.Eventually(t, 10*time.Second, "the marker", func() bool {
		s.feed.mu.Lock()
		defer s.feed.mu.Unlock()
		return s.feed.journal.markers["deleted"] > 0
	})
	purge := func(key string) {
		stream, err := js.Stream(t.Context(), "KV_b")
		if err != nil {
			t.Fatal(err)
		}
		if err := stream.Purge(t.Context(), jetstream.WithPurgeSubject("$KV.b."+key)); err != nil {
			t.Fatal(err)
		}
	}
	purge("deleted")
	<-busy
	natstest.Eventually(t, 10*time.Second, "too many advisories", func() bool {
		_, err := native.Status(t.Context())
		return err == nil && len(missed) > 0
	})
	purge("a") // its advisory is dropped
	put("c")
	close(release)
	natstest.Eventually(t, 20*time.Second, "what is there", holds("b", "c"))
}
