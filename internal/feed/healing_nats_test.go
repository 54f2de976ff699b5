package feed_test

import (
	"fmt"
	"maps"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"kvgateway/internal/feed"
	"kvgateway/internal/kv"
	"kvgateway/internal/natstest"
)

// resets returns how many resets there were, by reason.
func (l *lab) resets() string {
	found := make(map[string]uint64)
	l.hub.Stats().EachReset(func(reason string, n uint64) {
		if n > 0 {
			found[reason] = n
		}
	})
	return fmt.Sprint(found)
}

// A purge of a value is told to those who can be told, is a reset for the others that hold the key,
// and concerns nobody else. Who comes back with a point from before it is told again.
func TestPurgeIsToldAsRemoved(t *testing.T) {
	t.Parallel()
	l := newLab(t, withCopies(t))
	native := l.bucket(t, jetstream.KeyValueConfig{Bucket: "b"})
	put(t, native, "a.1", "0")
	at := put(t, native, "a.1", "1")
	last := put(t, native, "b.1", "2")
	toldOptions := feed.SubscribeOptions{Removals: true}
	told := l.watch(t, "b", toldOptions)
	untold := l.watch(t, "b", feed.SubscribeOptions{Filters: filters(t, "a.*")})
	other := l.watch(t, "b", feed.SubscribeOptions{Filters: filters(t, "b.>")})
	before, stamp := told.untilExact(last), told.Stamp()
	untold.untilExact(last)
	other.untilExact(last)
	l.untilCopyEqualsStore(t)

	l.purgeKey(t, "a.1")
	e := told.untilKind(feed.Removed)
	want := []feed.Removal{{Key: "a.1", Revision: at}}
	if fmt.Sprint(e.Removed) != fmt.Sprint(want) {
		t.Errorf("told %v, want %v", e.Removed, want)
	}
	told.untilHolds(map[string]string{"b.1": "2"})
	if e := untold.untilKind(feed.Reset); e.Reason != feed.ReasonPurged {
		t.Errorf("reset for %s", e.Reason)
	}
	untold.untilHolds(map[string]string{})
	other.untilHolds(map[string]string{"b.1": "2"})
	if got := l.resets(); got != "map[purged:1]" {
		t.Errorf("resets: %s", got)
	}
	l.untilCopyEqualsStore(t)

	again := l.watch(t, "b", feed.SubscribeOptions{Removals: true, Resume: &before, Stamp: stamp})
	again.state = map[string]string{"a.1": "1", "b.1": "2"}
	again.untilHolds(map[string]string{"b.1": "2"})
	narrow := l.watch(t, "b", feed.SubscribeOptions{
		Removals: true, Filters: filters(t, "b.>"), Resume: &before, Stamp: stamp,
	})
	narrow.untilExact(last)
	for _, e := range narrow.told {
		if e.Kind == feed.Removed {
			t.Errorf("told %v, which the filters do not select", e.Removed)
		}
	}
	after := put(t, native, "a.1", "3") // the same key again, which nobody takes for the one before
	for _, w := range []*watcher{told, untold, again} {
		w.untilExact(after)
		if w.state["a.1"] != "3" {
			t.Errorf("holds %v", w.state)
		}
	}
	if got := l.resets(); got != "map[purged:1]" {
		t.Errorf("resets: %s", got)
	}
}

// What was purged while the gateway was cut off is found by comparing, with the other keys as they
// were; and a message that was deleted by hand, so that an older value counts again, is a reset.
func TestLossIsHealedByDifference(t *testing.T) {
	t.Parallel()
	server := natstest.Start(t, natstest.Options{})
	proxy := natstest.StartProxy(t, server.Addr())
	l := newLabAt(t, server, proxy.URL(), withCopies(t))
	stream, native := l.bucketOnStream(t, jetstream.StreamConfig{
		Name: "KV_b", Subjects: []string{"$KV.b.>"}, MaxMsgsPerSubject: 2, AllowDirect: true,
		AllowRollup: true, Discard: jetstream.DiscardNew,
	})
	for n := range 30 {
		put(t, native, fmt.Sprint("k.", n%10), fmt.Sprint(n))
	}
	w := l.watch(t, "b", feed.SubscribeOptions{Removals: true})
	w.untilExact(30)
	l.untilCopyEqualsStore(t)
	proxy.Refuse(true)
	proxy.Cut()
	w.untilKind(feed.Stale)
	l.purgeKey(t, "k.3")
	if err := native.Delete(t.Context(), "k.4"); err != nil {
		t.Fatal(err)
	}
	put(t, native, "k.5", "new")
	want := maps.Clone(w.state)
	delete(want, "k.3")
	delete(want, "k.4")
	want["k.5"] = "new"
	proxy.Refuse(false)
	e := w.untilKind(feed.Removed)
	if len(e.Removed) != 1 || e.Removed[0].Key != "k.3" || e.Removed[0].Revision != 24 {
		t.Errorf("told %v", e.Removed)
	}
	w.untilHolds(want)
	if got := l.resets(); got != "map[]" {
		t.Errorf("resets: %s", got)
	}
	l.untilCopyEqualsStore(t)

	if err := stream.DeleteMsg(t.Context(), 27); err != nil { // the last value of k.6
		t.Fatal(err)
	}
	if e := w.untilKind(feed.Reset); e.Reason != feed.ReasonReverted {
		t.Errorf("reset for %s", e.Reason)
	}
	want["k.6"] = "16"
	w.untilHolds(want)
}

// A restart of NATS while one key of a bucket with history 1 is being overwritten resets nobody,
// and sends nothing again. Without a copy of the bucket it would reset everybody.
func TestRestartBesideAWriterIsNoReset(t *testing.T) {
	t.Parallel()
	const keys = 300
	for name, tc := range map[string]struct {
		options feed.Options
		resets  string
		most    int
	}{
		"with a copy":    {withCopies(t), "map[]", 20},
		"without a copy": {feed.Options{}, "map[horizon:1]", 10 * keys},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t, tc.options)
			native := l.bucket(t, jetstream.KeyValueConfig{Bucket: "b"})
			fill(t, native, keys)
			hot := put(t, native, "hot", "0")
			w := l.watch(t, "b", feed.SubscribeOptions{Removals: true})
			w.untilExact(hot)
			if tc.options.Memory > 0 {
				l.untilCopyEqualsStore(t)
			}
			var stop atomic.Bool
			written := make(chan kv.Revision)
			go func() {
				var last kv.Revision
				for n := 1; !stop.Load(); n++ {
					if r, err := native.PutString(t.Context(), "hot", fmt.Sprint(n)); err == nil {
						last = kv.Revision(r)
					}
				}
				written <- last
			}()
			w.pollFor(200 * time.Millisecond)
			w.told = nil
			l.server.Restart()
			w.untilKind(feed.Stale)
			w.untilKind(feed.Live)
			natstest.Eventually(t, patience, "a change after the restart", func() bool {
				w.pollAll()
				return w.last > hot+50
			})
			stop.Store(true)
			w.untilExact(<-written)
			w.untilStored(native)
			if got := l.resets(); got != tc.resets {
				t.Errorf("resets: %s, want %s", got, tc.resets)
			}
			count, bytes := 0, 0
			for _, e := range w.told {
				if e.Kind == feed.Changed && e.Change.Key != "hot" {
					count++
					bytes += len(e.Change.Key) + len(e.Change.Value)
				}
			}
			t.Logf("%d entries with %d bytes were sent again", count, bytes)
			if again := count; again > tc.most || tc.most > keys && again < keys {
				t.Errorf("%d entries were sent again", again)
			}
		})
	}
}

// The server says when the last message was stored also after that is gone, and after a restart. So
// a stream whose last message was removed is the same stream: those who can be told are told.
func TestRemovalOfTheLastMessageIsNoReset(t *testing.T) {
	t.Parallel()
	for name, remove := range map[string]func(*lab, jetstream.Stream) error{
		"purged": func(l *lab, _ jetstream.Stream) error {
			l.purgeKey(t, "c")
			return nil
		},
		"deleted": func(_ *lab, s jetstream.Stream) error { return s.DeleteMsg(t.Context(), 3) },
		"erased": func(_ *lab, s jetstream.Stream) error {
			return s.SecureDeleteMsg(t.Context(), 3)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t, withCopies(t))
			stream, native := l.bucketOnStream(t, jetstream.StreamConfig{
				Name: "KV_b", Subjects: []string{"$KV.b.>"}, MaxMsgsPerSubject: 1,
				AllowDirect: true, AllowRollup: true, Discard: jetstream.DiscardNew,
			})
			for _, key := range []string{"a", "b", "c"} {
				put(t, native, key, "v")
			}
			w := l.watch(t, "b", feed.SubscribeOptions{Removals: true})
			w.untilExact(3)
			l.untilCopyEqualsStore(t)
			if err := remove(l, stream); err != nil {
				t.Fatal(err)
			}
			w.untilHolds(map[string]string{"a": "v", "b": "v"})
			w.untilExact(3)
			l.server.Restart()
			w.untilKind(feed.Stale)
			w.untilKind(feed.Live)
			w.untilExact(3)
			if got := l.resets(); got != "map[]" {
				t.Errorf("resets: %s", got)
			}
		})
	}
}

// An older value that counts again, since the value over it has ended, is found when a loss is
// healed. Nobody was told of it before, so whoever may lack it is reset.
func TestValueThatCountsAgainIsAReset(t *testing.T) {
	t.Parallel()
	l := newLab(t, withCopies(t))
	native := l.bucket(t, jetstream.KeyValueConfig{
		Bucket: "b", History: 3, LimitMarkerTTL: time.Second,
	})
	put(t, native, "a", "v")
	old := put(t, native, "k", "old")
	w := l.watch(t, "b", feed.SubscribeOptions{Removals: true})
	w.untilExact(old)
	l.untilCopyEqualsStore(t)
	l.putTTL(t, "k", "new", "1s")
	w.untilRevision(old + 1)
	natstest.Eventually(t, patience, "the older value counts again", func() bool {
		e, err := native.Get(t.Context(), "k")
		return err == nil && string(e.Value()) == "old"
	})
	l.server.Restart()
	if e := w.untilKind(feed.Reset); e.Reason != feed.ReasonReverted {
		t.Errorf("reset for %s", e.Reason)
	}
	w.untilHolds(map[string]string{"a": "v", "k": "old"})
}

// The markers that a sweep has removed are nothing that a loss could have removed: more of them
// than removals can be told of are no reason for a reset.
func TestSweptMarkersAreNoReset(t *testing.T) {
	t.Parallel()
	const keys = 1500
	options := withCopies(t)
	options.CheckCopies = time.Hour // otherwise the copy finds out that they are gone
	l := newLab(t, options)
	native := l.bucket(t, jetstream.KeyValueConfig{Bucket: "b"})
	for i := range keys {
		put(t, native, fmt.Sprint("k", i), "v")
	}
	last := put(t, native, "a", "v")
	w := l.watch(t, "b", feed.SubscribeOptions{Removals: true})
	w.untilExact(last)
	l.memory(t, "b")
	for key := range maps.Clone(w.state) {
		if key == "a" {
			continue
		}
		if err := native.Delete(t.Context(), key); err != nil {
			t.Fatal(err)
		}
	}
	w.untilExact(last + keys)
	err := native.PurgeDeletes(t.Context(), jetstream.DeleteMarkersOlderThan(-1))
	if err != nil {
		t.Fatal(err)
	}
	l.server.Restart()
	w.untilKind(feed.Stale)
	w.untilKind(feed.Live)
	w.untilExact(last + keys)
	w.wantState(map[string]string{"a": "v"})
	if got := l.resets(); got != "map[]" {
		t.Errorf("resets: %s", got)
	}
}
