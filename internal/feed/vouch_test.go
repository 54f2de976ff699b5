package feed_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"kvgateway/internal/feed"
	"kvgateway/internal/natstest"
)

// A backup that is restored undoes a purge. The stream is then whole, as if nothing had ever been
// removed from it; but a client that was told of the purge lacks what is there again.
func TestIDFromAfterAPurgeThatABackupUndoesIsReset(t *testing.T) {
	t.Parallel()
	l := newLab(t, feed.Options{})
	kv := l.bucket(t, jetstream.KeyValueConfig{Bucket: "b", History: 5})
	put(t, kv, "x", "v")
	put(t, kv, "a", "v")
	last := put(t, kv, "z", "v")
	saved := l.server.Save()

	other := newLabAt(t, l.server, l.server.URL(), feed.Options{})
	w := other.watch(t, "b", feed.SubscribeOptions{})
	w.untilKind(feed.Synced)
	s, err := l.js.Stream(t.Context(), "KV_b")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Purge(t.Context(), jetstream.WithPurgeSubject("$KV.b.x")); err != nil {
		t.Fatal(err)
	}
	stamp := w.untilKind(feed.Reset).Stamp
	w.untilKind(feed.Synced)
	point := w.untilExact(last)
	w.wantState(map[string]string{"a": "v", "z": "v"})

	l.server.Restore(saved)
	g := newLabAt(t, l.server, l.server.URL(), feed.Options{})
	r := g.watch(t, "b", feed.SubscribeOptions{Resume: &point, Stamp: stamp})
	first := r.until("news", func(e feed.Event) bool {
		return e.Kind != feed.Live && e.Kind != feed.Stale
	})
	if first.Kind != feed.Reset {
		t.Fatalf("first told kind %d, want a reset", first.Kind)
	}
	r.untilKind(feed.Synced)
	r.wantState(map[string]string{"x": "v", "a": "v", "z": "v"})
}

// A value with an end of its own took the place of another, and has vanished without a marker
// since. A replay from the store does not have it, so a client that resumes from before it is
// reset.
func TestReplayPastAnEntryThatEndedUntoldIsReset(t *testing.T) {
	t.Parallel()
	l := newLab(t, feed.Options{LogChanges: 8})
	_, kv := l.bucketOnStream(t, jetstream.StreamConfig{
		Name:              "KV_b",
		Subjects:          []string{"$KV.b.>"},
		MaxMsgsPerSubject: 1,
		Discard:           jetstream.DiscardNew,
		AllowRollup:       true,
		AllowDirect:       true,
		AllowMsgTTL:       true,
	})
	put(t, kv, "k", "old")
	other := l.watch(t, "b", feed.SubscribeOptions{Filters: filters(t, "other")})
	other.untilKind(feed.Synced) // it keeps the feed
	w := l.watch(t, "b", feed.SubscribeOptions{})
	w.untilKind(feed.Synced)
	point := w.untilExact(put(t, kv, "later", "v"))
	w.wantState(map[string]string{"k": "old", "later": "v"})
	stamp := w.Stamp()
	w.Close()

	l.putTTL(t, "k", "short", "1s")
	for i := range 20 { // so that the log has moved on
		put(t, kv, fmt.Sprint("x", i), "v")
	}
	natstest.Eventually(t, patience, "the end of a value", func() bool {
		_, err := kv.Get(t.Context(), "k")
		return errors.Is(err, jetstream.ErrKeyNotFound)
	})
	r := l.watch(t, "b", feed.SubscribeOptions{Resume: &point, Stamp: stamp})
	r.state = map[string]string{"k": "old", "later": "v"}
	r.untilKind(feed.Synced)
	if _, held := r.state["k"]; held {
		t.Errorf("%s is held, and the bucket does not have it", r.state["k"])
	}
}

// A stream can be told to discard its oldest messages and, before anybody asks, not to. The counts
// do not show what is gone by then if new keys make up for it.
func TestDiscardForAMomentIsAReset(t *testing.T) {
	t.Parallel()
	l := newLab(t, feed.Options{})
	kv := l.bucket(t, jetstream.KeyValueConfig{Bucket: "b", History: 1})
	for i := range 5 {
		put(t, kv, fmt.Sprint("old", i), "v")
	}
	w := l.watch(t, "b", feed.SubscribeOptions{})
	w.untilKind(feed.Synced)
	s, err := l.js.Stream(t.Context(), "KV_b")
	if err != nil {
		t.Fatal(err)
	}
	before := s.CachedInfo().Config
	narrow := before
	narrow.Discard, narrow.MaxMsgs = jetstream.DiscardOld, 2
	nc := l.server.Conn(t)
	answers, err := nc.SubscribeSync(nc.NewInbox())
	if err != nil {
		t.Fatal(err)
	}
	for _, config := range []jetstream.StreamConfig{narrow, before} {
		body, _ := json.Marshal(config)
		err := nc.PublishRequest("$JS.API.STREAM.UPDATE.KV_b", answers.Subject, body)
		if err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		answer, err := answers.NextMsg(patience)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(answer.Data), `"error"`) {
			t.Fatalf("update: %s", answer.Data)
		}
	}
	for i := range 5 {
		put(t, kv, fmt.Sprint("new", i), "v")
	}
	w.untilKind(feed.Reset)
	natstest.Eventually(t, patience, "the bucket's state", func() bool {
		w.takeAll()
		return reflect.DeepEqual(w.unexpired(), storedIn(t, kv))
	})
}

// A schedule removes its own message when it has run for the last time, and no advisory reports it.
func TestBucketWithSchedulesIsNeverExact(t *testing.T) {
	t.Parallel()
	l := newLab(t, feed.Options{})
	_, kv := l.bucketOnStream(t, jetstream.StreamConfig{
		Name:              "KV_b",
		Subjects:          []string{"$KV.b.>"},
		MaxMsgsPerSubject: 1,
		Discard:           jetstream.DiscardOld,
		AllowRollup:       true,
		AllowDirect:       true,
		AllowMsgSchedules: true,
	})
	put(t, kv, "k", "v")
	w := l.watch(t, "b", feed.SubscribeOptions{})
	if sync := w.untilKind(feed.Synced); sync.Exact {
		t.Error("exact, though a schedule may remove an entry and nothing reports it")
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
		w.takeAll()
		_, exact, _ := w.Bookmark()
		return exact && reflect.DeepEqual(w.unexpired(), storedIn(t, kv))
	})
}
