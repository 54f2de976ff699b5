package feed_test

import (
	"fmt"
	"net/url"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"

	"kvgateway/internal/feed"
	"kvgateway/internal/kvclient"
	"kvgateway/internal/natstest"
)

// Each of these tests removes something, most of them in such a way that nobody reports it to the
// feed. The feed may find out late, and then by a reset, but it must find out.

func TestPurgeOfAValueIsAReset(t *testing.T) {
	t.Parallel()
	l := newLab(t, feed.Options{})
	native := l.bucket(t, jetstream.KeyValueConfig{Bucket: "b"})
	put(t, native, "a", "1")
	put(t, native, "b", "1")
	w := l.watch(t, "b", feed.SubscribeOptions{})
	w.untilKind(feed.Synced)
	if err := native.Delete(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	w.untilRevision(3)
	if err := native.PurgeDeletes(t.Context(), jetstream.DeleteMarkersOlderThan(-1)); err != nil {
		t.Fatal(err)
	}
	last := put(t, native, "c", "1")
	w.untilRevision(last)
	for _, e := range w.told {
		if e.Kind == feed.Reset {
			t.Error("reset after the purge of a delivered marker")
		}
	}
	l.purgeKey(t, "b")
	if e := w.untilKind(feed.Reset); e.Reason != feed.ReasonPurged {
		t.Errorf("reset for %s", e.Reason)
	}
	w.untilKind(feed.Synced)
	w.wantState(map[string]string{"c": "1"})
}

// A stream that another tool made may allow the deletion of single messages. It is found out
// although new messages make up for them in number.
func TestMessageDeleteIsAReset(t *testing.T) {
	t.Parallel()
	l := newLab(t, feed.Options{})
	stream, native := l.bucketOnStream(t, jetstream.StreamConfig{
		Name: "KV_b", Subjects: []string{"$KV.b.>"}, MaxMsgsPerSubject: 5,
		AllowDirect: true, AllowRollup: true, Discard: jetstream.DiscardNew,
	})
	put(t, native, "a", "1")
	put(t, native, "b", "2")
	w := l.watch(t, "b", feed.SubscribeOptions{})
	w.untilExact(2)
	if err := stream.DeleteMsg(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	put(t, native, "c", "3")
	if e := w.untilKind(feed.Reset); e.Reason != feed.ReasonPurged {
		t.Errorf("reset for %s", e.Reason)
	}
	w.untilHolds(map[string]string{"b": "2", "c": "3"})
}

// On a new connection the server may hear of the subscriptions to advisories after it has answered
// the first question on another connection.
func TestPurgeBeforeTheSubscriptionsAreThereIsAReset(t *testing.T) {
	t.Parallel()
	server := natstest.Start(t, natstest.Options{})
	proxy := natstest.StartProxy(t, server.Addr())
	l := newLabAt(t, server, proxy.URL(), feed.Options{})
	native, w := l.beginAB(t)
	proxy.Hold("SUB $JS.EVENT.ADVISORY.API", func() {
		timer := time.NewTimer(300 * time.Millisecond) // by then the question has been answered
		<-timer.C
		l.purgeKey(t, "a")
	})
	proxy.Cut()
	put(t, native, "c", "3")
	w.untilHolds(map[string]string{"b": "2", "c": "3"})
}

// What lies between the gateway's server and the stream's can be lost, and advisories with it,
// while all connections of the gateway stand.
func TestPurgeBehindALeafNodeIsAReset(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for 10 s until the loss is noticed")
	}
	t.Parallel()
	port := natstest.FreePort(t)
	hub := natstest.Start(t, natstest.Options{
		Domain: "hub",
		Configure: func(o *server.Options) {
			o.LeafNode.Host, o.LeafNode.Port = "127.0.0.1", port
		},
	})
	proxy := natstest.StartProxy(t, fmt.Sprintf("127.0.0.1:%d", port))
	remote, err := url.Parse(proxy.URL())
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: -1, NoSigs: true, NoLog: true,
		LeafNode: server.LeafNodeOpts{
			ReconnectInterval: 100 * time.Millisecond,
			Remotes:           []*server.RemoteLeafOpts{{URLs: []*url.URL{remote}}},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	go leaf.Start()
	t.Cleanup(leaf.Shutdown)
	linked := func(want int) func() bool {
		return func() bool {
			return leaf.NumLeafNodes() == want && hub.NATS().NumLeafNodes() == want
		}
	}
	natstest.Eventually(t, patience, "the leaf node is linked", linked(1))
	behind := kvclient.Options{URL: leaf.ClientURL(), JSDomain: "hub"}
	l := newLabWith(t, hub, behind, feed.Options{})
	native, w := l.beginAB(t)
	proxy.Refuse(true)
	proxy.Cut()
	natstest.Eventually(t, patience, "the leaf node is alone", linked(0))
	l.purgeKey(t, "a")
	put(t, native, "c", "3")
	proxy.Refuse(false)
	w.untilHolds(map[string]string{"b": "2", "c": "3"})
}

// A marker that was stored and purged while the connection was lost is never read. The feed knows
// of the loss by the end of its source; the report of it comes another way and may come late, or
// as here not at all.
func TestMarkerPurgedWhileTheConnectionWasLostIsAReset(t *testing.T) {
	t.Parallel()
	server := natstest.Start(t, natstest.Options{})
	proxy := natstest.StartProxy(t, server.Addr())
	l := newLabAt(t, server, proxy.URL(), feed.Options{})
	kv := l.bucket(t, jetstream.KeyValueConfig{Bucket: "b"})
	put(t, kv, "a", "1")
	w := l.watch(t, "b", feed.SubscribeOptions{})
	w.untilExact(put(t, kv, "b", "2"))
	l.client.Observe(func(kvclient.Advisory) {})
	proxy.Cut()
	if err := kv.Delete(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	if err := kv.PurgeDeletes(t.Context(), jetstream.DeleteMarkersOlderThan(-1)); err != nil {
		t.Fatal(err)
	}
	w.untilExact(put(t, kv, "c", "3"))
	w.wantState(map[string]string{"b": "2", "c": "3"})
}

// A connection can die alone and unnoticed. The other connections then show that something was
// purged, but not what, and that must not be taken for a purge that was reported before.
func TestPurgeBehindADeadConnectionIsAReset(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for 15 s until the loss is noticed")
	}
	t.Parallel()
	server := natstest.Start(t, natstest.Options{})
	proxy := natstest.StartProxy(t, server.Addr())
	l := newLabAt(t, server, proxy.URL(), feed.Options{})
	kv := l.bucket(t, jetstream.KeyValueConfig{Bucket: "b", History: 5})
	put(t, kv, "a", "1")
	w := l.watch(t, "b", feed.SubscribeOptions{})
	w.untilExact(put(t, kv, "b", "2"))
	proxy.Strand("(feeds)")
	if err := kv.Delete(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	if err := kv.PurgeDeletes(t.Context(), jetstream.DeleteMarkersOlderThan(-1)); err != nil {
		t.Fatal(err)
	}
	w.untilKind(feed.Stale)
	w.untilKind(feed.Live)
	w.untilExact(put(t, kv, "c", "3"))
	w.wantState(map[string]string{"b": "2", "c": "3"})
}
