package feed_test

import (
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"kvgateway/internal/feed"
	"kvgateway/internal/natstest"
)

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

// A marker with a time to live of its own can be gone before the feed comes to read it, though the
// source was never lost.
func TestMarkerThatExpiresUnreadIsAReset(t *testing.T) {
	for name, between := range map[string]int{"at the end": 0, "behind a batch": 600} {
		for _, behind := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, something behind it %v", name, behind), func(t *testing.T) {
				t.Parallel()
				server := natstest.Start(t, natstest.Options{})
				proxy := natstest.StartProxy(t, server.Addr())
				l := newLabAt(t, server, proxy.URL(), feed.Options{})
				config := jetstream.KeyValueConfig{Bucket: "b", LimitMarkerTTL: time.Second}
				native := l.bucket(t, config)
				put(t, native, "a", "1")
				w := l.watch(t, "b", feed.SubscribeOptions{})
				w.untilExact(1)
				w.awaitOldTally()
				want := map[string]string{"x": "1"}
				w.untilRevision(put(t, native, "x", "1"))
				proxy.Pause()
				for i := range between {
					key := "k" + strconv.Itoa(i)
					if _, err := l.js.PublishAsync("$KV.b."+key, []byte("x")); err != nil {
						t.Fatal(err)
					}
					want[key] = "x"
				}
				<-l.js.PublishAsyncComplete()
				err := native.Purge(t.Context(), "a", jetstream.PurgeTTL(time.Second))
				if err != nil {
					t.Fatal(err)
				}
				if behind {
					put(t, native, "y", "1")
					want["y"] = "1"
				}
				natstest.Eventually(t, patience, "the marker has expired", func() bool {
					status, err := native.Status(t.Context())
					return err == nil && status.Values() == uint64(len(want))
				})
				proxy.Resume()
				w.untilHolds(want)
			})
		}
	}
}

// A connection that stands still for a second is not lost. What was stored meanwhile comes late,
// but what hides a marker that has vanished by then may come in time.
func TestMarkerThatExpiresDuringAStallIsNoticed(t *testing.T) {
	t.Parallel()
	server := natstest.Start(t, natstest.Options{})
	proxy := natstest.StartProxy(t, server.Addr())
	l := newLabAt(t, server, proxy.URL(), feed.Options{})
	kv := l.bucket(t, jetstream.KeyValueConfig{
		Bucket: "b", History: 1, LimitMarkerTTL: time.Second,
	})
	put(t, kv, "k", "v")
	w := l.watch(t, "b", feed.SubscribeOptions{})
	w.untilKind(feed.Synced)
	w.untilExact(put(t, kv, "start", "v"))
	proxy.Pause()
	for i := range 4 { // more than the server sends a quiet tail ahead
		put(t, kv, fmt.Sprint("x", i), strings.Repeat("x", 10<<10))
	}
	if err := kv.Purge(t.Context(), "k", jetstream.PurgeTTL(time.Second)); err != nil {
		t.Fatal(err)
	}
	s, err := l.js.Stream(t.Context(), "KV_b")
	if err != nil {
		t.Fatal(err)
	}
	natstest.Eventually(t, patience, "the end of the marker", func() bool {
		_, err := s.GetLastMsgForSubject(t.Context(), "$KV.b.k")
		return errors.Is(err, jetstream.ErrMsgNotFound)
	})
	put(t, kv, "y", "v")
	proxy.Resume()
	natstest.Eventually(t, patience, "the bucket's state", func() bool {
		w.pollAll()
		_, exact, _, _ := w.Bookmark()
		return exact && reflect.DeepEqual(w.unexpired(), storedIn(t, kv))
	})
}
