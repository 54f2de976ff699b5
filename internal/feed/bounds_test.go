package feed_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"kvgateway/internal/bound"
	"kvgateway/internal/feed"
	"kvgateway/internal/kv"
)

func bucketName(t *testing.T, s string) kv.BucketName {
	t.Helper()
	name, err := kv.ParseBucketName(s)
	if err != nil {
		t.Fatal(err)
	}
	return name
}

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
