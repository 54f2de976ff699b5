package feed_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"

	"kvgateway/internal/bound"
	"kvgateway/internal/feed"
	"kvgateway/internal/kv"
	"kvgateway/internal/natstest"
)

// feedsWithSource waits until exactly so many feeds have a source.
func (l *lab) feedsWithSource(t *testing.T, want int) {
	t.Helper()
	natstest.Eventually(t, patience, fmt.Sprint(want, " feeds have a source"), func() bool {
		feeds, _ := l.hub.Size()
		return feeds == want
	})
}

// usedOf returns how much is held of a bound.
func usedOf(set *bound.Set, name string) int64 { return set.Find(name).Used() }

func TestMissingBucketHasNoFeed(t *testing.T) {
	t.Parallel()
	set := bound.NewSet()
	l := newLab(t, feed.Options{Bounds: set})
	for i := range 20 {
		name := bucketName(t, fmt.Sprint("none-", i))
		_, err := l.hub.Subscribe(t.Context(), name, feed.SubscribeOptions{}, func() {})
		if !errors.Is(err, kv.ErrBucketNotFound) {
			t.Fatalf("a bucket that does not exist: %v", err)
		}
	}
	l.feedsWithSource(t, 0)
	natstest.Eventually(t, patience, "no feed lingers", func() bool {
		return usedOf(set, "feeds") == 0
	})

	var streams []*watcher
	for i := range 20 {
		w := l.watch(t, fmt.Sprint("b", i), feed.SubscribeOptions{UnknownPoint: true})
		w.untilKind(feed.BucketDeleted)
		streams = append(streams, w)
	}
	l.feedsWithSource(t, 0)
	native := l.bucket(t, jetstream.KeyValueConfig{Bucket: "b7"})
	put(t, native, "a", "1")
	streams[7].untilKind(feed.Reset)
	streams[7].untilHolds(map[string]string{"a": "1"})
	l.feedsWithSource(t, 1)
	for _, w := range streams {
		w.Close()
	}
	natstest.Eventually(t, patience, "only the feed of the one bucket lingers", func() bool {
		return usedOf(set, "feeds") == 1
	})
}

func TestFeedOfADeletedBucketRests(t *testing.T) {
	t.Parallel()
	l := newLab(t, feed.Options{})
	config := jetstream.KeyValueConfig{Bucket: "b", Storage: jetstream.MemoryStorage}
	l.bucket(t, config)
	w := l.watch(t, "b", feed.SubscribeOptions{})
	w.untilKind(feed.Synced)
	for round := range 3 {
		if err := l.js.DeleteKeyValue(t.Context(), "b"); err != nil {
			t.Fatal(err)
		}
		w.untilKind(feed.BucketDeleted)
		l.feedsWithSource(t, 0)
		value := fmt.Sprint(round)
		put(t, l.bucket(t, config), "a", value)
		w.untilKind(feed.Reset)
		w.untilHolds(map[string]string{"a": value})
		l.feedsWithSource(t, 1)
	}
}

// If the identity may not hear advisories, one look at the names of all streams finds the buckets
// that subscriptions wait for, and a new subscription finds its bucket at once.
func TestBucketIsFoundWithoutAdvisories(t *testing.T) {
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
	var waiting []*watcher
	for _, name := range []string{"b", "c", "d"} {
		w := l.watch(t, name, feed.SubscribeOptions{UnknownPoint: true})
		w.untilKind(feed.BucketDeleted)
		waiting = append(waiting, w)
	}
	l.feedsWithSource(t, 0)
	put(t, l.bucket(t, jetstream.KeyValueConfig{Bucket: "b"}), "a", "1")
	waiting[0].untilKind(feed.Reset)
	put(t, l.bucket(t, jetstream.KeyValueConfig{Bucket: "c"}), "a", "1")
	l.watch(t, "c", feed.SubscribeOptions{}).untilHolds(map[string]string{"a": "1"})
	waiting[1].untilKind(feed.Reset)
}

func TestFeedsThatNobodyUsesGiveWay(t *testing.T) {
	t.Parallel()
	l := newLab(t, feed.Options{Feeds: 4})
	for i := range 6 {
		l.bucket(t, jetstream.KeyValueConfig{
			Bucket: fmt.Sprint("b", i), Storage: jetstream.MemoryStorage,
		})
	}
	subscribe := func(owner, bucket string) (*feed.Subscription, error) {
		return l.hub.Subscribe(bound.WithOwner(t.Context(), owner), bucketName(t, bucket),
			feed.SubscribeOptions{UpdatesOnly: true}, func() {})
	}
	open := func(owner, bucket string) *feed.Subscription {
		t.Helper()
		s, err := subscribe(owner, bucket)
		if err != nil {
			t.Fatalf("%s of %s: %v", bucket, owner, err)
		}
		return s
	}
	refused := func(owner, bucket string, ofOwner bool) {
		t.Helper()
		_, err := subscribe(owner, bucket)
		if full, ok := errors.AsType[*bound.FullError](err); !ok || full.OfOwner != ofOwner {
			t.Fatalf("%s of %s: %v", bucket, owner, err)
		}
	}
	first, second := open("a", "b0"), open("a", "b1")
	refused("a", "b2", true)
	open("a", "b0").Close() // a bucket that is watched already takes no place
	third, fourth := open("b", "b2"), open("b", "b3")
	refused("c", "b4", false)
	first.Close()
	fifth := open("c", "b4") // takes the place of b0, which lingers
	refused("c", "b5", false)
	fourth.Close()
	open("a", "b0").Close() // takes the place of b3, which was another client's
	for _, s := range []*feed.Subscription{second, third, fifth} {
		s.Close()
	}
}

// Streams that wait for buckets which do not exist take no place of those that do, however many
// clients join in; and the number of such buckets is bounded.
func TestMissingBucketTakesNoPlaceOfAnExistingOne(t *testing.T) {
	t.Parallel()
	set := bound.NewSet()
	l := newLab(t, feed.Options{Bounds: set, Feeds: 2})
	put(t, l.bucket(t, jetstream.KeyValueConfig{Bucket: "there"}), "a", "1")
	waitFor := func(owner, bucket string) (*feed.Subscription, error) {
		ctx := bound.WithOwner(t.Context(), owner)
		options := feed.SubscribeOptions{UnknownPoint: true}
		return l.hub.Subscribe(ctx, bucketName(t, bucket), options, func() {})
	}
	refused := 0
	for i := range 2 * 16 {
		owner := fmt.Sprint("owner ", i%2)
		natstest.Eventually(t, patience, "a place", func() bool {
			return usedOf(set, "feeds") == 0
		})
		s, err := waitFor(owner, fmt.Sprint("missing-", i))
		full, ok := errors.AsType[*bound.FullError](err)
		if ok && full.Bound.Name == "feeds-resting" {
			refused++
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.Close)
	}
	if refused != 16 {
		t.Errorf("%d of 32 were refused, want those beyond eight for each of two places", refused)
	}
	w := l.watch(t, "there", feed.SubscribeOptions{})
	w.untilKind(feed.Synced)
	w.wantState(map[string]string{"a": "1"})
	if resting := usedOf(set, "feeds-resting"); resting != 16 {
		t.Errorf("%d places of those that rest are held, want 16", resting)
	}
	// A bucket that is found takes a place of those that exist.
	put(t, l.bucket(t, jetstream.KeyValueConfig{Bucket: "missing-3"}), "a", "1")
	natstest.Eventually(t, patience, "the bucket is watched", func() bool {
		return usedOf(set, "feeds") == 2 && usedOf(set, "feeds-resting") == 15
	})
}
