package kvclient_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"kvgateway/internal/bound"
	"kvgateway/internal/kv"
	"kvgateway/internal/kvclient"
	"kvgateway/internal/natstest"
)

// A scan's consumer does not outlive it, since consumers count against the stream's limit.
func TestScansLeaveNoConsumer(t *testing.T) {
	t.Parallel()
	c, s := gateway(t)
	b := shop(t, c, nil)
	put(t, b, "k", "v")
	for range 20 {
		keys(t, b)
		wantHistory(t, b, "k", "put v")
	}
	ctx, cancel := context.WithCancel(t.Context())
	giveUp := func(kv.Entry) error { cancel(); return ctx.Err() }
	if _, err := b.ScanEntries(ctx, nil, giveUp); err == nil {
		t.Error("a scan that was given up has no error")
	}
	stream, err := s.JetStream(t).Stream(t.Context(), "KV_shop")
	if err != nil {
		t.Fatal(err)
	}
	natstest.Eventually(t, soon, "no consumers", func() bool {
		info, err := stream.Info(t.Context())
		return err == nil && info.State.Consumers == 0
	})
}

// scanRig starts a bucket of more keys than the server sends in advance. So what a test does when
// the first entry arrives happens before the server reads the last entries.
func scanRig(t *testing.T) (*kvclient.Bucket, filler, []string) {
	t.Helper()
	c, s := gateway(t)
	b := shop(t, c, memory)
	f, names := newFiller(t, s), numbered("k.", 10_000)
	f.fill(t, names, "first")
	return b, f, names
}

func TestScanEndsWhenItsBucketIsDeleted(t *testing.T) {
	t.Parallel()
	b, f, _ := scanRig(t)
	start := time.Now()
	_, err := scanWith(t, b, nil, func(n int, _ kv.Entry) {
		if n == 1 {
			if err := f.js.DeleteKeyValue(t.Context(), "shop"); err != nil {
				t.Error(err)
			}
		}
	})
	wantError(t, err, kv.ErrBucketNotFound)
	if d := time.Since(start); d > 2*promptly {
		t.Errorf("noticed after %v", d)
	}
}

func TestScansAreBounded(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t, natstest.Options{})
	c := connect(t, kvclient.Options{URL: s.URL(), RequestTimeout: 2 * time.Second})
	b := shop(t, c, nil)
	put(t, b, "k", "v")
	release, inside := make(chan struct{}), make(chan struct{})
	var scans sync.WaitGroup
	for range kvclient.MaxListings {
		scans.Go(func() {
			_, err := b.ScanEntries(t.Context(), nil, func(kv.Entry) error {
				inside <- struct{}{}
				<-release
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	for range kvclient.MaxListings {
		<-inside
	}
	took(t, "one scan too many", 2*time.Second+promptly, func() {
		_, err := b.Keys(t.Context(), nil)
		wantFull(t, err, "listings")
	})
	// Reads of single values do not wait for listings.
	wantValue(t, b, "k", "v", 1)
	close(release)
	scans.Wait()
	if got := keys(t, b); len(got) != 1 {
		t.Errorf("keys %v", got)
	}
}

func TestScanEndsWithItsContext(t *testing.T) {
	t.Parallel()
	b, _, _ := scanRig(t)
	ctx, cancel := context.WithCancel(t.Context())
	start := time.Now()
	_, err := b.ScanEntries(ctx, nil, func(kv.Entry) error { cancel(); return nil })
	if err == nil || time.Since(start) > promptly {
		t.Errorf("after %v: %v", time.Since(start), err)
	}
}

func TestManyListingsAtOnceAreCompleteOrRefused(t *testing.T) {
	t.Parallel()
	b, _, names := scanRig(t)
	inParallel(2*kvclient.MaxListings, func(int) {
		listing, err := b.Keys(t.Context(), nil)
		switch {
		case err == nil:
			wantComplete(t, listing, names, 10_000)
		default:
			wantFull(t, err, "listings")
		}
	})
}

// A listing of a large bucket must not delay requests for single values.
func TestListingsDoNotDelayValues(t *testing.T) {
	t.Parallel()
	b, _, names := scanRig(t)
	var listing atomic.Bool
	listing.Store(true)
	var scans sync.WaitGroup
	scans.Go(func() {
		defer listing.Store(false)
		for range 3 {
			if got := keys(t, b); len(got) != len(names) {
				t.Errorf("%d keys", len(got))
			}
		}
	})
	var slowest time.Duration
	for i := 0; listing.Load(); i++ {
		start := time.Now()
		if _, err := get(t, b, names[i%len(names)]); err != nil {
			t.Fatal(err)
		}
		slowest = max(slowest, time.Since(start))
	}
	scans.Wait()
	if slowest > promptly {
		t.Errorf("a get took %v", slowest)
	}
	t.Logf("slowest get %v", slowest)
}

// Before a listing reads, it waits for room for the entries that it will find.
func TestListingsHaveRoomForWhatTheyFind(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t, natstest.Options{})
	bounds := bound.NewSet()
	c := connect(t, kvclient.Options{URL: s.URL(), Bounds: bounds, RequestTimeout: time.Second})
	b := shop(t, c, nil)
	for _, name := range numbered("k", 100) {
		put(t, b, name, "v")
	}
	put(t, b, "gone", "v")
	if _, err := b.Delete(t.Context(), kvclient.Deletion{Key: key(t, "gone")}); err != nil {
		t.Fatal(err)
	}
	room := bounds.Find("listing-bytes")
	if _, err := b.ScanEntries(t.Context(), nil, func(kv.Entry) error {
		if n := room.Used(); n != 101 {
			return fmt.Errorf("it has room for %d entries", n)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
	var holds [2]bound.Hold
	for i := range holds {
		greedy := fmt.Sprint("greedy", i)
		if err := room.Take(t.Context(), &holds[i], greedy, room.Limit(), nil); err != nil {
			t.Fatal(err)
		}
	}
	_, err := b.Keys(owned(t, "innocent"), nil)
	wantFull(t, err, "listing-bytes")
	holds[0].Release()
	found, err := b.Keys(owned(t, "innocent"), nil)
	if err != nil || len(found.Entries) != 100 || cap(found.Entries) != 101 {
		t.Errorf("%d keys in room for %d: %v", len(found.Entries), cap(found.Entries), err)
	}
	holds[1].Release()
	markers, err := b.Markers(owned(t, "innocent"), nil)
	if err != nil || len(markers.Entries) != 1 || cap(markers.Entries) != 1 {
		t.Errorf("%d markers in room for %d: %v",
			len(markers.Entries), cap(markers.Entries), err)
	}
	// What was found counts as long as the listing is in use, and what was left out does not.
	if n := room.Used(); n != found.Bytes()+markers.Bytes() || markers.Bytes() > 1000 {
		t.Errorf("%d bytes are held for %d and %d", n, found.Bytes(), markers.Bytes())
	}
	found.Release()
	markers.Release()
	if n := room.Used(); n != 0 {
		t.Errorf("%d bytes are held", n)
	}
}
