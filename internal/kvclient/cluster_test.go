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

	"kvgateway/internal/kv"
	"kvgateway/internal/kvclient"
	"kvgateway/internal/natstest"
)

// cluster starts three nodes and a gateway in front of them, and creates the bucket "shop" with
// three replicas and a history of five.
func cluster(t *testing.T) (
	*natstest.Cluster, *kvclient.Client, *kvclient.Bucket, jetstream.JetStream,
) {
	t.Helper()
	if testing.Short() {
		t.Skip("starts three servers")
	}
	t.Parallel()
	nodes := natstest.StartCluster(t)
	c := connect(t, kvclient.Options{URL: nodes.URL()})
	js := nodes.JetStream(t)
	// Servers answer clients a moment before they know of each other's JetStream.
	config := kv.DefaultBucketConfig()
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
	const stepDown = "$JS.API.STREAM.LEADER.STEPDOWN.KV_shop"
	if _, err := js.Conn().RequestWithContext(ctx, stepDown, nil); err != nil {
		t.Fatalf("step down: %v", err)
	}
}

func TestClusterReadsSeeOwnWrites(t *testing.T) {
	_, c, b, _ := cluster(t)
	status, err := c.Status(t.Context(), b.Name())
	if err != nil || status.Leader == "" || len(status.Peers) != 2 || status.Config.Replicas != 3 {
		t.Errorf("status %+v, %v", status, err)
	}
	servedByAny := 0
	for i := range 500 {
		k, value := "k"+strconv.Itoa(i%20), strconv.Itoa(i)
		rev := put(t, b, k, value)
		e, served, err := b.Get(t.Context(), key(t, k), kvclient.ReadOptions{})
		if err != nil || e.Revision != rev || served != kvclient.Leader {
			t.Fatalf("round %d: %+v by %v, %v; want revision %d of the leader",
				i, e, served, err, rev)
		}
		e, served, err = b.Get(t.Context(), key(t, k), anyReplica)
		if err != nil || e.Revision > rev || served == kvclient.Leader && e.Revision != rev {
			t.Fatalf("round %d, any: %+v by %v, %v", i, e, served, err)
		}
		if served == kvclient.Any {
			servedByAny++
		}
		options := anyReplica
		options.MinRevision = kv.Position{Revision: rev, Epoch: b.Epoch()}
		e, _, err = b.Get(t.Context(), key(t, k), options)
		if err != nil || e.Revision != rev {
			t.Fatalf("round %d, any with minimum: %+v, %v; want revision %d", i, e, err, rev)
		}
	}
	if servedByAny == 0 {
		t.Error("any replica could answer the reads, and none says that one did")
	}
}

// Without a leader every replica answers with what it knows, which may be out of date. So the
// gateway believes none of them.
func TestClusterStateIsUnavailableWithoutALeader(t *testing.T) {
	nodes, c, b, _ := cluster(t)
	put(t, b, "a", "1")
	if _, _, err := c.State(t.Context(), b.Name()); err != nil {
		t.Fatal(err)
	}
	nodes.StopNode(1)
	nodes.StopNode(2)
	// A leader that is left alone takes some 20 s to notice.
	natstest.Eventually(t, time.Minute, "State says that there is no leader", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, s, err := c.State(ctx, b.Name())
		return s.Last == 0 && errors.Is(err, kv.ErrUnavailable) &&
			strings.Contains(err.Error(), "leader")
	})
}

// With several writers of one key, a replicated stream refuses a write without naming the current
// revision (error 10164). The gateway must find out the revision and report it all the same.
func TestClusterRacesLoseNothing(t *testing.T) {
	_, _, b, js := cluster(t)
	native := native(t, js, "shop")
	const writers, increments = 6, 15
	put(t, b, "n", "0")
	inParallel(writers, func(i int) {
		for range increments {
			if i%2 == 0 {
				incrementNatively(t, native)
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
			mismatch, ok := errors.AsType[*kv.RevisionMismatchError](err)
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

func TestClusterReadWaitsForMinimumRevision(t *testing.T) {
	_, _, b, js := cluster(t)
	last := put(t, b, "k", "v")
	future := kv.Position{Revision: last + 1}
	for _, wait := range []time.Duration{kvclient.NoWait, 300 * time.Millisecond} {
		start := time.Now()
		options := kvclient.ReadOptions{MinRevision: future, Wait: wait}
		_, _, err := b.Get(t.Context(), key(t, "k"), options)
		wantError(t, err, kv.ErrRevisionNotReached)
		if d := time.Since(start); d < wait || d > wait+promptly {
			t.Errorf("waited %v, want about %v", d, wait)
		}
	}
	type result struct {
		e   kv.Entry
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

// Whichever replica a listing comes from, it contains the writes that were acknowledged before it.
func TestClusterListingsSeeOwnWrites(t *testing.T) {
	nodes, c, b, js := cluster(t)
	list := func(k string, rev kv.Revision) {
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
	for i := range 100 {
		k := "k" + strconv.Itoa(i%30)
		list(k, put(t, b, k, "v"))
	}
	// A node that was stopped for a while has much to catch up with.
	away := (nodes.StreamLeader(js, "KV_shop") + 1) % 3
	nodes.StopNode(away)
	value := string(make([]byte, 100<<10))
	for i := range 300 {
		natstest.Eventually(t, soon, "a put with two nodes", func() bool {
			return write(t, b, "big"+strconv.Itoa(i), value) == nil
		})
	}
	nodes.StartNode(away)
	for i := range 100 {
		k := "k" + strconv.Itoa(i%30)
		var rev kv.Revision
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

// The stream's last messages are gone, so the listing cannot wait until a replica has the last
// one.
func TestClusterListingsSeeOwnWritesWithoutALastMessage(t *testing.T) {
	nodes, _, b, js := cluster(t)
	put(t, b, "k", "old")
	away := (nodes.StreamLeader(js, "KV_shop") + 1) % 3
	nodes.StopNode(away)
	value := string(make([]byte, 500<<10))
	for i := range 80 {
		natstest.Eventually(t, soon, "a put with two nodes", func() bool {
			return write(t, b, "big"+strconv.Itoa(i), value) == nil
		})
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
	away := (nodes.StreamLeader(js, "KV_shop") + 1) % 3
	nodes.StopNode(away)
	value := string(make([]byte, 500<<10))
	for i := range 80 {
		natstest.Eventually(t, soon, "a put with two nodes", func() bool {
			return write(t, b, "big"+strconv.Itoa(i), value) == nil
		})
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
			t.Fatalf("listed %+v as of %d; want k at revision %d",
				listing.Entries, listing.Revision, last)
		}
	}
	t.Logf("%d of 100 listings failed", failed)
}

// An outcomeLog records what the writers were told about the write of each key. Its methods are
// safe for concurrent use.
type outcomeLog struct {
	mu       sync.Mutex
	outcomes map[string]error // by key; nil stands for an acknowledged write
	acked    int              // how many of the outcomes are nil
}

func (r *outcomeLog) add(k string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.outcomes[k] = err
	if err == nil {
		r.acked++
	}
}

// count returns how many writes were acknowledged.
func (r *outcomeLog) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.acked
}

// Leaders resign and nodes stop while writers write. What was acknowledged is there afterwards,
// and what was refused is not.
func TestClusterLosesNothingAcknowledged(t *testing.T) {
	nodes, c, b, js := cluster(t)
	epoch := b.Epoch()
	r := &outcomeLog{outcomes: make(map[string]error)}
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
				_, err := b.Put(ctx, kvclient.Write{
					Key: key(t, k), Value: []byte(k), Precondition: ifAbsent,
				})
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
	natstest.Eventually(t, soon, "keys", func() bool {
		_, err := bind(t, c, "shop").Keys(t.Context(), nil)
		return err == nil
	})
	r.check(t, bind(t, c, "shop"))
	if now := bind(t, c, "shop").Epoch(); now != epoch {
		t.Errorf("epoch %s, before %s", now, epoch)
	}
}

// check compares what the writers were told with what the leader and a listing have.
func (r *outcomeLog) check(t *testing.T, b *kvclient.Bucket) {
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
		if err != nil && !errors.Is(err, kv.ErrKeyNotFound) {
			t.Errorf("get %s: %v", k, err)
		}
	}
	if unlisted > 0 {
		t.Errorf("%d keys are stored and not listed", unlisted)
	}
	kinds := make(map[string]int)
	for k, err := range r.outcomes {
		_, mismatch := errors.AsType[*kv.RevisionMismatchError](err)
		switch {
		case err == nil:
			kinds["acknowledged"]++
			if !stored[k] {
				t.Errorf("%s was acknowledged and is lost", k)
			}
		case errors.Is(err, kv.ErrUnavailable), errors.Is(err, kv.ErrOverloaded),
			errors.Is(err, kv.ErrContention):
			kinds["refused"]++
			if stored[k] {
				t.Errorf("%s was refused (%v) and is stored", k, err)
			}
		case errors.Is(err, kv.ErrOutcomeUnknown):
			kinds["unknown"]++
		case mismatch:
			t.Errorf("%s, which only one writer ever wrote once: %v", k, err)
		default:
			t.Errorf("%s: %v", k, err)
		}
	}
	t.Logf("%v", kinds)
}

// While leaders change, reads may fail for a moment, but what they return is true.
func TestClusterReadsAreTrueThroughResignations(t *testing.T) {
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
					options := kvclient.ReadOptions{Consistency: consistency}
					e, _, err := b.Get(t.Context(), key(t, "k"), options)
					switch {
					case err == nil && (e.Revision != rev || string(e.Value) != "v"):
						t.Errorf("%v: %+v", consistency, e)
					case err != nil && !errors.Is(err, kv.ErrUnavailable) &&
						!errors.Is(err, kv.ErrTimeout):
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
