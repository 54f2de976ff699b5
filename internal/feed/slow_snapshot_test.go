package feed_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"kvgateway/internal/feed"
	"kvgateway/internal/natstest"
)

// Snapshots that nobody reads keep no place that others wait for.
func TestSlowSnapshotsDelayNobody(t *testing.T) {
	t.Parallel()
	l := start(t, feed.Options{})
	kv := l.bucket(t, jetstream.KeyValueConfig{Bucket: "b"})
	for i := range 30 {
		put(t, kv, fmt.Sprintf("big.k%d", i), strings.Repeat("x", 64<<10))
	}
	put(t, kv, "small", "v")
	for i := range 36 { // more than may wait for their followers
		l.watch(t, "b", feed.SubscribeOptions{Filters: filters(t, "big.>", fmt.Sprintf("none.k%d", i))})
	}
	began := time.Now()
	l.watch(t, "b", feed.SubscribeOptions{Filters: filters(t, "small")}).untilKind(feed.Synced)
	if took := time.Since(began); took > 4*time.Second { // the first of them would be waited for for 5 s
		t.Errorf("a snapshot took %v behind others that nobody reads", took)
	}
	slow := l.watch(t, "b", feed.SubscribeOptions{Filters: filters(t, "big.>", "late")})
	natstest.Eventually(t, patience, "all readings have ended", func() bool { return l.hub.Stats().Snapshots.Load() >= 38 })
	slow.untilKind(feed.Synced)
	if len(slow.state) != 30 {
		t.Errorf("the slow one has %d of 30 keys", len(slow.state))
	}
}
