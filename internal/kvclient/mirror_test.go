package kvclient_test

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"

	"kvgateway/internal/kv"
	"kvgateway/internal/kvclient"
	"kvgateway/internal/natstest"
)

// mirrorOf is an edit of shop and newBucket.
func mirrorOf(origin string) func(*kv.BucketConfig) {
	return func(c *kv.BucketConfig) { c.Mirror = &kv.Source{Name: origin} }
}

// awaitRevision waits until a bucket has reached a revision, such as a mirror that of its origin.
func awaitRevision(t *testing.T, c *kvclient.Client, bucket string, rev kv.Revision) {
	t.Helper()
	natstest.Eventually(t, soon, bucket+" has revision "+rev.String(), func() bool {
		s, err := c.Status(t.Context(), bucketName(t, bucket))
		return err == nil && s.LastRevision >= rev
	})
}

func TestMirrorWritesToItsOrigin(t *testing.T) {
	t.Parallel()
	c, _ := gateway(t)
	origin := shop(t, c, history(3))
	put(t, origin, "before", "1")
	mirror := newBucket(t, c, "copy", func(config *kv.BucketConfig) {
		mirrorOf("shop")(config)
		config.History = 3
	})

	// What is written to the mirror is stored in the origin, and copied back.
	rev := put(t, mirror, "after", "2")
	wantValue(t, origin, "after", "2", rev)
	awaitRevision(t, c, "copy", rev)
	wantValue(t, mirror, "before", "1", 1)
	wantValue(t, mirror, "after", "2", rev)
	if got := keys(t, mirror); !slices.Equal(got, []string{"after", "before"}) {
		t.Errorf("keys of the mirror %v", got)
	}
	if got := keys(t, mirror, "before"); !slices.Equal(got, []string{"before"}) {
		t.Errorf("filtered keys of the mirror %v", got)
	}
	e, err := mirror.GetRevision(t.Context(), key(t, "before"), 1)
	if err != nil || string(e.Value) != "1" {
		t.Errorf("revision of the mirror: %+v, %v", e, err)
	}

	marker := remove(t, mirror, "before", false)
	wantMarker(t, origin, "before", kv.Delete, marker)
	awaitRevision(t, c, "copy", marker)
	wantMarker(t, mirror, "before", kv.Delete, marker)
	wantHistory(t, mirror, "before", "put 1", "delete ")
}

// A write to a mirror is stored in its origin. A precondition is checked there, not against the
// entries that the mirror has by then.
func TestPreconditionsOnAMirrorAreCheckedInItsOrigin(t *testing.T) {
	t.Parallel()
	c, _ := gateway(t)
	origin := shop(t, c, nil)
	mirror := newBucket(t, c, "copy", mirrorOf("shop"))
	for i := range 100 {
		k := "k" + strconv.Itoa(i)
		rev := put(t, mirror, k, "1")
		_, err := create(t, mirror, k, "2")
		mismatch, ok := errors.AsType[*kv.RevisionMismatchError](err)
		if !ok || mismatch.Current.Revision != rev || !mismatch.KeyExists {
			t.Fatalf("create over %s at %d: %v", k, rev, err)
		}
		w, err := mirror.Put(t.Context(), kvclient.Write{
			Key: key(t, k), Value: []byte("3"), Precondition: ifRevision(rev),
		})
		if err != nil {
			t.Fatalf("update of %s: %v", k, err)
		}
		wantValue(t, origin, k, "3", w.Revision)
		_, err = mirror.Put(t.Context(), kvclient.Write{
			Key: key(t, k), Value: []byte("4"), Precondition: ifPresent,
		})
		if err != nil {
			t.Fatalf("replacement of %s, just written: %v", k, err)
		}
		if _, err := mirror.Delete(t.Context(), kvclient.Deletion{Key: key(t, k)}); err != nil {
			t.Fatalf("delete of %s, just written: %v", k, err)
		}
		if _, err := create(t, mirror, k, "5"); err != nil {
			t.Fatalf("create over the marker of %s: %v", k, err)
		}
	}
}

// A mirror on the same server answers direct gets for its origin, and may be behind. So a read of
// the leader must not take its answer.
func TestMirrorsDoNotSpoilLeaderReads(t *testing.T) {
	type maker func(t *testing.T, c *kvclient.Client, js jetstream.JetStream)
	for name, makeMirror := range map[string]maker{
		"through the gateway": func(t *testing.T, c *kvclient.Client, _ jetstream.JetStream) {
			newBucket(t, c, "copy1", mirrorOf("shop"))
			newBucket(t, c, "copy2", mirrorOf("KV_shop"))
		},
		// This one never has the keys that are read, so it certainly misses them.
		"of other keys": func(t *testing.T, _ *kvclient.Client, js jetstream.JetStream) {
			nativeStream(t, js, jetstream.StreamConfig{
				Name:              "partial",
				MirrorDirect:      true,
				AllowDirect:       true,
				MaxMsgsPerSubject: 1,
				Mirror: &jetstream.StreamSource{
					Name: "KV_shop", FilterSubject: "$KV.shop.elsewhere.>",
				},
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rounds := 2000
			if testing.Short() {
				rounds = 200
			}
			c, s := gateway(t)
			b := shop(t, c, nil)
			makeMirror(t, c, s.JetStream(t))
			servedBy := map[kvclient.Consistency]int{}
			for i := range rounds {
				k, value := "k"+strconv.Itoa(i%50), strconv.Itoa(i)
				rev := put(t, b, k, value)
				e, served, err := b.Get(t.Context(), key(t, k), kvclient.ReadOptions{})
				if err != nil || e.Revision != rev || string(e.Value) != value ||
					served != kvclient.Leader {
					t.Fatalf("round %d: %+v by %v, %v; want revision %d of the leader",
						i, e, served, err, rev)
				}
				_, served, err = b.Get(t.Context(), key(t, k), anyReplica)
				_, deleted := errors.AsType[*kv.KeyDeletedError](err)
				if err != nil && !deleted {
					t.Fatalf("round %d, any: %v", i, err)
				}
				servedBy[served]++
				options := anyReplica
				options.MinRevision = kv.Position{Revision: rev}
				e, _, err = b.Get(t.Context(), key(t, k), options)
				if err != nil || e.Revision < rev {
					t.Fatalf("round %d, any with minimum %d: %+v, %v", i, rev, e, err)
				}
				if i%5 == 0 {
					wantMarker(t, b, k, kv.Delete, remove(t, b, k, false))
				}
				_, err = get(t, b, "never"+strconv.Itoa(i))
				if !errors.Is(err, kv.ErrKeyNotFound) {
					t.Fatalf("round %d: a missing key: %v", i, err)
				}
			}
			t.Logf("reads of any replica: %v", servedBy)
		})
	}
}

func TestSourcesAreCopied(t *testing.T) {
	t.Parallel()
	c, s := gateway(t)
	js := s.JetStream(t)
	eu, us := newBucket(t, c, "eu", nil), newBucket(t, c, "us", nil)
	all := newBucket(t, c, "all", func(config *kv.BucketConfig) {
		config.Sources = []*kv.Source{{Name: "eu"}, {Name: "KV_us"}}
	})
	put(t, eu, "from-eu", "1")
	put(t, us, "from-us", "2")
	put(t, all, "own", "3")
	awaitRevision(t, c, "all", 3)
	if got := keys(t, all); !slices.Equal(got, []string{"from-eu", "from-us", "own"}) {
		t.Errorf("keys %v", got)
	}
	e, err := native(t, js, "all").Get(t.Context(), "from-us")
	if err != nil || string(e.Value()) != "2" {
		t.Errorf("native read of a sourced key: %v, %v", e, err)
	}
	remove(t, us, "from-us", false)
	awaitRevision(t, c, "all", 4)
	wantMarker(t, all, "from-us", kv.Delete, 4)
}

func TestSourcesAreTransformed(t *testing.T) {
	t.Parallel()
	c, s := gateway(t)
	eu := newBucket(t, c, "eu", nil)
	nativeStream(t, s.JetStream(t), jetstream.StreamConfig{
		Name: "orders", Subjects: []string{"orders.*"},
	})
	all := newBucket(t, c, "all", func(config *kv.BucketConfig) {
		config.Sources = []*kv.Source{
			{Name: "KV_eu", SubjectTransforms: []kv.SubjectTransform{
				{Source: "$KV.eu.public.>", Destination: "$KV.all.eu.>"},
			}},
			{Name: "orders", SubjectTransforms: []kv.SubjectTransform{
				{Source: "orders.*", Destination: "$KV.all.orders.{{wildcard(1)}}"},
			}},
		}
	})
	put(t, eu, "public.a", "1")
	put(t, eu, "private.b", "2")
	if _, err := s.Conn(t).Request("orders.17", []byte("3"), soon); err != nil {
		t.Fatal(err)
	}
	awaitRevision(t, c, "all", 2)
	if got := keys(t, all); !slices.Equal(got, []string{"eu.a", "orders.17"}) {
		t.Errorf("keys %v", got)
	}
}

// everything creates a bucket, uses each operation once, and returns the bucket.
func everything(t *testing.T, c *kvclient.Client, name string) *kvclient.Bucket {
	t.Helper()
	b := newBucket(t, c, name, history(3))
	rev := put(t, b, "a", "1")
	wantValue(t, b, "a", "1", rev)
	w, err := b.Put(t.Context(), kvclient.Write{
		Key:          key(t, "a"),
		Value:        []byte("2"),
		Precondition: ifMatch(kv.Position{Revision: rev, Epoch: b.Epoch()}),
	})
	if err != nil {
		t.Fatalf("update: %v", err)
	}
	if _, err := create(t, b, "a", "3"); err == nil {
		t.Error("create over a value succeeds")
	}
	e, err := b.GetRevision(t.Context(), key(t, "a"), rev)
	if err != nil || string(e.Value) != "1" {
		t.Errorf("revision: %+v, %v", e, err)
	}
	wantHistory(t, b, "a", "put 1", "put 2")
	put(t, b, "b", "x")
	marker := remove(t, b, "b", true)
	wantMarker(t, b, "b", kv.Purge, marker)
	if got := keys(t, b); !slices.Equal(got, []string{"a"}) {
		t.Errorf("keys %v", got)
	}
	if done, err := b.PurgeMarkers(t.Context(), nil, 0); err != nil || done.Removed != 1 {
		t.Errorf("purged markers %+v, %v", done, err)
	}
	if _, err := get(t, b, "b"); !errors.Is(err, kv.ErrKeyNotFound) {
		t.Errorf("purged key: %v", err)
	}
	status, err := c.UpdateBucket(t.Context(), b.Name(), []byte(`{"description":"changed"}`))
	if err != nil || status.Config.Description != "changed" || status.LastRevision != marker {
		t.Errorf("update of the bucket: %+v, %v", status, err)
	}
	if names, err := c.BucketNames(t.Context()); err != nil || !slices.Contains(names, b.Name()) {
		t.Errorf("buckets %v, %v", names, err)
	}
	wantValue(t, b, "a", "2", w.Revision)
	return bind(t, c, name)
}

// hubAndLeaf starts a hub in a domain of its own, and a leaf node of it in another domain.
func hubAndLeaf(t *testing.T) (hub, leaf *natstest.Server) {
	t.Helper()
	port := natstest.FreePort(t)
	hub = natstest.Start(t, natstest.Options{Domain: "hub", Configure: func(o *server.Options) {
		o.ServerName, o.LeafNode.Host, o.LeafNode.Port = "hub", "127.0.0.1", port
	}})
	leaf = natstest.Start(t, natstest.Options{Domain: "leaf", Configure: func(o *server.Options) {
		o.ServerName = "leaf"
		hub := &url.URL{Scheme: "nats", Host: fmt.Sprintf("127.0.0.1:%d", port)}
		o.LeafNode.Remotes = []*server.RemoteLeafOpts{{URLs: []*url.URL{hub}}}
	}})
	natstest.Eventually(t, soon, "the leaf node is connected", func() bool {
		return hub.NATS().NumLeafNodes() == 1
	})
	return hub, leaf
}

func TestDomainAndPrefixReachTheSameBuckets(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t, natstest.Options{Domain: "hub"})
	for name, opts := range map[string]kvclient.Options{
		"plain":      {URL: s.URL()},
		"domain":     {URL: s.URL(), JSDomain: "hub"},
		"api-prefix": {URL: s.URL(), JSAPIPrefix: "$JS.hub.API"},
	} {
		b := everything(t, connect(t, opts), name)
		// A native client without a domain sees the same bucket.
		wantNative(t, native(t, s.JetStream(t), name), "a", "2", 2)
		if b.Epoch() == "" {
			t.Error("no epoch")
		}
	}
}

func TestDomainBehindALeafNodeIsReached(t *testing.T) {
	t.Parallel()
	hub, leaf := hubAndLeaf(t)
	c := connect(t, kvclient.Options{URL: leaf.URL(), JSDomain: "hub"})
	everything(t, c, "far")
	wantNative(t, native(t, hub.JetStream(t), "far"), "a", "2", 2)

	// The leaf's own JetStream does not have the bucket.
	near := connect(t, kvclient.Options{URL: leaf.URL()})
	_, err := near.Bucket(t.Context(), bucketName(t, "far"))
	if !errors.Is(err, kv.ErrBucketNotFound) {
		t.Errorf("bucket of the hub in the leaf: %v", err)
	}
}

func TestMirrorOfAnotherDomainWritesToItsOrigin(t *testing.T) {
	t.Parallel()
	hub, leaf := hubAndLeaf(t)
	origin := everything(t, connect(t, kvclient.Options{URL: hub.URL()}), "shop")
	c := connect(t, kvclient.Options{URL: leaf.URL()})
	mirror := newBucket(t, c, "shop", func(config *kv.BucketConfig) {
		config.Mirror = &kv.Source{
			Name: "shop", External: &kv.External{API: "$JS.hub.API"},
		}
	})
	rev := put(t, mirror, "near", "v")
	wantValue(t, origin, "near", "v", rev)
	awaitRevision(t, c, "shop", rev)
	wantValue(t, mirror, "near", "v", rev)
	native := native(t, leaf.JetStream(t), "shop")
	wantNative(t, native, "near", "v", uint64(rev))
	if rev, err := native.PutString(t.Context(), "native", "v"); err != nil {
		t.Errorf("native put through the mirror: %v", err)
	} else {
		awaitRevision(t, c, "shop", kv.Revision(rev))
		wantValue(t, mirror, "native", "v", kv.Revision(rev))
	}
	if got := keys(t, mirror); !slices.Equal(got, []string{"a", "native", "near"}) {
		t.Errorf("keys of the mirror %v", got)
	}
	marker := remove(t, mirror, "near", false)
	wantMarker(t, origin, "near", kv.Delete, marker)
}

// In importedJetStream the account APP imports the JetStream of the account STORE, under a prefix.
const importedJetStream = `
accounts {
  STORE { jetstream: enabled, users: [{user: store, password: pw}]
    exports: [{service: "$JS.API.>", response_type: stream}, {service: "$KV.>"}] }
  APP { users: [{user: app, password: pw}]
    imports: [
      {service: {account: STORE, subject: "$JS.API.>"}, to: "store.API.>"}
      {service: {account: STORE, subject: "$KV.>"}, to: "store.API.$KV.>"}] }
}`

func TestAPIPrefixReachesAnotherAccount(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t, natstest.Options{Configure: func(o *server.Options) {
		if err := o.ProcessConfigString(importedJetStream); err != nil {
			t.Error(err)
		}
	}})
	c := connect(t, kvclient.Options{
		URL: s.URL(), User: "app", Password: "pw", JSAPIPrefix: "store.API",
	})
	everything(t, c, "shared")
	store := connect(t, kvclient.Options{URL: s.URL(), User: "store", Password: "pw"})
	wantValue(t, bind(t, store, "shared"), "a", "2", 2)
}

// Two accounts can have buckets of the same name, which have nothing to do with each other.
func TestAccountsAreApart(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t, natstest.Options{Configure: func(o *server.Options) {
		err := o.ProcessConfigString(`accounts {
			A { jetstream: enabled, users: [{user: a, password: pw}] }
			B { jetstream: enabled, users: [{user: b, password: pw}] } }`)
		if err != nil {
			t.Error(err)
		}
	}})
	a := connect(t, kvclient.Options{URL: s.URL(), User: "a", Password: "pw"})
	b := connect(t, kvclient.Options{URL: s.URL(), User: "b", Password: "pw"})
	put(t, shop(t, a, nil), "k", "of a")
	_, err := b.Bucket(t.Context(), bucketName(t, "shop"))
	if !errors.Is(err, kv.ErrBucketNotFound) {
		t.Errorf("bucket of a, seen by b: %v", err)
	}
	put(t, shop(t, b, nil), "k", "of b")
	wantValue(t, bind(t, a, "shop"), "k", "of a", 1)
	wantValue(t, bind(t, b, "shop"), "k", "of b", 1)
}
