package kvclient_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"kvgateway/internal/bound"
	"kvgateway/internal/kv"
	"kvgateway/internal/kvclient"
	"kvgateway/internal/natstest"
)

// scanTime bounds a scan in the tests of this file.
const scanTime = 20 * time.Second

// patiently is an option to wait if the server is slow, before the next value is sent.
var patiently = jetstream.WithStallWait(time.Minute)

// A filler stores many values natively, without waiting for each acknowledgement.
type filler struct {
	js jetstream.JetStream
}

func newFiller(t testing.TB, s *natstest.Server) filler {
	t.Helper()
	js, err := jetstream.New(s.Conn(t), jetstream.WithPublishAsyncMaxPending(2000))
	if err != nil {
		t.Fatal(err)
	}
	return filler{js}
}

// fill stores this value under each of the keys of the bucket "shop", and waits until all are
// stored.
func (f filler) fill(t testing.TB, keys []string, value string) {
	t.Helper()
	for _, k := range keys {
		if _, err := f.js.PublishAsync("$KV.shop."+k, []byte(value), patiently); err != nil {
			t.Fatal(err)
		}
	}
	f.await(t)
}

// await waits until all that was sent is acknowledged.
func (f filler) await(t testing.TB) {
	t.Helper()
	select {
	case <-f.js.PublishAsyncComplete():
	case <-time.After(time.Minute):
		t.Fatal("values are not stored within a minute")
	}
}

// remove stores a delete marker for each of the keys.
func (f filler) remove(t testing.TB, keys []string) {
	t.Helper()
	for _, k := range keys {
		msg := nats.NewMsg("$KV.shop." + k)
		msg.Header.Set("KV-Operation", "DEL")
		if _, err := f.js.PublishMsgAsync(msg, patiently); err != nil {
			t.Fatal(err)
		}
	}
	f.await(t)
}

func memory(c *kv.BucketConfig) { c.Storage = kv.MemoryStorage }

func TestKeys(t *testing.T) {
	t.Parallel()
	c, _ := gateway(t)
	b := shop(t, c, history(3))
	listing, err := b.Keys(t.Context(), nil)
	if err != nil || len(listing.Entries) != 0 || listing.Revision != 0 {
		t.Errorf("empty bucket: %+v, %v", listing, err)
	}
	for _, k := range []string{"b", "a.2", "a.1", "a.1.x", "A", "a/b", "-", "a", "z.9"} {
		put(t, b, k, "1")
		put(t, b, k, "two")
	}
	put(t, b, "deleted", "x")
	remove(t, b, "deleted", false)
	put(t, b, "purged", "x")
	remove(t, b, "purged", true)
	put(t, b, "back", "x")
	remove(t, b, "back", false)
	last := put(t, b, "back", "again")
	for _, tc := range []struct {
		filters []string
		want    []string
	}{
		{nil, []string{"-", "A", "a", "a.1", "a.1.x", "a.2", "a/b", "b", "back", "z.9"}},
		{[]string{">"}, []string{"-", "A", "a", "a.1", "a.1.x", "a.2", "a/b", "b", "back", "z.9"}},
		{[]string{"*"}, []string{"-", "A", "a", "a/b", "b", "back"}},
		{[]string{"a.*"}, []string{"a.1", "a.2"}},
		{[]string{"a.>"}, []string{"a.1", "a.1.x", "a.2"}},
		{[]string{"*.1.>", "*.1"}, []string{"a.1", "a.1.x"}},
		{[]string{"a.*", "*.1"}, []string{"a.1", "a.2"}}, // These overlap.
		{[]string{"a.>", "a.1", "a.*", "b"}, []string{"a.1", "a.1.x", "a.2", "b"}},
		{[]string{"none", "deleted", "purged"}, []string{}},
		{[]string{"a", "a"}, []string{"a"}},
	} {
		if got := keys(t, b, tc.filters...); !slices.Equal(got, tc.want) {
			t.Errorf("%v: %v, want %v", tc.filters, got, tc.want)
		}
	}
	listing, err = b.Keys(t.Context(), filters(t, "back", "b"))
	if err != nil || listing.Revision != last {
		t.Errorf("revision %d, %v; want %d", listing.Revision, err, last)
	}
	for i, size := range []int{len("two"), len("again")} {
		if k := listing.Entries[i]; k.Size() != size || k.Revision == 0 {
			t.Errorf("key %+v", k)
		}
	}
}

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

// wantComplete checks that each of the names is listed once and in order, and that the listing is
// not older than the revision since.
func wantComplete(t *testing.T, l kvclient.KeyListing, names []string, since kv.Revision) {
	t.Helper()
	if l.Revision < since {
		t.Errorf("listing as of %d, the bucket was at %d before", l.Revision, since)
	}
	listed := make(map[string]bool, len(l.Entries))
	for i, e := range l.Entries {
		if i > 0 && l.Entries[i-1].Key >= e.Key {
			t.Fatalf("%s after %s", e.Key, l.Entries[i-1].Key)
		}
		listed[e.Key] = true
	}
	missing := 0
	for _, k := range names {
		if !listed[k] {
			missing++
		}
	}
	if missing > 0 {
		t.Errorf("%d of %d keys that were there all the time are missing", missing, len(names))
	}
}

// This test does not run beside others, since it takes both cores.
func TestListingIsCompleteUnderOverwrites(t *testing.T) {
	n, rounds := 10_000, 3
	if testing.Short() {
		n, rounds = 3000, 2
	}
	c, s := gateway(t)
	b := shop(t, c, memory)
	names := numbered("k.", n)
	f := newFiller(t, s)
	f.fill(t, names, "first")
	stop := make(chan struct{})
	var writers sync.WaitGroup
	for w := range 2 {
		writers.Go(func() { overwrite(t, newFiller(t, s), names, uint64(w), stop) })
	}
	for range rounds {
		status, err := c.Status(t.Context(), b.Name())
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), scanTime)
		listing, err := b.Keys(ctx, nil)
		cancel()
		if err != nil {
			t.Fatal(err)
		}
		wantComplete(t, listing, names, status.LastRevision)
		t.Logf("%d keys as of %d in %v", len(listing.Entries), listing.Revision, time.Since(start))
	}
	close(stop)
	writers.Wait()
}

// overwrite stores all keys again and again until stop is closed. Their order is not that of their
// names.
func overwrite(t *testing.T, f filler, names []string, seed uint64, stop <-chan struct{}) {
	for i := seed; ; i += 7919 {
		select {
		case <-stop:
			return
		default:
			k := names[i%uint64(len(names))]
			if _, err := f.js.PublishAsync("$KV.shop."+k, []byte("again"), patiently); err != nil {
				select {
				case <-stop:
				default:
					t.Error(err)
				}
				return
			}
		}
	}
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

// scanWith runs a scan, and calls at for each entry with how many have arrived. It returns the
// newest revision of each key that the scan reports.
func scanWith(
	t *testing.T, b *kvclient.Bucket, fs kv.Filters, at func(n int, e kv.Entry),
) (map[string]kv.Revision, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), scanTime/2)
	defer cancel()
	found, n := make(map[string]kv.Revision), 0
	_, err := b.ScanEntries(ctx, fs, func(e kv.Entry) error {
		n++
		at(n, e)
		found[e.Key] = max(found[e.Key], e.Revision)
		return nil
	})
	return found, err
}

// wantFound checks that all the names were found.
func wantFound(t *testing.T, found map[string]kv.Revision, names []string) {
	t.Helper()
	var missing []string
	for _, k := range names {
		if found[k] == 0 {
			missing = append(missing, k)
		}
	}
	if len(missing) > 0 {
		t.Errorf("%d of %d keys are missing, the first is %s", len(missing), len(names), missing[0])
	}
}

// Half of the keys are overwritten before the scan reads them. When it reads these, one of them is
// overwritten again before it gets there.
func TestScanFindsAKeyThatIsAlwaysAhead(t *testing.T) {
	t.Parallel()
	b, f, names := scanRig(t)
	twice := false
	found, err := scanWith(t, b, nil, func(n int, e kv.Entry) {
		if n == 1 {
			f.fill(t, names[5000:9999], "second")
		}
		if e.Revision > 10_000 && !twice {
			twice = true
			f.fill(t, names[9990:9991], "third")
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	wantFound(t, found, names)
}

// As many entries arrive as the consumer announced. But some are of keys that have arrived before,
// and one key is still to come.
func TestScanIsCompleteWhereKeysComeTwice(t *testing.T) {
	t.Parallel()
	b, f, names := scanRig(t)
	f.fill(t, []string{"other"}, "x") // Its revision is above those of the keys that are scanned.
	found, err := scanWith(t, b, filters(t, "k.*"), func(n int, _ kv.Entry) {
		if n == 3000 {
			f.fill(t, names[:2000], "second")
			f.fill(t, names[9999:], "second")
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	wantFound(t, found, names)
}

// The messages that are still to be delivered vanish. The scan must end all the same.
func TestScanEndsWhenKeysVanish(t *testing.T) {
	type vanishing func(t *testing.T, b *kvclient.Bucket, f filler, names []string)
	for name, vanish := range map[string]vanishing{
		"purged from the stream": func(t *testing.T, _ *kvclient.Bucket, f filler, _ []string) {
			stream, err := f.js.Stream(t.Context(), "KV_shop")
			if err == nil {
				err = stream.Purge(t.Context(), jetstream.WithPurgeSubject("$KV.shop.k.>"))
			}
			if err != nil {
				t.Error(err)
			}
		},
		"all but the last": func(t *testing.T, _ *kvclient.Bucket, f filler, _ []string) {
			stream, err := f.js.Stream(t.Context(), "KV_shop")
			if err == nil {
				err = stream.Purge(t.Context(), jetstream.WithPurgeSequence(10_000))
			}
			if err != nil {
				t.Error(err)
			}
		},
		"deleted": func(t *testing.T, _ *kvclient.Bucket, f filler, names []string) {
			f.remove(t, names[1:])
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, f, names := scanRig(t)
			start := time.Now()
			found, err := scanWith(t, b, filters(t, "k.>"), func(n int, _ kv.Entry) {
				if n == 1 {
					vanish(t, b, f, names)
				}
			})
			if err != nil {
				t.Fatalf("after %v: %v", time.Since(start), err)
			}
			wantFound(t, found, names[:1])
		})
	}
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

func TestScanThroughARestartIsCompleteOrFails(t *testing.T) {
	t.Parallel()
	c, s := gateway(t)
	b := shop(t, c, nil)
	f, names := newFiller(t, s), numbered("k.", 10_000)
	f.fill(t, names, "v")
	start := time.Now()
	found, err := scanWith(t, b, nil, func(n int, _ kv.Entry) {
		if n == 1 {
			s.Restart()
		}
	})
	t.Logf("ended after %v: %v", time.Since(start), err)
	switch {
	case err == nil:
		wantFound(t, found, names)
	case !errors.Is(err, kv.ErrUnavailable) && !errors.Is(err, kv.ErrTimeout):
		t.Errorf("error %v", err)
	}
	awaitReady(t, c)
	natstest.Eventually(t, soon, "keys", func() bool {
		l, err := b.Keys(t.Context(), nil)
		return err == nil && len(l.Entries) == 10_000
	})
}

// While keys are created and deleted again, the keys that stay are listed, and those that were
// deleted before are not. This test does not run beside others, since it takes both cores.
func TestListingIsCompleteUnderCreationsAndDeletions(t *testing.T) {
	n, rounds := 20_000, 3
	if testing.Short() {
		n, rounds = 3000, 1
	}
	c, s := gateway(t)
	b := shop(t, c, memory)
	f, stay, gone := newFiller(t, s), numbered("k.stay", n/2), numbered("k.gone", n/2)
	f.fill(t, stay, "v")
	f.fill(t, gone, "v")
	f.remove(t, gone)
	stop := make(chan struct{})
	var writers sync.WaitGroup
	come := numbered("k.come", 500)
	writers.Go(func() {
		other := newFiller(t, s)
		for {
			select {
			case <-stop:
				return
			default:
				other.fill(t, come, "v")
				other.remove(t, come)
			}
		}
	})
	for range rounds {
		listing, err := b.Keys(t.Context(), filters(t, "k.>"))
		if err != nil {
			t.Fatal(err)
		}
		wantComplete(t, listing, stay, 0)
		for _, e := range listing.Entries {
			if len(e.Key) > 6 && e.Key[:6] == "k.gone" {
				t.Fatalf("%s is listed, but deleted", e.Key)
			}
		}
	}
	close(stop)
	writers.Wait()
}

// The history of a key that is being written is in order, and reaches the last write before it.
func TestHistoryIsInOrderUnderWrites(t *testing.T) {
	t.Parallel()
	c, _ := gateway(t)
	b := shop(t, c, history(64))
	put(t, b, "k", "0")
	var stop atomic.Bool
	var writer sync.WaitGroup
	writer.Go(func() {
		for i := 1; !stop.Load(); i++ {
			put(t, b, "k", strconv.Itoa(i))
		}
	})
	for range 50 {
		before, err := get(t, b, "k")
		if err != nil {
			t.Fatal(err)
		}
		entries, err := b.HistoryOf(t.Context(), key(t, "k"), true)
		if err != nil {
			t.Fatal(err)
		}
		last := entries[len(entries)-1]
		if last.Revision < before.Revision {
			t.Errorf("history ends at %d, the key was at %d before", last.Revision, before.Revision)
		}
		for i, e := range entries[1:] {
			if e.Revision <= entries[i].Revision {
				t.Fatalf("%d after %d", e.Revision, entries[i].Revision)
			}
		}
	}
	stop.Store(true)
	writer.Wait()
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
	if found, err := b.Markers(owned(t, "innocent"), nil); err != nil || len(found.Entries) != 1 {
		t.Errorf("%d markers: %v", len(found.Entries), err)
	}
	holds[1].Release()
	if n := room.Used(); n != 0 {
		t.Errorf("%d bytes are held", n)
	}
}

func TestListingTakesSixtyFourLongFilters(t *testing.T) {
	t.Parallel()
	c, _ := gateway(t)
	b := shop(t, c, nil)
	var patterns, want []string
	for i := range kv.MaxFilters {
		prefix := fmt.Sprintf("%02d-", i)
		k := prefix + strings.Repeat("k", kv.MaxKeyBytes-len(prefix))
		put(t, b, k, "v")
		patterns, want = append(patterns, k), append(want, k)
	}
	put(t, b, "other", "v")
	if got := keys(t, b, patterns...); strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("%d keys, want %d", len(got), len(want))
	}
}
