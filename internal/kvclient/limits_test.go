package kvclient_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"kvgateway/internal/kv"
	"kvgateway/internal/kvclient"
	"kvgateway/internal/natstest"
)

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

// A client's text that is stored as a header must not become another header.
func TestContentTypeCannotSmuggleHeaders(t *testing.T) {
	t.Parallel()
	c, _ := gateway(t)
	b := shop(t, c, history(3))
	put(t, b, "other", "v")
	for _, smuggled := range []string{
		"text/plain\r\nNats-Rollup: all", "text/plain\nKV-Operation: DEL",
		"text/plain\r\n\r\nbody", "\r\nNats-Msg-Id: 1", "a\x00b", "é", "\xff",
	} {
		w, err := b.Put(t.Context(), kvclient.Write{
			Key:             key(t, "k"),
			Value:           []byte("v"),
			ContentType:     smuggled,
			ContentEncoding: smuggled,
		})
		if err != nil {
			t.Fatalf("%q: %v", smuggled, err)
		}
		wantValue(t, b, "k", "v", w.Revision)
	}
	if got := keys(t, b); !slices.Equal(got, []string{"k", "other"}) {
		t.Errorf("keys %v", got)
	}
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

func TestContextsBoundRequests(t *testing.T) {
	t.Parallel()
	p, _, b, native := behindProxy(t, 5*time.Second)
	over, cancel := context.WithDeadline(t.Context(), time.Now())
	defer cancel()
	w := kvclient.Write{Key: key(t, "k"), Value: []byte("over")}
	_, err := b.Put(over, w)
	wantErrorOf(t, "put with a context that is over", err, kv.ErrUnavailable)
	wantNative(t, native, "k", "before", 1)

	p.Pause()
	const wait = 300 * time.Millisecond
	short, cancel := context.WithTimeout(t.Context(), wait)
	defer cancel()
	took(t, "put", wait+promptly, func() {
		_, err := b.Put(short, w)
		wantErrorOf(t, "put that runs out of time", err, kv.ErrOutcomeUnknown)
	})
	short, cancel = context.WithTimeout(t.Context(), wait)
	defer cancel()
	took(t, "get", wait+promptly, func() {
		_, _, err := b.Get(short, key(t, "k"), kvclient.ReadOptions{})
		wantErrorOf(t, "get that runs out of time", err, kv.ErrTimeout)
	})
	p.Resume()
}

func TestReadWaitsForMinimumRevision(t *testing.T) {
	t.Parallel()
	c, s := gateway(t)
	b := shop(t, c, nil)
	native := native(t, s.JetStream(t), "shop")
	put(t, b, "a", "1")
	last := put(t, b, "b", "2")
	at := func(rev kv.Revision, wait time.Duration) kvclient.ReadOptions {
		options := reached(kv.Position{Revision: rev, Epoch: b.Epoch()})
		options.Wait = wait
		return options
	}
	// The bucket has reached that revision, though the key is at a lower one.
	e, _, err := b.Get(t.Context(), key(t, "a"), at(last, kvclient.NoWait))
	if err != nil || e.Revision != 1 {
		t.Errorf("%+v, %v", e, err)
	}
	_, _, err = b.Get(t.Context(), key(t, "none"), at(last, kvclient.NoWait))
	wantError(t, err, kv.ErrKeyNotFound)
	for _, wait := range []time.Duration{kvclient.NoWait, 200 * time.Millisecond} {
		took(t, "get of the future", max(wait, 0)+promptly, func() {
			_, _, err := b.Get(t.Context(), key(t, "a"), at(last+1, wait))
			wantError(t, err, kv.ErrRevisionNotReached)
		})
	}
	var waiting sync.WaitGroup
	for _, k := range []string{"a", "new"} {
		waiting.Go(func() {
			e, served, err := b.Get(t.Context(), key(t, k), at(last+1, 0))
			if err != nil || served != kvclient.Leader || k == "new" && string(e.Value) != "3" {
				t.Errorf("%s: %+v by %v, %v", k, e, served, err)
			}
		})
	}
	if _, err := native.PutString(t.Context(), "new", "3"); err != nil {
		t.Fatal(err)
	}
	waiting.Wait()
	elsewhere := kv.Position{Revision: 1, Epoch: foreign}
	_, _, err = b.Get(t.Context(), key(t, "a"), reached(elsewhere))
	changed, ok := errors.AsType[*kv.EpochChangedError](err)
	if !ok || changed.Current != b.Epoch() {
		t.Errorf("foreign epoch: %v", err)
	}
}

// When the client is closed, the requests under way end soon and without a panic, with an error
// that the domain knows.
func TestCloseEndsRequestsUnderWay(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t, natstest.Options{})
	c := connect(t, kvclient.Options{URL: s.URL()})
	b := shop(t, c, nil)
	put(t, b, "k", "v")
	var load sync.WaitGroup
	started := make(chan struct{}, 12)
	for i := range 12 {
		load.Go(func() {
			for n := 0; ; n++ {
				var err error
				switch i % 3 {
				case 0:
					_, err = get(t, b, "k")
				case 1:
					err = write(t, b, fmt.Sprintf("w%d", i), "v")
				case 2:
					_, err = b.Keys(t.Context(), nil)
				}
				if n == 3 {
					started <- struct{}{}
				}
				if err != nil {
					if !errors.Is(err, kv.ErrUnavailable) &&
						!errors.Is(err, kv.ErrTimeout) &&
						!errors.Is(err, kv.ErrOutcomeUnknown) {
						t.Errorf("kind %d: %v", i%3, err)
					}
					return
				}
			}
		})
	}
	for range 12 {
		<-started
	}
	took(t, "close and what was under way", 3*promptly, func() {
		c.Close(t.Context())
		load.Wait()
	})
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
