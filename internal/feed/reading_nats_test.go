package feed_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"

	"kvgateway/internal/bound"
	"kvgateway/internal/feed"
	"kvgateway/internal/natstest"
)

// crowd is how many streams one client opens.
const crowd = 200

// crowded starts a lab that reads one snapshot at a time, and opens streams of one client. Each of
// them needs a snapshot of its own, which takes a while to read.
func crowded(t *testing.T) (*lab, []*watcher) {
	t.Helper()
	l := newLab(t, feed.Options{Snapshots: 1})
	kv := l.bucket(t, jetstream.KeyValueConfig{Bucket: "b"})
	l.bucket(t, jetstream.KeyValueConfig{Bucket: "other"})
	for i := range 50 {
		put(t, kv, fmt.Sprint("big.", i), strings.Repeat("x", 16<<10))
	}
	put(t, kv, "small", "v")
	var streams []*watcher
	for i := range crowd {
		streams = append(streams, l.watchAs(t, "attacker", "b",
			feed.SubscribeOptions{Filters: filters(t, "big.>", fmt.Sprint("none.", i))}))
	}
	return l, streams
}

// watchAs subscribes as the client owner.
func (l *lab) watchAs(t *testing.T, owner, bucket string, options feed.SubscribeOptions) *watcher {
	t.Helper()
	w := newWatcher(t)
	var err error
	w.Subscription, err = l.hub.Subscribe(bound.WithOwner(t.Context(), owner),
		bucketName(t, bucket), options, feed.WakeByToken(w.wake))
	if err != nil {
		t.Fatalf("subscribe: %v", err)
	}
	t.Cleanup(w.Close)
	return w
}

func TestAbandonedReadingsAreDropped(t *testing.T) {
	t.Parallel()
	l, streams := crowded(t)
	for _, s := range streams {
		s.Close()
	}
	small := feed.SubscribeOptions{Filters: filters(t, "small")}
	l.watchAs(t, "attacker", "b", small).untilKind(feed.Synced)
	if read := l.hub.Stats().Snapshots.Load(); read > crowd/2 {
		t.Errorf("%d snapshots were read for %d streams that were closed", read, crowd)
	}
	natstest.Eventually(t, patience, "nothing is read for streams that are closed", func() bool {
		return l.hub.Reading() == 0
	})
}

func TestSnapshotsOfOneClientDelayNoOther(t *testing.T) {
	t.Parallel()
	for _, innocent := range []struct{ name, owner, bucket string }{
		{"the same bucket", "innocent", "b"},
		{"the same client's stream of another bucket", "attacker", "other"},
	} {
		t.Run(innocent.name, func(t *testing.T) {
			t.Parallel()
			l, _ := crowded(t)
			small := feed.SubscribeOptions{Filters: filters(t, "small")}
			w := l.watchAs(t, innocent.owner, innocent.bucket, small)
			w.untilKind(feed.Synced)
			if read := l.hub.Stats().Snapshots.Load(); read > crowd/2 {
				t.Errorf("%d of %d snapshots were read before this one", read, crowd)
			}
		})
	}
}

// A snapshot that several clients wait for is read in the turns of the one with the fewest others.
// A client that asks for what another one has asked for before does not wait behind everything else
// that the other has asked for.
func TestSharedSnapshotIsReadInTheShortestLine(t *testing.T) {
	t.Parallel()
	l, _ := crowded(t)
	small := feed.SubscribeOptions{Filters: filters(t, "small")}
	l.watchAs(t, "attacker", "b", small)
	l.watchAs(t, "innocent", "b", small).untilKind(feed.Synced)
	if read := l.hub.Stats().Snapshots.Load(); read > crowd/2 {
		t.Errorf("%d of %d snapshots of another client were read before", read, crowd)
	}
}

// Snapshots that nobody polls keep no place that others wait for.
func TestSlowSnapshotsDelayNobody(t *testing.T) {
	t.Parallel()
	l := newLab(t, feed.Options{})
	kv := l.bucket(t, jetstream.KeyValueConfig{Bucket: "b"})
	for i := range 30 {
		put(t, kv, fmt.Sprintf("big.k%d", i), strings.Repeat("x", 64<<10))
	}
	put(t, kv, "small", "v")
	for i := range 36 { // more than may be open
		big := filters(t, "big.>", fmt.Sprintf("none.k%d", i))
		l.watch(t, "b", feed.SubscribeOptions{Filters: big})
	}
	began := time.Now()
	l.watch(t, "b", feed.SubscribeOptions{Filters: filters(t, "small")}).untilKind(feed.Synced)
	if took := time.Since(began); took > 4*time.Second { // cursorPatience is 5 s
		t.Errorf("a snapshot took %v behind others that nobody polls", took)
	}
	slow := l.watch(t, "b", feed.SubscribeOptions{Filters: filters(t, "big.>", "late")})
	natstest.Eventually(t, patience, "all readings have ended", func() bool {
		return l.hub.Stats().Snapshots.Load() >= 38
	})
	slow.untilKind(feed.Synced)
	if len(slow.state) != 30 {
		t.Errorf("the slow one has %d of 30 keys", len(slow.state))
	}
}

// A value that is larger than a cursor may be behind is read like others. If it cut cursors off,
// it would be read for them again and again.
func TestValueBeyondTheStraggleCutsNobodyOff(t *testing.T) {
	t.Parallel()
	server := natstest.Start(t, natstest.Options{
		Configure: func(o *server.Options) { o.MaxPayload = 8 << 20 },
	})
	l := newLabAt(t, server, server.URL(), feed.Options{})
	kv := l.bucket(t, jetstream.KeyValueConfig{Bucket: "b", Storage: jetstream.MemoryStorage})
	value := make([]byte, 4<<20)
	for _, key := range []string{"a", "b", "c"} {
		if _, err := kv.Put(t.Context(), key, value); err != nil {
			t.Fatal(err)
		}
	}
	w := l.watch(t, "b", feed.SubscribeOptions{})
	if synced := w.untilKind(feed.Synced); synced.Keys != 3 {
		t.Errorf("%d keys", synced.Keys)
	}
}

// Values that are larger than what a reading may be ahead come one after the other, and not each
// after a timeout.
func TestLargeValuesAreReadWithoutTimeouts(t *testing.T) {
	t.Parallel()
	for _, history := range []uint8{1, 5} {
		l := newLab(t, feed.Options{})
		native := l.bucket(t, jetstream.KeyValueConfig{Bucket: "b", History: history})
		for i := range 5 {
			put(t, native, fmt.Sprintf("k%d", i), strings.Repeat("x", 900_000))
		}
		w := l.watch(t, "b", feed.SubscribeOptions{})
		w.untilKind(feed.Synced)
		if n := l.hub.Stats().Snapshots.Load(); n != 1 || len(w.state) != 5 {
			t.Errorf("history %d: %d keys after %d readings, want 5 after one", history,
				len(w.state), n)
		}
	}
}

// A client that stops in the middle of a snapshot keeps nobody else from theirs, however few are
// read at once.
func TestStoppedReadersHoldNoPlace(t *testing.T) {
	t.Parallel()
	l := newLab(t, feed.Options{Snapshots: 1})
	native := l.bucket(t, jetstream.KeyValueConfig{Bucket: "b"})
	for i := range 10 {
		put(t, native, fmt.Sprintf("large.%d", i), strings.Repeat("x", 900_000))
	}
	put(t, native, "small", "1")
	stopped := l.watch(t, "b", feed.SubscribeOptions{Filters: filters(t, "large.*")})
	natstest.Eventually(t, patience, "the first entry of the snapshot", func() bool {
		events, _ := stopped.Poll(nil, 1)
		return len(events) > 0
	})
	l.watch(t, "b", feed.SubscribeOptions{Filters: filters(t, "small")}).untilKind(feed.Synced)
	if n := l.hub.Stats().Snapshots.Load(); n != 1 {
		t.Errorf("%d readings had ended when the second snapshot was there, want only its own", n)
	}
}
