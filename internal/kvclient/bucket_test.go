package kvclient_test

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"kvgateway/internal/kv"
	"kvgateway/internal/kvclient"
	"kvgateway/internal/natstest"
)

func wantErrorOf(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: error %v, want %v", what, err, want)
	}
}

// A put into a bucket that was deleted, with a binding from before that, has another error than a
// put without a server.
func TestMissingBucketIsDistinguishedFromMissingServer(t *testing.T) {
	t.Parallel()
	c, s := gateway(t)
	b := shop(t, c, nil)
	js := s.JetStream(t)
	put(t, b, "k", "v")
	if err := js.DeleteKeyValue(t.Context(), "shop"); err != nil {
		t.Fatal(err)
	}
	const limit = 100 * time.Millisecond
	took(t, "put", limit, func() {
		wantErrorOf(t, "put", write(t, b, "k", "v"), kv.ErrBucketNotFound)
	})
	took(t, "get", limit, func() {
		_, err := get(t, b, "k")
		wantErrorOf(t, "get", err, kv.ErrBucketNotFound)
	})
	took(t, "keys", limit, func() {
		_, err := b.Keys(t.Context(), nil)
		wantErrorOf(t, "keys", err, kv.ErrBucketNotFound)
	})
	took(t, "history", limit, func() {
		_, err := b.HistoryOf(t.Context(), key(t, "k"), true)
		wantErrorOf(t, "history", err, kv.ErrBucketNotFound)
	})
	took(t, "bind", limit, func() {
		_, err := c.Bucket(t.Context(), b.Name())
		wantErrorOf(t, "bind", err, kv.ErrBucketNotFound)
	})
	took(t, "bind of one that never was", limit, func() {
		_, err := c.Bucket(t.Context(), bucketName(t, "never"))
		wantErrorOf(t, "bind", err, kv.ErrBucketNotFound)
	})
	s.Stop()
	natstest.Eventually(t, soon, "the client notices", func() bool { return !c.Connected() })
	took(t, "put", limit, func() {
		wantErrorOf(t, "put", write(t, b, "k", "v"), kv.ErrUnavailable)
	})
	took(t, "bind", limit, func() {
		_, err := c.Bucket(t.Context(), b.Name())
		wantErrorOf(t, "bind", err, kv.ErrUnavailable)
	})
}

// The longest names make subjects that the server still accepts, in every kind of request.
func TestLongestNamesAreAccepted(t *testing.T) {
	t.Parallel()
	c, _ := gateway(t)
	name := strings.Repeat("b", kv.MaxBucketNameBytes)
	b := newBucket(t, c, name, history(3))
	reading, writing := c.ReadConn(), c.WriteConn()
	for _, k := range []string{
		strings.Repeat("k", kv.MaxKeyBytes),
		strings.Repeat("k.", kv.MaxKeyBytes/2-1) + "kk",
	} {
		rev := put(t, b, k, "1")
		wantValue(t, b, k, "1", rev)
		wantHistory(t, b, k, "put 1")
		marker := remove(t, b, k, false)
		wantMarker(t, b, k, kv.Delete, marker)
		if _, err := create(t, b, k, "2"); err != nil {
			t.Errorf("create: %v", err)
		}
		remove(t, b, k, true)
		done, err := b.PurgeMarkers(t.Context(), filters(t, k), 0)
		if err != nil || done.Removed != 1 {
			t.Errorf("purged markers %+v, %v", done, err)
		}
	}
	deep := strings.Repeat("a.", kv.MaxKeyBytes/2-1) + "ab"
	put(t, b, deep, "v")
	// The tokens of a filter can be as long as these.
	wide := strings.Repeat(strings.Repeat("k", 31)+".", kv.MaxWildcardTokens-1)
	put(t, b, wide+"end", "v")
	for filter, want := range map[string]string{
		deep:       deep,
		"a.>":      deep,
		wide + "*": wide + "end",
		wide + ">": wide + "end",
		strings.Repeat("*.", kv.MaxWildcardTokens-1) + "*": wide + "end",
		"a." + strings.Repeat("*.", 30) + ">":              deep,
	} {
		if got := keys(t, b, filter); !slices.Equal(got, []string{want}) {
			t.Errorf("filter of %d bytes: %d keys", len(filter), len(got))
		}
	}
	if err := c.DeleteBucket(t.Context(), b.Name()); err != nil {
		t.Error(err)
	}
	for _, conn := range []*nats.Conn{reading, writing} {
		if !conn.IsConnected() || conn.Stats().Reconnects != 0 {
			t.Error("the connection was lost")
		}
	}
}

// Requests for buckets that do not exist must not make the client forget the bindings of others.
func TestMissingBucketsLeaveOtherBindingsAlone(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for a binding to grow old")
	}
	t.Parallel()
	c, _ := gateway(t)
	first := shop(t, c, nil)
	missing := bucketName(t, "missing")
	stop := make(chan struct{})
	var asking sync.WaitGroup
	for range 16 {
		asking.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					_, _ = c.Bucket(t.Context(), missing)
				}
			}
		})
	}
	natstest.Eventually(t, soon, "the first binding is old", func() bool {
		return bind(t, c, "shop") != first
	})
	seen := make(map[*kvclient.Bucket]bool)
	for range 200 {
		seen[bind(t, c, "shop")] = true
	}
	close(stop)
	asking.Wait()
	if len(seen) > 20 {
		t.Errorf("200 requests asked the server %d times for their bucket", len(seen))
	}
}

func TestStreamsThatAreNoBuckets(t *testing.T) {
	for name, config := range map[string]jetstream.StreamConfig{
		"other subjects":     {Subjects: []string{"orders.>"}, MaxMsgsPerSubject: 1},
		"one more subject":   {Subjects: []string{"$KV.shop.>", "orders.>"}, MaxMsgsPerSubject: 1},
		"part of the bucket": {Subjects: []string{"$KV.shop.a.>"}, MaxMsgsPerSubject: 1},
		"another bucket's":   {Subjects: []string{"$KV.other.>"}, MaxMsgsPerSubject: 1},
		"unbounded history":  {Subjects: []string{"$KV.shop.>"}},
		"sources, no subject": {
			Sources: []*jetstream.StreamSource{{Name: "orders"}}, MaxMsgsPerSubject: 1,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, s := gateway(t)
			js := s.JetStream(t)
			config.Name = "KV_shop"
			if _, err := js.CreateStream(t.Context(), config); err != nil {
				t.Fatal(err)
			}
			before := settings(t, js)
			shop := bucketName(t, "shop")
			_, err := c.Bucket(t.Context(), shop)
			wantErrorOf(t, "bind", err, kv.ErrBadBucket)
			_, err = c.Status(t.Context(), shop)
			wantErrorOf(t, "status", err, kv.ErrBadBucket)
			_, _, err = c.CreateBucket(t.Context(), shop, kv.DefaultBucketConfig())
			wantErrorOf(t, "create", err, kv.ErrBadBucket)
			_, err = c.UpdateBucket(t.Context(), shop, []byte(`{"description":"x"}`))
			wantErrorOf(t, "update", err, kv.ErrBadBucket)
			wantErrorOf(t, "delete", c.DeleteBucket(t.Context(), shop), kv.ErrBadBucket)
			wantOnly(t, before, settings(t, js))
		})
	}
}

// A bucket exists, but the node with its only replica is down. Requests fail as unavailable, which
// says that nothing was done and that the bucket may come back.
func TestBucketOnANodeThatIsDownIsUnavailable(t *testing.T) {
	if testing.Short() {
		t.Skip("starts three servers")
	}
	t.Parallel()
	nodes := natstest.StartCluster(t)
	c := connect(t, kvclient.Options{URL: nodes.URL(), RequestTimeout: 500 * time.Millisecond})
	js := nodes.JetStream(t)
	natstest.Eventually(t, soon, "a bucket with one replica", func() bool {
		config := kv.DefaultBucketConfig()
		_, _, err := c.CreateBucket(t.Context(), bucketName(t, "one"), config)
		return err == nil
	})
	b := bind(t, c, "one")
	put(t, b, "k", "v")
	nodes.StopNode(nodes.StreamLeader(js, "KV_one"))

	// The other nodes do not answer at all until they consider the one as lost.
	var err error
	natstest.Eventually(t, 30*time.Second, "an answer about the bucket", func() bool {
		_, err = c.Status(t.Context(), bucketName(t, "one"))
		return err != nil && !errors.Is(err, kv.ErrTimeout)
	})
	if !errors.Is(err, kv.ErrUnavailable) {
		t.Errorf("status: %v, want ErrUnavailable", err)
	}
	if _, err := get(t, b, "k"); !errors.Is(err, kv.ErrUnavailable) {
		t.Errorf("get: %v, want ErrUnavailable", err)
	}
	if err := write(t, b, "k", "w"); !errors.Is(err, kv.ErrUnavailable) {
		t.Errorf("put: %v, want ErrUnavailable", err)
	}
}

// withoutAdvisories starts a gateway whose user may not see advisories, and a native client that
// may do everything.
func withoutAdvisories(t *testing.T) (*kvclient.Client, jetstream.JetStream) {
	t.Helper()
	s := natstest.Start(t, natstest.Options{Configure: func(o *server.Options) {
		o.Users = []*server.User{
			{Username: "native", Password: "pw"},
			{Username: "gateway", Password: "pw", Permissions: &server.Permissions{
				Subscribe: &server.SubjectPermission{Deny: []string{"$JS.EVENT.ADVISORY.>"}}}},
		}
	}})
	c := connect(t, kvclient.Options{URL: s.URL(), User: "gateway", Password: "pw"})
	return c, s.JetStream(t, nats.UserInfo("native", "pw"))
}

// wantEpochChange waits until the gateway knows that the bucket has another epoch.
func wantEpochChange(
	t *testing.T, c *kvclient.Client, old kv.Epoch, within time.Duration,
) *kvclient.Bucket {
	t.Helper()
	var now *kvclient.Bucket
	natstest.Eventually(t, within, "the new epoch is known", func() bool {
		now = bind(t, c, "shop")
		return now.Epoch() != old
	})
	return now
}

// wantOldTagsRefused checks that tags of an old epoch match nothing, and that reads cannot wait
// for them.
func wantOldTagsRefused(t *testing.T, b *kvclient.Bucket, old kv.Epoch) {
	t.Helper()
	e, err := get(t, b, "k")
	if err != nil {
		t.Fatal(err)
	}
	stale := kv.Condition{Positions: []kv.Position{{Revision: e.Revision, Epoch: old}}}
	for name, request := range map[string]func() error{
		"put": func() error {
			_, err := b.Put(t.Context(), kvclient.Write{
				Key: key(t, "k"), Precondition: kv.Precondition{IfMatch: stale},
			})
			return err
		},
		"delete": func() error {
			_, err := b.Delete(t.Context(), kvclient.Deletion{
				Key: key(t, "k"), Precondition: kv.Precondition{IfMatch: stale},
			})
			return err
		},
	} {
		mismatch, ok := errors.AsType[*kv.RevisionMismatchError](request())
		if !ok || mismatch.Current != e.Position {
			t.Errorf("%s with a tag of the old epoch: %+v", name, mismatch)
		}
	}
	first := kv.Position{Revision: 1, Epoch: old}
	_, _, err = b.Get(t.Context(), key(t, "k"), reached(first))
	changed, ok := errors.AsType[*kv.EpochChangedError](err)
	if !ok || changed.Current != b.Epoch() {
		t.Errorf("minimum revision of the old epoch: %v", err)
	}
	// An old tag is not that of the key, so a write on condition that it is not may go ahead.
	_, err = b.Put(t.Context(), kvclient.Write{
		Key: key(t, "k"), Precondition: kv.Precondition{IfNoneMatch: stale},
	})
	if err != nil {
		t.Errorf("unless the old tag: %v", err)
	}
}

func TestRecreationThroughTheGatewayChangesTheEpoch(t *testing.T) {
	t.Parallel()
	c, _ := gateway(t)
	b := shop(t, c, nil)
	put(t, b, "k", "old")
	if err := c.DeleteBucket(t.Context(), b.Name()); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Bucket(t.Context(), b.Name()); !errors.Is(err, kv.ErrBucketNotFound) {
		t.Errorf("deleted bucket: %v", err)
	}
	again := shop(t, c, nil)
	if again.Epoch() == b.Epoch() {
		t.Fatal("the epoch is the same")
	}
	put(t, again, "k", "new")
	wantOldTagsRefused(t, again, b.Epoch())
}

func TestRecreationIsLearntFromAdvisories(t *testing.T) {
	t.Parallel()
	c, s := gateway(t)
	js := s.JetStream(t)
	old := shop(t, c, nil)
	put(t, old, "k", "old")
	recreate(t, js, "new")
	now := wantEpochChange(t, c, old.Epoch(), atOnce)
	wantOldTagsRefused(t, now, old.Epoch())
}

func TestDeletionIsLearntFromAdvisories(t *testing.T) {
	t.Parallel()
	c, s := gateway(t)
	js := s.JetStream(t)
	old := shop(t, c, nil)
	if err := js.DeleteKeyValue(t.Context(), "shop"); err != nil {
		t.Fatal(err)
	}
	natstest.Eventually(t, atOnce, "the deletion is known", func() bool {
		_, err := c.Bucket(t.Context(), old.Name())
		return errors.Is(err, kv.ErrBucketNotFound)
	})
}

func TestRecreationIsLearntWithoutAdvisories(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for a binding to grow old")
	}
	t.Parallel()
	c, js := withoutAdvisories(t)
	old := shop(t, c, nil)
	put(t, old, "k", "old")
	recreate(t, js, "new")
	now := wantEpochChange(t, c, old.Epoch(), 5*time.Second+atOnce)
	wantOldTagsRefused(t, now, old.Epoch())
}

// Whatever the gateway asks for, an answer that shows a new epoch ends the old one.
func TestAnswerOfANewEpochEndsTheOld(t *testing.T) {
	for name, look := range map[string]func(t *testing.T, c *kvclient.Client, b *kvclient.Bucket){
		"status": func(t *testing.T, c *kvclient.Client, b *kvclient.Bucket) {
			if s, err := c.Status(t.Context(), b.Name()); err != nil || s.Epoch == b.Epoch() {
				t.Errorf("status of epoch %s, %v", s.Epoch, err)
			}
		},
		"question for the state": func(t *testing.T, c *kvclient.Client, b *kvclient.Bucket) {
			s, err := c.AskState(b.Name()).Ask(t.Context())
			if err != nil || s.Epoch == b.Epoch() {
				t.Errorf("state of epoch %s, %v", s.Epoch, err)
			}
		},
		"keys": func(t *testing.T, c *kvclient.Client, b *kvclient.Bucket) {
			l, err := b.Keys(t.Context(), nil)
			if err != nil || len(l.Entries) != 1 {
				t.Fatalf("%d keys, %v", len(l.Entries), err)
			}
			if bind(t, c, b.Name().String()).Epoch() == b.Epoch() {
				t.Error("the old epoch, after a scan that asked for the stream's state")
			}
		},
		"put with a low revision": func(t *testing.T, c *kvclient.Client, b *kvclient.Bucket) {
			w, err := b.Put(t.Context(), kvclient.Write{Key: key(t, "k")})
			if err != nil || w.Revision != 2 || w.Epoch == b.Epoch() {
				t.Errorf("written %+v, %v", w, err)
			}
		},
		"foreign epoch": func(t *testing.T, c *kvclient.Client, b *kvclient.Bucket) {
			_, err := b.Put(t.Context(), kvclient.Write{
				Key:          key(t, "k"),
				Precondition: ifMatch(kv.Position{Revision: 1, Epoch: foreign}),
			})
			mismatch, ok := errors.AsType[*kv.RevisionMismatchError](err)
			if !ok || mismatch.Current.Epoch == b.Epoch() {
				t.Errorf("error %v of %+v", err, mismatch)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, js := withoutAdvisories(t)
			b := shop(t, c, nil)
			put(t, b, "k", "1")
			put(t, b, "k", "2")
			put(t, b, "k", "3")
			b = rebind(t, c)
			recreate(t, js, "new")
			look(t, c, b)
			if now := bind(t, c, "shop"); now.Epoch() == b.Epoch() {
				t.Error("the old epoch is still believed")
			}
		})
	}
}

// rebind makes the client look up the bucket now. It reads with a position of a foreign epoch,
// since the client asks the server before it calls an epoch foreign.
func rebind(t *testing.T, c *kvclient.Client) *kvclient.Bucket {
	t.Helper()
	elsewhere := kv.Position{Epoch: foreign, Revision: 1}
	_, _, err := bind(t, c, "shop").Get(t.Context(), key(t, "k"), reached(elsewhere))
	if _, ok := errors.AsType[*kv.EpochChangedError](err); !ok {
		t.Fatalf("error %v", err)
	}
	return bind(t, c, "shop")
}

// A bucket was deleted and created again, its revisions are already beyond those of the old one,
// and there are no advisories. An acknowledged write is stored, whichever epoch it is reported
// with.
func TestWritesGoOnThroughARecreation(t *testing.T) {
	t.Parallel()
	c, js := withoutAdvisories(t)
	b := shop(t, c, nil)
	put(t, b, "k", "old")
	native := recreate(t, js, "1", "2", "3", "4", "5")
	rev := put(t, b, "k", "ours")
	wantNative(t, native, "k", "ours", uint64(rev))
}

func TestLimitLoweredByAnotherIsLearnt(t *testing.T) {
	for name, advisories := range map[string]bool{"with advisories": true, "without": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, js := withoutAdvisories(t)
			if advisories {
				var s *natstest.Server
				c, s = gateway(t)
				js = s.JetStream(t)
			}
			b := shop(t, c, nil)
			put(t, b, "k", strings.Repeat("x", 1000))
			_, err := js.UpdateKeyValue(t.Context(), jetstream.KeyValueConfig{
				Bucket: "shop", MaxValueSize: 100,
			})
			if err != nil {
				t.Fatal(err)
			}
			// The server refuses the value, whether or not the gateway knows of the new limit.
			_, err = b.Put(t.Context(), kvclient.Write{
				Key: key(t, "k"), Value: make([]byte, 1000),
			})
			tooLarge, ok := errors.AsType[*kv.ValueTooLargeError](err)
			if !ok || tooLarge.Limit != 100 {
				t.Errorf("error %v, want a ValueTooLargeError with the limit 100", err)
			}
			b = bind(t, c, "shop")
			if room(b) != 100 {
				t.Errorf("limit %d, want 100", room(b))
			}
			wantError(t, write(t, b, "k", strings.Repeat("x", 100)), nil)
		})
	}
}

func TestLimitRaisedByAnotherIsLearnt(t *testing.T) {
	t.Parallel()
	c, s := gateway(t)
	js := s.JetStream(t)
	shop(t, c, func(config *kv.BucketConfig) { config.MaxValueSize = 100 })
	_, err := js.UpdateKeyValue(t.Context(), jetstream.KeyValueConfig{
		Bucket: "shop", MaxValueSize: 1000,
	})
	if err != nil {
		t.Fatal(err)
	}
	natstest.Eventually(t, atOnce, "the new limit is known", func() bool {
		return write(t, bind(t, c, "shop"), "k", strings.Repeat("x", 1000)) == nil
	})
}

func TestRequiredPreconditionsAreLearnt(t *testing.T) {
	t.Parallel()
	c, s := gateway(t)
	js := s.JetStream(t)
	if shop(t, c, nil).RequiresPreconditions() {
		t.Error("required without being asked for")
	}
	_, err := js.UpdateKeyValue(t.Context(), jetstream.KeyValueConfig{Bucket: "shop",
		Metadata: map[string]string{kvclient.MetadataRequirePreconditions: "true"}})
	if err != nil {
		t.Fatal(err)
	}
	natstest.Eventually(t, atOnce, "preconditions are required", func() bool {
		return bind(t, c, "shop").RequiresPreconditions()
	})
}

// Advisories that the server sends while the gateway is not connected are lost. So after that the
// gateway must not trust what it knew before.
func TestRecreationWhileDisconnectedIsLearnt(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t, natstest.Options{})
	p := natstest.StartProxy(t, s.Addr())
	c := connect(t, kvclient.Options{URL: p.URL()})
	b := shop(t, c, nil)
	put(t, b, "k", "old")
	p.Refuse(true)
	p.Cut()
	natstest.Eventually(t, soon, "the client notices", func() bool { return !c.Connected() })
	recreate(t, s.JetStream(t), "new")
	p.Refuse(false)
	natstest.Eventually(t, soon, "connected again", func() bool {
		return c.ReadConn().IsConnected() && c.WriteConn().IsConnected()
	})
	now := wantEpochChange(t, c, b.Epoch(), atOnce)
	wantOldTagsRefused(t, now, b.Epoch())
}

// The epoch is the same after a restart of the server, since it is stored with the stream.
func TestEpochSurvivesARestart(t *testing.T) {
	t.Parallel()
	c, s := gateway(t)
	epoch := shop(t, c, nil).Epoch()
	s.Restart()
	awaitReady(t, c)
	if now := bind(t, c, "shop").Epoch(); now != epoch {
		t.Errorf("epoch %s after a restart, before %s", now, epoch)
	}
}
