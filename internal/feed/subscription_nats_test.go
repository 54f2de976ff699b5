package feed_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"kvgateway/internal/bound"
	"kvgateway/internal/feed"
	"kvgateway/internal/kv"
)

func TestFiltersOfOneClientAreBounded(t *testing.T) {
	t.Parallel()
	l := newLab(t, feed.Options{})
	l.bucket(t, jetstream.KeyValueConfig{Bucket: "b"})
	name := bucketName(t, "b")
	deep := "*" + strings.Repeat(".a", 30)
	options := feed.SubscribeOptions{UpdatesOnly: true}
	for i := range 16 {
		options.Filters = append(options.Filters, filters(t, deep+strings.Repeat("x", i))...)
	}
	subscribe := func(owner string) (*feed.Subscription, error) {
		return l.hub.Subscribe(bound.WithOwner(t.Context(), owner), name, options, func() {})
	}
	var open []*feed.Subscription
	for {
		s, err := subscribe("attacker")
		if full, ok := errors.AsType[*bound.FullError](err); ok && full.OfOwner {
			break
		}
		if err != nil || len(open) > 1000 {
			t.Fatalf("%d streams with deep filters, then %v", len(open), err)
		}
		open = append(open, s)
	}
	innocent, err := subscribe("innocent")
	if err != nil {
		t.Fatalf("another client, beside %d streams: %v", len(open), err)
	}
	innocent.Close()
	for _, s := range slices.Backward(open) {
		s.Close()
	}
	s, err := subscribe("attacker")
	if err != nil {
		t.Fatalf("after all have closed theirs: %v", err)
	}
	s.Close()
}

func TestSnapshotIsFollowedByLiveChanges(t *testing.T) {
	t.Parallel()
	l := newLab(t, feed.Options{})
	native := l.bucket(t, jetstream.KeyValueConfig{Bucket: "b", History: 3})
	put(t, native, "a.1", "x")
	put(t, native, "b.1", "x")
	put(t, native, "a.1", "y")
	w := l.watch(t, "b", feed.SubscribeOptions{Filters: filters(t, "a.*")})
	sync := w.untilKind(feed.Synced)
	if sync.Keys != 1 || !sync.Exact || sync.Point.Revision != 3 {
		t.Errorf("synced %+v", sync)
	}
	w.wantState(map[string]string{"a.1": "y"})
	put(t, native, "b.2", "z")
	last := put(t, native, "a.2", "z")
	w.untilRevision(last)
	if err := native.Delete(t.Context(), "a.1"); err != nil {
		t.Fatal(err)
	}
	w.untilExact(last + 1)
	w.wantState(map[string]string{"a.2": "z"})
}

// A subscription that the log has left behind reads on from the store, also where the store
// forgets markers at their time.
func TestSubscriptionBehindTheLogReadsFromTheStore(t *testing.T) {
	t.Parallel()
	for name, config := range map[string]jetstream.KeyValueConfig{
		"overwritten":      {Bucket: "b"},
		"history":          {Bucket: "b", History: 2},
		"limit_marker_ttl": {Bucket: "b", LimitMarkerTTL: time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t, feed.Options{LogChanges: 10})
			testBehindTheLog(t, l, l.bucket(t, config))
		})
	}
}

func testBehindTheLog(t *testing.T, l *lab, native jetstream.KeyValue) {
	put(t, native, "a", "1")
	w := l.watch(t, "b", feed.SubscribeOptions{})
	w.untilKind(feed.Synced)
	want := map[string]string{"a": "1"}
	var last kv.Revision
	for i := range 500 {
		k := fmt.Sprintf("k%d", i%100)
		last = put(t, native, k, fmt.Sprint(i))
		want[k] = fmt.Sprint(i)
	}
	w.untilRevision(last)
	w.untilExact(last)
	w.wantState(want)
	l.hub.Stats().EachReset(func(reason string, n uint64) {
		if n > 0 {
			t.Errorf("reset for %s", reason)
		}
	})
}
