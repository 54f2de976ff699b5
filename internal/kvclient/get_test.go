package kvclient_test

import (
	"errors"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"kvgateway/internal/kv"
	"kvgateway/internal/kvclient"
	"kvgateway/internal/natstest"
)

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

// A stream that another tool created may not allow direct gets.
func TestBucketWithoutDirectGets(t *testing.T) {
	t.Parallel()
	c, s := gateway(t)
	nativeStream(t, s.JetStream(t), jetstream.StreamConfig{
		Name:              "KV_shop",
		Subjects:          []string{"$KV.shop.>"},
		MaxMsgsPerSubject: 3,
		AllowRollup:       true,
	})
	b := bind(t, c, "shop")
	rev := put(t, b, "k", "1")
	wantValue(t, b, "k", "1", rev)
	_, served, err := b.Get(t.Context(), key(t, "k"), anyReplica)
	if err != nil || served != kvclient.Leader {
		t.Errorf("served by %v, %v", served, err)
	}
	_, err = get(t, b, "none")
	wantError(t, err, kv.ErrKeyNotFound)
	wantMarker(t, b, "k", kv.Delete, remove(t, b, "k", false))
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

func TestStoredHeadersDoNotDeceiveReads(t *testing.T) {
	t.Parallel()
	c, s := gateway(t)
	b := shop(t, c, nil)
	nc := s.Conn(t)
	rev := put(t, b, "victim", "v")
	for _, value := range []string{"", "x"} {
		for _, name := range sorted(poisons) {
			storePoison(t, nc, name, poisons[name], value)
			rev++
			t.Run(name+"/"+value, func(t *testing.T) {
				wantValue(t, b, name, value, rev)
				e, err := b.GetRevision(t.Context(), key(t, name), rev)
				if err != nil || string(e.Value) != value || e.Revision != rev ||
					e.Created.Year() == 2001 {
					t.Errorf("revision %d: %+v, %v", rev, e, err)
				}
				e, served, err := b.Get(t.Context(), key(t, name), anyReplica)
				if err != nil || served != kvclient.Leader {
					t.Errorf("any: %+v, %v, %v", e, served, err)
				}
			})
		}
	}
}

// A mirror may be behind its origin, so a read from a mirror is not one from the leader.
func TestMirrorIsNotServedAsLeader(t *testing.T) {
	t.Parallel()
	c, _ := gateway(t)
	origin := shop(t, c, nil)
	mirror := newBucket(t, c, "copy", mirrorOf("shop"))
	awaitRevision(t, c, "copy", put(t, origin, "k", "v"))
	for _, k := range []string{"k", "none"} {
		_, served, _ := mirror.Get(t.Context(), key(t, k), kvclient.ReadOptions{})
		if served != kvclient.Any {
			t.Errorf("%s: served as %s", k, served)
		}
	}
}
