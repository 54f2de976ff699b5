package feed

import (
	"testing"
	"time"

	"kvgateway/internal/kv"
	"kvgateway/internal/kvclient"
)

// This file has what the tests of decisions share, which need no server.

// feedAt returns a feed whose source has started and found the stream in that state. It has no hub
// with a client, so that only decisions can be made.
func feedAt(s kvclient.StreamState) *Feed {
	f := newFeed(newHub(Options{}.withDefaults()), bucketB)
	f.source.startAt(nil, s)
	return f
}

// bucketB is the name of the bucket of such feeds.
var bucketB, _ = kv.ParseBucketName("b")

// streamAt is a stream with revisions up to last, of which so many are gone.
func streamAt(last kv.Revision, gone uint64) kvclient.StreamState {
	return kvclient.StreamState{Epoch: "a", First: 1, Last: last, Messages: uint64(last) - gone}
}

// entry is a message of the stream "a".
func entry(key string, r kv.Revision, o kv.Operation) kv.Entry {
	position := kv.Position{Epoch: "a", Revision: r}
	return kv.Entry{Key: key, Operation: o, Position: position}
}

// entryStored is a message of the stream "a", stored so many seconds after the beginning.
func entryStored(key string, r kv.Revision, second int64) kv.Entry {
	e := entry(key, r, kv.Put)
	e.Created = time.Unix(second, 0)
	e.Check = kv.CheckOf(e.Created)
	return e
}

// subscriptionOf returns a subscription with these filters, and without a feed.
func subscriptionOf(t testing.TB, patterns ...string) *Subscription {
	t.Helper()
	filters, err := kv.ParseFilters(patterns)
	if err != nil {
		t.Fatal(err)
	}
	return &Subscription{options: SubscribeOptions{Filters: filters}, wake: func() {}}
}

// where returns the position, and whether it is exact.
func (f *Feed) where() (kv.Revision, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	revision := f.journal.Revision
	return revision, f.journal.exact.holds(revision, revision)
}
