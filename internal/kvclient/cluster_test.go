package kvclient_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"kvgateway/internal/kvclient"
	"kvgateway/internal/natstest"
)

// cluster is a gateway in front of three nodes, with a bucket on all of them.
func cluster(t *testing.T) (*natstest.Cluster, *kvclient.Client, *kvclient.Bucket, jetstream.JetStream) {
	t.Helper()
	if testing.Short() {
		t.Skip("starts three servers")
	}
	t.Parallel()
	nodes := natstest.StartCluster(t)
	c := connect(t, kvclient.Options{URL: nodes.URL()})
	js := nodes.JetStream(t)
	// The servers may know each other's JetStream a moment later than they answer.
	config := kvclient.DefaultBucketConfig()
	config.Replicas, config.History = 3, 5
	natstest.Eventually(t, soon, "a bucket with three replicas", func() bool {
		_, _, err := c.CreateBucket(t.Context(), bucketName(t, "shop"), config)
		return err == nil
	})
	b := bind(t, c, "shop")
	nodes.StreamLeader(js, "KV_shop")
	return nodes, c, b, js
}

// resign makes the leader of the bucket's stream step down.
func resign(t *testing.T, js jetstream.JetStream) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), soon)
	defer cancel()
	if _, err := js.Conn().RequestWithContext(ctx, "$JS.API.STREAM.LEADER.STEPDOWN.KV_shop", nil); err != nil {
		t.Fatalf("step down: %v", err)
	}
}

func TestClusterReads(t *testing.T) {
	_, c, b, _ := cluster(t)
	status, err := c.Status(t.Context(), b.Name())
	if err != nil || status.Leader == "" || len(status.Peers) != 2 || status.Config.Replicas != 3 {
		t.Errorf("status %+v, %v", status, err)
	}
	any := 0
	for i := range 500 {
		k, value := "k"+strconv.Itoa(i%20), strconv.Itoa(i)
		rev := put(t, b, k, value)
		e, served, err := b.Get(t.Context(), key(t, k), kvclient.ReadOptions{})
		if err != nil || e.Revision != rev || served != kvclient.Leader {
			t.Fatalf("round %d: %+v by %v, %v; want revision %d of the leader", i, e, served, err, rev)
		}
		e, served, err = b.Get(t.Context(), key(t, k), kvclient.ReadOptions{Consistency: kvclient.Any})
		if err != nil || e.Revision > rev || served == kvclient.Leader && e.Revision != rev {
			t.Fatalf("round %d, any: %+v by %v, %v", i, e, served, err)
		}
		if served == kvclient.Any {
			any++
		}
		e, _, err = b.Get(t.Context(), key(t, k), kvclient.ReadOptions{Consistency: kvclient.Any, MinRevision: kvclient.Position{Revision: rev, Epoch: b.Epoch()}})
		if err != nil || e.Revision != rev {
			t.Fatalf("round %d, any with minimum: %+v, %v; want revision %d", i, e, err, rev)
		}
	}
	if any == 0 {
		t.Error("no read of any says that any replica answered")
	}
}

// Without a leader every replica answers with what it knows, which is nobody's word.
func TestClusterWithoutALeader(t *testing.T) {
	nodes, c, b, _ := cluster(t)
	put(t, b, "a", "1")
	if _, _, err := c.State(t.Context(), b.Name()); err != nil {
		t.Fatal(err)
	}
	nodes.StopNode(1)
	nodes.StopNode(2)
	// A leader that is left alone takes some 20 s to find out.
	natstest.Eventually(t, time.Minute, "State says that there is no leader", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, s, err := c.State(ctx, b.Name())
		return s.Last == 0 && errors.Is(err, kvclient.ErrUnavailable) && strings.Contains(err.Error(), "leader")
	})
}

// Several writers of one key make a replicated stream refuse without a number (10164). What the gateway says must be true all
// the same.
func TestClusterRaces(t *testing.T) {
	_, _, b, js := cluster(t)
	kv := native(t, js, "shop")
	const writers, increments = 6, 15
	put(t, b, "n", "0")
	inParallel(writers, func(i int) {
		for range increments {
			if i%2 == 0 {
				incrementNatively(t, kv)
			} else {
				increment(t, b)
			}
		}
	})
	if e, err := get(t, b, "n"); err != nil || string(e.Value) != strconv.Itoa(writers*increments) {
		t.Errorf("counter %s, %v; want %d", e.Value, err, writers*increments)
	}
	for round := range 20 {
		k := "create" + strconv.Itoa(round)
		if round%2 == 1 {
			put(t, b, k, "old")
			remove(t, b, k, false)
		}
		var mu sync.Mutex
		won := 0
		inParallel(6, func(i int) {
			_, err := create(t, b, k, strconv.Itoa(i))
			mismatch, ok := errors.AsType[*kvclient.RevisionMismatchError](err)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				won++
			case !ok || !mismatch.KeyExists || mismatch.Current.Revision == 0:
				t.Errorf("create: %v (%+v)", err, mismatch)
			}
		})
		if won != 1 {
			t.Errorf("%d creates of %s succeeded", won, k)
		}
	}
}

func TestClusterMinimumRevision(t *testing.T) {
	_, _, b, js := cluster(t)
	last := put(t, b, "k", "v")
	future := kvclient.Position{Revision: last + 1}
	for _, wait := range []time.Duration{kvclient.NoWait, 300 * time.Millisecond} {
		start := time.Now()
		_, _, err := b.Get(t.Context(), key(t, "k"), kvclient.ReadOptions{MinRevision: future, Wait: wait})
		wantError(t, err, kvclient.ErrRevisionNotReached)
		if d := time.Since(start); d < wait || d > wait+promptly {
			t.Errorf("waited %v, want about %v", d, wait)
		}
	}
	type result struct {
		e   kvclient.Entry
		err error
	}
	got := make(chan result, 1)
	go func() {
		e, _, err := b.Get(t.Context(), key(t, "other"), kvclient.ReadOptions{MinRevision: future})
		got <- result{e, err}
	}()
	if _, err := native(t, js, "shop").PutString(t.Context(), "other", "w"); err != nil {
		t.Fatal(err)
	}
	if r := <-got; r.err != nil || r.e.Revision != last+1 {
		t.Errorf("%+v, %v; want revision %d", r.e, r.err, last+1)
	}
}

// A listing is not older than the writes that were acknowledged before it, whichever replica it comes from.
func TestClusterListingsSeeOwnWrites(t *testing.T) {
	nodes, c, b, js := cluster(t)
	list := func(k string, rev kvclient.Revision) {
		var listing kvclient.KeyListing
		var err error
		natstest.Eventually(t, 3*soon, "a listing, for which a node may have to catch up", func() bool {
			listing, err = b.Keys(t.Context(), filters(t, k))
			return !errors.Is(err, kvclient.ErrTimeout)
		})
		if err != nil || len(listing.Entries) != 1 || listing.Entries[0].Revision < rev || listing.Revision < rev {
			t.Fatalf("%s at revision %d: listed %+v as of %d, %v", k, rev, listing.Entries, listing.Revision, err)
		}
		entries, err := b.HistoryOf(t.Context(), key(t, k), true)
		if err != nil || entries[len(entries)-1].Revision < rev {
			t.Fatalf("%s at revision %d: history %+v, %v", k, rev, entries, err)
		}
	}
	for i := range 100 {
		k := "k" + strconv.Itoa(i%30)
		list(k, put(t, b, k, "v"))
	}
	// A node that was away has much to catch up with.
	away := (nodes.StreamLeader(js, "KV_shop") + 1) % 3
	nodes.StopNode(away)
	value := string(make([]byte, 100<<10))
	for i := range 300 {
		natstest.Eventually(t, soon, "a put with two nodes", func() bool { return write(b, t, "big"+strconv.Itoa(i), value) == nil })
	}
	nodes.StartNode(away)
	for i := range 100 {
		k := "k" + strconv.Itoa(i%30)
		var rev kvclient.Revision
		natstest.Eventually(t, soon, "a put", func() bool {
			w, err := b.Put(t.Context(), kvclient.Write{Key: key(t, k)})
			rev = w.Revision
			return err == nil
		})
		list(k, rev)
	}
	if got := keys(t, bind(t, c, "shop"), "*"); len(got) != 330 {
		t.Errorf("%d keys, want 330", len(got))
	}
}

// The same where the stream's last message is gone, so that nobody can wait for it.
func TestClusterListingsWithoutALastMessage(t *testing.T) {
	nodes, _, b, js := cluster(t)
	put(t, b, "k", "old")
	away := (nodes.StreamLeader(js, "KV_shop") + 1) % 3
	nodes.StopNode(away)
	value := string(make([]byte, 500<<10))
	for i := range 80 {
		natstest.Eventually(t, soon, "a put with two nodes", func() bool { return write(b, t, "big"+strconv.Itoa(i), value) == nil })
	}
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
			t.Fatalf("listed %+v as of %d; want k at revision %d", listing.Entries, listing.Revision, last)
		}
		if entries, err := b.HistoryOf(t.Context(), key(t, "k"), false); err != nil || entries[len(entries)-1].Revision != last {
			t.Fatalf("history %+v, %v; want it to end at %d", entries, err, last)
		}
	}
	if got := keys(t, b); len(got) != 81 {
		t.Errorf("%d keys, want 81", len(got))
	}
}

// A replica may need longer to catch up than a request may take: then the listing fails, but it is never old.
func TestClusterListingsInAHurry(t *testing.T) {
	nodes, _, b, js := cluster(t)
	const timeout = 150 * time.Millisecond
	hasty := connect(t, kvclient.Options{URL: nodes.URL(), RequestTimeout: timeout})
	put(t, b, "k", "old")
	away := (nodes.StreamLeader(js, "KV_shop") + 1) % 3
	nodes.StopNode(away)
	value := string(make([]byte, 500<<10))
	for i := range 80 {
		natstest.Eventually(t, soon, "a put with two nodes", func() bool { return write(b, t, "big"+strconv.Itoa(i), value) == nil })
	}
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
			t.Fatalf("listed %+v as of %d; want k at revision %d", listing.Entries, listing.Revision, last)
		}
	}
	t.Logf("%d of 100 listings failed", failed)
}

// A record is what one writer was told of its keys.
type record struct {
	mu       sync.Mutex
	outcomes map[string]error
	acked    int
}

func (r *record) add(k string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.outcomes[k] = err
	if err == nil {
		r.acked++
	}
}

func (r *record) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.acked
}

// Leaders resign and nodes go while writers write: what was acknowledged is there afterwards, what was refused is not.
func TestClusterLosesNothingAcknowledged(t *testing.T) {
	nodes, c, b, js := cluster(t)
	epoch := b.Epoch()
	r := &record{outcomes: make(map[string]error)}
	stop := make(chan struct{})
	var writers sync.WaitGroup
	for w := range 4 {
		writers.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				k := fmt.Sprintf("w%d.%d", w, i)
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				_, err := b.Put(ctx, kvclient.Write{Key: key(t, k), Value: []byte(k), Precondition: ifAbsent})
				cancel()
				r.add(k, err)
			}
		})
	}
	progress := func(what string) {
		target := r.count() + 100
		natstest.Eventually(t, 30*time.Second, what, func() bool { return r.count() >= target })
	}
	progress("writes in peace")
	for range 3 {
		resign(t, js)
		progress("writes after a resignation")
	}
	leader := nodes.StreamLeader(js, "KV_shop")
	nodes.StopNode(leader)
	progress("writes without the former leader")
	nodes.StartNode(leader)
	progress("writes while it comes back")
	close(stop)
	writers.Wait()
	nodes.AwaitLeader()
	nodes.StreamLeader(js, "KV_shop")
	natstest.Eventually(t, soon, "keys", func() bool { _, err := bind(t, c, "shop").Keys(t.Context(), nil); return err == nil })
	r.check(t, bind(t, c, "shop"))
	if now := bind(t, c, "shop").Epoch(); now != epoch {
		t.Errorf("epoch %s, before %s", now, epoch)
	}
}

// check compares what the writers were told with what the leader and the listing have.
func (r *record) check(t *testing.T, b *kvclient.Bucket) {
	t.Helper()
	listed := make(map[string]bool)
	for _, k := range keys(t, b) {
		listed[k] = true
	}
	stored := make(map[string]bool)
	unlisted := 0
	for k := range r.outcomes {
		_, err := get(t, b, k)
		if stored[k] = err == nil; stored[k] && !listed[k] {
			unlisted++
		}
		if err != nil && !errors.Is(err, kvclient.ErrKeyNotFound) {
			t.Errorf("get %s: %v", k, err)
		}
	}
	if unlisted > 0 {
		t.Errorf("%d keys are stored and not listed", unlisted)
	}
	kinds := make(map[string]int)
	for k, err := range r.outcomes {
		_, mismatch := errors.AsType[*kvclient.RevisionMismatchError](err)
		switch {
		case err == nil:
			kinds["acknowledged"]++
			if !stored[k] {
				t.Errorf("%s was acknowledged and is lost", k)
			}
		case errors.Is(err, kvclient.ErrUnavailable), errors.Is(err, kvclient.ErrOverloaded), errors.Is(err, kvclient.ErrContention):
			kinds["refused"]++
			if stored[k] {
				t.Errorf("%s was refused (%v) and is stored", k, err)
			}
		case errors.Is(err, kvclient.ErrOutcomeUnknown):
			kinds["unknown"]++
		case mismatch:
			t.Errorf("%s, which only one writer ever wrote once: %v", k, err)
		default:
			t.Errorf("%s: %v", k, err)
		}
	}
	t.Logf("%v", kinds)
}

// Reads go on, and say the truth, while leaders change.
func TestClusterReadsThroughResignations(t *testing.T) {
	_, _, b, js := cluster(t)
	rev := put(t, b, "k", "v")
	stop := make(chan struct{})
	var readers sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				for _, consistency := range []kvclient.Consistency{kvclient.Leader, kvclient.Any} {
					e, _, err := b.Get(t.Context(), key(t, "k"), kvclient.ReadOptions{Consistency: consistency})
					switch {
					case err == nil && (e.Revision != rev || string(e.Value) != "v"):
						t.Errorf("%v: %+v", consistency, e)
					case err != nil && !errors.Is(err, kvclient.ErrUnavailable) && !errors.Is(err, kvclient.ErrTimeout):
						t.Errorf("%v: %v", consistency, err)
					}
				}
			}
		})
	}
	for range 2 {
		resign(t, js)
		natstest.Eventually(t, 20*time.Second, "a read from the new leader", func() bool {
			_, err := get(t, b, "k")
			return err == nil
		})
	}
	close(stop)
	readers.Wait()
}
