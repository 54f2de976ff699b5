package feed_test

import (
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"

	"kvgateway/internal/feed"
	"kvgateway/internal/kv"
	"kvgateway/internal/natstest"
)

// If nothing was ever removed the stream's counts prove it, however often the connection is cut
// and however busy the writers are.
func TestLossWhereNothingWasRemovedIsNoReset(t *testing.T) {
	t.Parallel()
	server := natstest.Start(t, natstest.Options{})
	proxy := natstest.StartProxy(t, server.Addr())
	l := newLabAt(t, server, proxy.URL(), feed.Options{})
	native := l.bucket(t, jetstream.KeyValueConfig{Bucket: "b", History: 64})
	put(t, native, "k", "0")
	w := l.watch(t, "b", feed.SubscribeOptions{})
	w.untilExact(1)
	var stop atomic.Bool
	written := make(chan kv.Revision)
	go func() {
		var last kv.Revision
		for n := 0; !stop.Load(); n++ {
			last = put(t, native, fmt.Sprintf("k%d", n/50), fmt.Sprint(n)) // no key is at its limit
		}
		written <- last
	}()
	const cuts = 8
	for range cuts {
		proxy.Cut()
		w.untilKind(feed.Stale)
		w.untilKind(feed.Live)
		w.pollFor(100 * time.Millisecond)
	}
	stop.Store(true)
	last := <-written
	w.untilExact(last)
	w.untilStored(native)
	l.hub.Stats().EachReset(func(reason string, n uint64) {
		if n > 0 {
			t.Errorf("%d resets for %s", n, reason)
		}
	})
}

// newDeafLab is newLab for a hub whose identity may not hear advisories.
func newDeafLab(t *testing.T, options feed.Options) *lab {
	t.Helper()
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
	return newLabAt(t, s, "nats://gateway:g@"+s.Addr(), options)
}

// Where the identity may not hear advisories, the counts show a purge: no write takes a key away.
func TestPurgeWithoutAdvisoriesIsAReset(t *testing.T) {
	t.Parallel()
	l := newDeafLab(t, feed.Options{})
	native, w := l.beginAB(t)
	l.purgeKey(t, "a")
	put(t, native, "b", "3")
	w.untilHolds(map[string]string{"b": "3"})
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
