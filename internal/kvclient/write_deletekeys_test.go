package kvclient_test

import (
	"testing"

	"kvgateway/internal/bound"
	"kvgateway/internal/kv"
	"kvgateway/internal/kvclient"
	"kvgateway/internal/natstest"
)

// A deletion holds room for what it has found in a bound of its own. If there is none, it is
// refused before it deletes anything, and small ones find room beside large ones.
func TestDeletionsNeedRoomForWhatTheyFind(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t, natstest.Options{})
	bounds := bound.NewSet()
	c := connect(t, kvclient.Options{URL: s.URL(), Bounds: bounds})
	b := shop(t, c, nil)
	for _, name := range numbered("k", 10) {
		put(t, b, name, "v")
		put(t, b, "gone-"+name, "v")
		remove(t, b, "gone-"+name, false)
	}
	room, listed := bounds.Find("deletion-bytes"), bounds.Find("listing-bytes")
	take := func(owner string, size int64) *bound.Hold {
		hold := new(bound.Hold)
		if err := room.Take(t.Context(), hold, owner, size, nil); err != nil {
			t.Fatal(err)
		}
		return hold
	}
	deletion := kvclient.MassDeletion{Filters: filters(t, "k000001", "k000002")}
	large := []*bound.Hold{take("greedy", room.Limit()), take("other", room.Limit())}
	if done, err := b.DeleteKeys(owned(t, "innocent"), deletion); err != nil || done.Deleted != 2 {
		t.Errorf("beside large ones %d keys were deleted: %v", done.Deleted, err)
	}
	for room.Used() < room.Limit() {
		large = append(large, take("", 512<<10))
	}
	ctx := owned(t, "innocent")
	deletion.Filters = filters(t, "k000003")
	done, err := b.DeleteKeys(ctx, deletion)
	wantFull(t, err, "deletion-bytes")
	purged, err := b.PurgeMarkers(ctx, nil, 0)
	wantFull(t, err, "deletion-bytes")
	if done.Deleted != 0 || purged.Removed != 0 || listed.Used() != 0 {
		t.Errorf("%d keys were deleted, %d markers removed; listings hold %d bytes",
			done.Deleted, purged.Removed, listed.Used())
	}
	for _, hold := range large {
		hold.Release()
	}
	if purged, err = b.PurgeMarkers(ctx, nil, 0); err != nil || purged.Removed != 12 {
		t.Errorf("%d markers were removed: %v", purged.Removed, err)
	}
	if room.Used() != 0 || listed.Used() != 0 {
		t.Errorf("%d and %d bytes are held", room.Used(), listed.Used())
	}
}

// The names of skipped keys count until they are released; what the deletion has listed counts
// until it is done.
func TestSkippedKeysAreHeldUntilTheyAreReleased(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t, natstest.Options{})
	bounds := bound.NewSet()
	c := connect(t, kvclient.Options{URL: s.URL(), Bounds: bounds})
	b := shop(t, c, nil)
	for _, name := range numbered("k", 100) {
		put(t, b, name, "v")
	}
	busy := kvclient.Write{Key: key(t, "z"), Value: []byte("v")}
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
				_, _ = b.Put(t.Context(), busy)
			}
		}
	}()
	defer func() { close(stop); <-stopped }()
	room := bounds.Find("deletion-bytes")
	natstest.Eventually(t, soon, "a key is skipped", func() bool {
		done, err := b.DeleteKeys(t.Context(), kvclient.MassDeletion{Filters: kv.Filters{}})
		if err != nil {
			t.Fatal(err)
		}
		if n := room.Used(); n != done.Bytes() {
			t.Errorf("%d bytes are held for %d keys that were skipped", n, len(done.Skipped))
		}
		done.Release()
		if n := room.Used(); n != 0 {
			t.Errorf("%d bytes are held", n)
		}
		return len(done.Skipped) > 0
	})
}
