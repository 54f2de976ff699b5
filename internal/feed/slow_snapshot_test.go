package feed_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"

	"kvgateway/internal/feed"
	"kvgateway/internal/natstest"
)

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
