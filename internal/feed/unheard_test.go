package feed_test

import (
	"fmt"
	"maps"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"kvgateway/internal/feed"
	"kvgateway/internal/kv"
	"kvgateway/internal/kvclient"
	"kvgateway/internal/natstest"
)

// Each of these tests removes something, or takes it back, in such a way that nobody reports it to
// the feed. The feed may find out late, and then by a reset, but it must find out.

// untilHolds waits until that state has been folded, and is called exact.
func (w *watcher) untilHolds(state map[string]string) {
	w.t.Helper()
	defer func() {
		if w.t.Failed() {
			w.t.Logf("folded %.200s, want %.200s; told %.200s",
				fmt.Sprint(w.state), fmt.Sprint(state), describe(w.told))
		}
	}()
	natstest.Eventually(w.t, patience, "the right state, called exact", func() bool {
		events, _ := w.Poll(nil, 1000)
		for _, e := range events {
			w.fold(e)
			w.told = append(w.told, e)
		}
		_, exact, ok := w.Bookmark()
		return ok && exact && maps.Equal(w.state, state)
	})
}

// awaitOldTally waits until a tally of the feed is old enough to be used.
func (w *watcher) awaitOldTally() {
	w.t.Helper()
	natstest.Holds(w.t, 1500*time.Millisecond, "nothing is told", func() bool {
		events, _ := w.Poll(nil, 100)
		return len(events) == 0
	})
}

// bucketOnStream makes the bucket b on a stream of that configuration.
func (l *lab) bucketOnStream(t *testing.T, config jetstream.StreamConfig) (
	jetstream.Stream, jetstream.KeyValue,
) {
	t.Helper()
	stream, err := l.js.CreateStream(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	native, err := l.js.KeyValue(t.Context(), "b")
	if err != nil {
		t.Fatal(err)
	}
	return stream, native
}

// purgeKey removes a key's messages, as other tools do.
func (l *lab) purgeKey(t *testing.T, key string) {
	t.Helper()
	stream, err := l.js.Stream(t.Context(), "KV_b")
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Purge(t.Context(), jetstream.WithPurgeSubject("$KV.b."+key)); err != nil {
		t.Fatal(err)
	}
}

// beginAB returns a bucket in which a and b have values, and a watcher that has folded them.
func (l *lab) beginAB(t *testing.T) (jetstream.KeyValue, *watcher) {
	t.Helper()
	native := l.bucket(t, jetstream.KeyValueConfig{Bucket: "b", History: 5})
	put(t, native, "a", "1")
	w := l.watch(t, "b", feed.SubscribeOptions{})
	w.untilExact(put(t, native, "b", "2"))
	w.awaitOldTally()
	return native, w
}

// What lies between the gateway's server and the stream's can be lost, and advisories with it,
// while all connections of the gateway stand.
func TestPurgeBehindALeafNodeIsAReset(t *testing.T) {
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

// A server that lost its last messages in a crash gives their revisions to others. If those are as
// many, or more, the stream adds up; with a history of 1 the message that would show it may be
// gone.
func TestHistoryThatIsWrittenAnewIsAReset(t *testing.T) {
	type write struct{ key, value string }
	for name, tc := range map[string]struct {
		history uint8
		lost    write
		then    []write
		become  map[string]string
	}{
		"the anchor is another message": {
			5, write{"c", "3"}, []write{{"d", "4"}, {"e", "5"}},
			map[string]string{"a": "1", "d": "4", "e": "5"},
		},
		"the anchor is gone": {
			1, write{"a", "2"}, []write{{"d", "3"}, {"d", "4"}},
			map[string]string{"a": "1", "d": "4"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, before := t.TempDir(), filepath.Join(t.TempDir(), "before")
			s := natstest.Start(t, natstest.Options{
				Configure: func(o *server.Options) { o.StoreDir = dir },
			})
			proxy := natstest.StartProxy(t, s.Addr())
			l := newLabAt(t, s, proxy.URL(), feed.Options{})
			native := l.bucket(t, jetstream.KeyValueConfig{Bucket: "b", History: tc.history})
			put(t, native, "a", "1")
			s.Stop()
			if err := os.CopyFS(before, os.DirFS(dir)); err != nil {
				t.Fatal(err)
			}
			s.Restart()
			putSoon := func(w write) {
				natstest.Eventually(t, patience, "a put", func() bool {
					_, err := native.PutString(t.Context(), w.key, w.value)
					return err == nil
				})
			}
			natstest.Eventually(t, patience, "the client is ready", func() bool {
				return l.client.Ready(t.Context()) == nil
			})
			w := l.watch(t, "b", feed.SubscribeOptions{})
			putSoon(tc.lost)
			w.untilExact(2)
			w.awaitOldTally()
			proxy.Refuse(true)
			s.Stop()
			if err := os.RemoveAll(filepath.Join(dir, "jetstream")); err != nil {
				t.Fatal(err)
			}
			if err := os.CopyFS(dir, os.DirFS(before)); err != nil {
				t.Fatal(err)
			}
			s.Restart()
			for _, w := range tc.then {
				putSoon(w)
			}
			proxy.Refuse(false)
			w.untilHolds(tc.become)
		})
	}
}

// A message that is no valid entry does not keep a feed from its bucket.
func TestBrokenMessageKeepsNoFeedAway(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t, natstest.Options{})
	proxy := natstest.StartProxy(t, s.Addr())
	l := newLabAt(t, s, proxy.URL(), feed.Options{})
	native, w := l.beginAB(t)
	c, err := net.Dial("tcp", s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	const header = "NATS/1.0\r\nno colon\r\n\r\n"
	_, err = fmt.Fprintf(c, "CONNECT {\"verbose\":false,\"headers\":true}\r\n"+
		"HPUB $KV.b.x %d %d\r\n%sv\r\n", len(header), len(header)+1, header)
	if err != nil {
		t.Fatal(err)
	}
	w.untilHolds(map[string]string{"a": "1", "b": "2", "x": "v"})
	proxy.Cut()
	put(t, native, "c", "3")
	w.untilHolds(map[string]string{"a": "1", "b": "2", "c": "3", "x": "v"})
}

// A message can take all others with it, and no advisory reports that.
func TestRollupOfAllIsAReset(t *testing.T) {
	for _, ttl := range []time.Duration{0, time.Hour} {
		t.Run(ttl.String(), func(t *testing.T) {
			t.Parallel()
			l := newLab(t, feed.Options{})
			native := l.bucket(t, jetstream.KeyValueConfig{Bucket: "b", TTL: ttl})
			put(t, native, "a", "1")
			w := l.watch(t, "b", feed.SubscribeOptions{})
			w.untilExact(put(t, native, "b", "2"))
			rollup := &nats.Msg{
				Subject: "$KV.b.c", Data: []byte("3"), Header: nats.Header{"Nats-Rollup": {"all"}},
			}
			if _, err := l.js.PublishMsg(t.Context(), rollup); err != nil {
				t.Fatal(err)
			}
			w.untilHolds(map[string]string{"c": "3"})
		})
	}
}

// What does not change what anybody holds is no reset: messages of other subjects, as a stream
// with sources has them, in a bucket whose entries expire, and another length of the history.
func TestChangesThatConcernNobodyAreNoReset(t *testing.T) {
	t.Parallel()
	l := newLab(t, feed.Options{})
	source := jetstream.StreamConfig{Name: "S", Subjects: []string{"other.>"}}
	if _, err := l.js.CreateStream(t.Context(), source); err != nil {
		t.Fatal(err)
	}
	config := jetstream.StreamConfig{
		Name: "KV_b", Subjects: []string{"$KV.b.>"}, MaxMsgsPerSubject: 2, MaxAge: time.Hour,
		Discard: jetstream.DiscardNew, AllowDirect: true, AllowRollup: true,
		Sources: []*jetstream.StreamSource{{Name: "S"}},
	}
	stream, native := l.bucketOnStream(t, config)
	put(t, native, "a", "1")
	w := l.watch(t, "b", feed.SubscribeOptions{})
	w.untilExact(put(t, native, "a", "2"))
	for last := uint64(3); last < 8; last++ {
		if _, err := l.js.Publish(t.Context(), "other.x", nil); err != nil {
			t.Fatal(err)
		}
		natstest.Eventually(t, patience, "the message of the source", func() bool {
			info, err := stream.Info(t.Context())
			return err == nil && info.State.LastSeq == last
		})
		w.untilExact(kv.Revision(last))
	}
	l.watch(t, "b", feed.SubscribeOptions{}).untilHolds(map[string]string{"a": "2"})
	config.MaxMsgsPerSubject = 1
	if _, err := l.js.UpdateStream(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	natstest.Holds(t, 2*time.Second, "nothing is told", func() bool {
		events, _ := w.Poll(nil, 100)
		return len(events) == 0
	})
	w.untilHolds(map[string]string{"a": "2"})
	l.hub.Stats().EachReset(func(reason string, n uint64) {
		if n > 0 {
			t.Errorf("%d resets for %s", n, reason)
		}
	})
}

// Where the identity may not hear advisories, the counts show a purge: no write takes a key away.
func TestPurgeWithoutAdvisoriesIsAReset(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t, natstest.Options{Configure: func(o *server.Options) {
		o.NoAuthUser = "native"
		noAdvisories := &server.Permissions{
			Subscribe: &server.SubjectPermission{Deny: []string{"$JS.EVENT.>"}},
		}
		o.Users = []*server.User{
			{Username: "native", Password: "n"},
			{Username: "gateway", Password: "g", Permissions: noAdvisories},
		}
	}})
	l := newLabAt(t, s, "nats://gateway:g@"+s.Addr(), feed.Options{})
	native, w := l.beginAB(t)
	l.purgeKey(t, "a")
	put(t, native, "b", "3")
	w.untilHolds(map[string]string{"b": "3"})
}

// A stream that discards its oldest messages, as buckets of old clients do, tells nobody which
// ones: no position is called exact.
func TestStreamThatDiscardsTheOldestIsNeverExact(t *testing.T) {
	t.Parallel()
	l := newLab(t, feed.Options{})
	_, native := l.bucketOnStream(t, jetstream.StreamConfig{
		Name: "KV_b", Subjects: []string{"$KV.b.>"}, MaxMsgsPerSubject: 1,
		MaxMsgs: 2, Discard: jetstream.DiscardOld, AllowDirect: true, AllowRollup: true,
	})
	put(t, native, "a", "1")
	w := l.watch(t, "b", feed.SubscribeOptions{})
	put(t, native, "b", "2")
	w.untilRevision(put(t, native, "c", "3"))
	natstest.Holds(t, time.Second, "nothing is exact", func() bool {
		_, exact, _ := w.Bookmark()
		return !exact
	})
}
