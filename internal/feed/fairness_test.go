package feed_test

import (
	"fmt"
	"strings"
	"testing"

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
