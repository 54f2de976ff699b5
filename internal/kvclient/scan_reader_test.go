package kvclient_test

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"kvgateway/internal/kv"
	"kvgateway/internal/kvclient"
	"kvgateway/internal/natstest"
)

// Whichever replica a listing comes from, it contains the writes that were acknowledged before it.
func TestClusterListingsSeeOwnWrites(t *testing.T) {
	nodes, c, b, js := cluster(t)
	look := func(k string, rev kv.Revision) {
		var listing kvclient.KeyListing
		var err error
		natstest.Eventually(t, 3*soon, "a listing, while a node may be catching up", func() bool {
			listing, err = b.Keys(t.Context(), filters(t, k))
			return !errors.Is(err, kv.ErrTimeout)
		})
		if err != nil || len(listing.Entries) != 1 ||
			listing.Entries[0].Revision < rev || listing.Revision < rev {
			t.Fatalf("%s at revision %d: listed %+v as of %d, %v",
				k, rev, listing.Entries, listing.Revision, err)
		}
		entries, err := b.HistoryOf(t.Context(), key(t, k), true)
		if err != nil || entries[len(entries)-1].Revision < rev {
			t.Fatalf("%s at revision %d: history %+v, %v", k, rev, entries, err)
		}
	}
	lookWhileCatchingUp(t, nodes, b, js, 100, 300, look)
	if got := keys(t, bind(t, c, "shop"), "*"); len(got) != 330 {
		t.Errorf("%d keys, want 330", len(got))
	}
}

// The stream's last messages are gone, so the listing cannot wait until a replica has the last
// one.
func TestClusterListingsSeeOwnWritesWithoutALastMessage(t *testing.T) {
	nodes, _, b, js := cluster(t)
	put(t, b, "k", "old")
	away := leaveBehind(t, nodes, b, js, 80, 500<<10)
	last := put(t, b, "k", "new")
	for i := range 100 {
		k := "gone" + strconv.Itoa(i)
		put(t, b, k, "v")
		remove(t, b, k, false)
	}
	if done, err := b.PurgeMarkers(t.Context(), nil, 0); err != nil || done.Removed != 100 {
		t.Fatalf("purged markers %+v, %v", done, err)
	}
	nodes.StartNode(away)
	for range 100 {
		listing, err := b.Keys(t.Context(), filters(t, "k"))
		if err != nil {
			t.Fatal(err)
		}
		if len(listing.Entries) != 1 || listing.Entries[0].Revision != last {
			t.Fatalf("listed %+v as of %d; want k at revision %d",
				listing.Entries, listing.Revision, last)
		}
		entries, err := b.HistoryOf(t.Context(), key(t, "k"), false)
		if err != nil || entries[len(entries)-1].Revision != last {
			t.Fatalf("history %+v, %v; want it to end at %d", entries, err, last)
		}
	}
	if got := keys(t, b); len(got) != 81 {
		t.Errorf("%d keys, want 81", len(got))
	}
}

// A replica may take longer to catch up than a request may take. Then the listing fails, but it
// never returns what is out of date.
func TestClusterListingFailsRatherThanBeingStale(t *testing.T) {
	nodes, _, b, js := cluster(t)
	const timeout = 150 * time.Millisecond
	hasty := connect(t, kvclient.Options{URL: nodes.URL(), RequestTimeout: timeout})
	put(t, b, "k", "old")
	away := leaveBehind(t, nodes, b, js, 80, 500<<10)
	last := put(t, b, "k", "new")
	nodes.StartNode(away)
	failed := 0
	for range 100 {
		bucket, err := hasty.Bucket(t.Context(), b.Name())
		if err != nil {
			failed++
			continue
		}
		listing, err := bucket.Keys(t.Context(), filters(t, "k"))
		if err != nil {
			failed++
			continue
		}
		if len(listing.Entries) != 1 || listing.Entries[0].Revision != last {
			t.Fatalf("listed %+v as of %d; want k at revision %d",
				listing.Entries, listing.Revision, last)
		}
	}
	t.Logf("%d of 100 listings failed", failed)
}

// undercount makes the server's answer say that the next consumer has nothing to deliver, and
// calls overwrite at the moment at which the consumer is created. This is when the server's own
// count is too low: beside a writer of 50,000 values a second, one in 2,000 consumers was created
// with a count of 28 instead of 104 (measured).
func undercount(p *natstest.Proxy, overwrite func()) {
	p.Hold("CONSUMER.CREATE", overwrite)
	p.Tamper(func(answer []byte) bool {
		name := []byte(`"num_pending":`)
		i := bytes.Index(answer, name)
		if i < 0 {
			return false
		}
		digits := answer[i+len(name):]
		for i := range bytes.IndexAny(digits, ",}") {
			digits[i] = ' '
		}
		digits[0] = '0'
		return true
	})
}

// The number of messages that a new consumer has to deliver is too low if something is overwritten
// at the moment at which it is created. Reads must be complete all the same.
func TestReadsAreCompleteWherePendingIsTooLow(t *testing.T) {
	for name, config := range map[string]jetstream.KeyValueConfig{
		"history 1": {Bucket: "shop"},
		"history 3": {Bucket: "shop", History: 3},
	} {
		t.Run(name, func(t *testing.T) {
			s := natstest.Start(t, natstest.Options{})
			p := natstest.StartProxy(t, s.Addr())
			c := connect(t, kvclient.Options{URL: p.URL()})
			native := natstest.CreateBucket(t, s.JetStream(t), config)
			for _, k := range []string{"a", "b", "other", "c"} {
				if _, err := native.PutString(t.Context(), k, "1"); err != nil {
					t.Fatal(err)
				}
			}
			b := bind(t, c, "shop")
			overwrite := func() {
				if _, err := native.PutString(t.Context(), "b", "2"); err != nil {
					t.Error(err)
				}
			}
			fs := filters(t, "a", "b", "c")
			got := make(map[string]bool)
			collect := func(e kv.Entry) error {
				got[e.Key] = true
				return nil
			}
			for what, read := range map[string]func() error{
				"keys": func() error {
					for _, k := range keys(t, b, "a", "b", "c") {
						got[k] = true
					}
					return nil
				},
				"export": func() error {
					visit := func(e *kv.Entry) error { return collect(*e) }
					_, err := b.Export(t.Context(), kvclient.Export{Filters: fs}, visit)
					return err
				},
				"snapshot": func() error {
					got["b"] = true // Its new value is above the last revision of the snapshot.
					snapshot := kvclient.Replay{Filters: fs, To: lastOf(t, c)}
					return b.Replay(t.Context(), snapshot, collect)
				},
				"replay": func() error {
					got["b"] = true
					replay := kvclient.Replay{Filters: fs, To: lastOf(t, c), History: true}
					return b.Replay(t.Context(), replay, collect)
				},
			} {
				clear(got)
				undercount(p, overwrite)
				if err := read(); err != nil {
					t.Errorf("%s: %v", what, err)
				}
				found := slices.Sorted(maps.Keys(got))
				if !slices.Equal(found, []string{"a", "b", "c"}) {
					t.Errorf("%s found %q", what, found)
				}
			}
		})
	}
}

// lastOf returns the last revision of the bucket "shop".
func lastOf(t *testing.T, c *kvclient.Client) kv.Revision {
	t.Helper()
	_, s, err := c.State(t.Context(), bucketName(t, "shop"))
	if err != nil {
		t.Fatal(err)
	}
	return s.Last
}

// scanTime bounds a scan in the tests of this file.
const scanTime = 20 * time.Second

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
