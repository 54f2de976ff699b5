package kvclient_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"kvgateway/internal/kv"
	"kvgateway/internal/kvclient"
	"kvgateway/internal/natstest"
)

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

// Writers go on while the server is restarted. What was acknowledged is there, and what was
// refused is not. A write whose outcome is unknown may be there.
func TestWriteOutcomesHoldThroughRestarts(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t, natstest.Options{})
	c := connect(t, kvclient.Options{URL: s.URL(), RequestTimeout: 500 * time.Millisecond})
	b := shop(t, c, nil)
	stop := make(chan struct{})
	var mu sync.Mutex
	outcomes := make(map[string]error)
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
				err := write(t, b, k, k)
				mu.Lock()
				outcomes[k] = err
				mu.Unlock()
				if err != nil {
					natstest.Eventually(t, soon, "connected again", c.Connected)
				}
			}
		})
	}
	acknowledged := func() (n int) {
		mu.Lock()
		defer mu.Unlock()
		for _, err := range outcomes {
			if err == nil {
				n++
			}
		}
		return n
	}
	for range 3 {
		reached := acknowledged() + 100
		natstest.Eventually(t, soon, "a hundred more writes", func() bool {
			return acknowledged() >= reached
		})
		s.Restart()
		awaitReady(t, c)
	}
	close(stop)
	writers.Wait()
	put(t, bind(t, c, "shop"), "last", "v")
	stored := make(map[string]bool)
	for _, k := range keys(t, bind(t, c, "shop")) {
		stored[k] = true
	}
	unknown := 0
	for k, err := range outcomes {
		switch {
		case err == nil:
			if !stored[k] {
				t.Errorf("%s was acknowledged and is lost", k)
			}
		case errors.Is(err, kv.ErrUnavailable):
			if stored[k] {
				t.Errorf("%s was refused as unavailable and is stored", k)
			}
		case errors.Is(err, kv.ErrOutcomeUnknown):
			unknown++
		default:
			t.Errorf("%s: %v", k, err)
		}
	}
	t.Logf("%d writes, %d with unknown outcome", len(outcomes), unknown)
}

func TestUnacknowledgedWriteIsUnknownAndStoredOnce(t *testing.T) {
	t.Parallel()
	p, c, b, native := behindProxy(t, 5*time.Second)
	p.CutAnswerTo("PUB $KV.shop.k ")
	took(t, "put", promptly, func() {
		wantError(t, write(t, b, "k", "unknown"), kv.ErrOutcomeUnknown)
	})
	// The server stored the write, and it is not stored again.
	natstest.Eventually(t, soon, "the write shows", func() bool {
		e, err := native.Get(t.Context(), "k")
		return err == nil && string(e.Value()) == "unknown"
	})
	awaitReady(t, c)
	put(t, bind(t, c, "shop"), "later", "v")
	if h, err := native.History(t.Context(), "k"); err != nil || len(h) != 2 {
		t.Errorf("%d revisions, %v; want 2", len(h), err)
	}
}

// cutTests are the requests that change something, each with what identifies it on the connection.
var cutTests = map[string]struct {
	needle  string
	request func(t *testing.T, c *kvclient.Client, b *kvclient.Bucket) error
}{
	"create": {
		"PUB $KV.shop.new ",
		func(t *testing.T, _ *kvclient.Client, b *kvclient.Bucket) error {
			_, err := create(t, b, "new", "v")
			return err
		},
	},
	"delete": {
		"PUB $KV.shop.k ",
		func(t *testing.T, _ *kvclient.Client, b *kvclient.Bucket) error {
			_, err := b.Delete(t.Context(), kvclient.Deletion{Key: key(t, "k")})
			return err
		},
	},
	"replace": {
		"PUB $KV.shop.k ",
		func(t *testing.T, _ *kvclient.Client, b *kvclient.Bucket) error {
			_, err := b.Put(t.Context(), kvclient.Write{Key: key(t, "k"), Precondition: ifPresent})
			return err
		},
	},
	"create bucket": {
		"STREAM.CREATE",
		func(t *testing.T, c *kvclient.Client, _ *kvclient.Bucket) error {
			config := kv.DefaultBucketConfig()
			_, _, err := c.CreateBucket(t.Context(), bucketName(t, "new"), config)
			return err
		},
	},
	"update bucket": {
		"STREAM.UPDATE",
		func(t *testing.T, c *kvclient.Client, b *kvclient.Bucket) error {
			_, err := c.UpdateBucket(t.Context(), b.Name(), []byte(`{"history":7}`))
			return err
		},
	},
	"delete bucket": {
		"STREAM.DELETE",
		func(t *testing.T, c *kvclient.Client, b *kvclient.Bucket) error {
			return c.DeleteBucket(t.Context(), b.Name())
		},
	},
	"purge markers": {
		"STREAM.PURGE",
		func(t *testing.T, _ *kvclient.Client, b *kvclient.Bucket) error {
			_, err := b.PurgeMarkers(t.Context(), nil, 0)
			return err
		},
	},
}

// If the connection breaks before the answer, the outcome of each request that changes something
// is unknown.
func TestCutLeavesOutcomesUnknown(t *testing.T) {
	for name, tc := range cutTests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, c, b, _ := behindProxy(t, 5*time.Second)
			put(t, b, "deleted", "v")
			remove(t, b, "deleted", false)
			p.CutAnswerTo(tc.needle)
			took(t, name, promptly, func() {
				wantError(t, tc.request(t, c, b), kv.ErrOutcomeUnknown)
			})
		})
	}
}

// A write that reads first, and gets no answer to that read, has certainly not been sent.
func TestCutBeforeTheWriteStoresNothing(t *testing.T) {
	for name, request := range map[string]func(t *testing.T, b *kvclient.Bucket) error{
		"delete": func(t *testing.T, b *kvclient.Bucket) error {
			_, err := b.Delete(t.Context(), kvclient.Deletion{Key: key(t, "k")})
			return err
		},
		"replace": func(t *testing.T, b *kvclient.Bucket) error {
			_, err := b.Put(t.Context(), kvclient.Write{Key: key(t, "k"), Precondition: ifPresent})
			return err
		},
	} {
		for kind, arm := range map[string]func(*natstest.Proxy, string) <-chan struct{}{
			"cut": (*natstest.Proxy).CutAnswerTo, "silence": (*natstest.Proxy).SwallowAnswerTo,
		} {
			t.Run(name+" "+kind, func(t *testing.T) {
				t.Parallel()
				p, _, b, native := behindProxy(t, 500*time.Millisecond)
				arm(p, "DIRECT.GET.KV_shop")
				wantError(t, request(t, b), kv.ErrUnavailable)
				wantNative(t, native, "k", "before", 1)
			})
		}
	}
}
