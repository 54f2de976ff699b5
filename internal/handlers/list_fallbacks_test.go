package handlers_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"kvgateway/internal/bound"
	"kvgateway/internal/kvclient"
	"kvgateway/internal/natstest"
)

// A list never misses a write that was acknowledged before it was sent, though lists are answered
// from memory by two gateways, one of which has its changes held back at times.
func TestListFromMemoryHasEveryAcknowledgedWrite(t *testing.T) {
	t.Parallel()
	nats := natstest.Start(t, natstest.Options{})
	proxy := natstest.StartProxy(t, nats.Addr())
	native := natstest.CreateBucket(t, nats.JetStream(t), jetstream.KeyValueConfig{Bucket: "shop"})
	var gateways []*gateway
	for _, at := range []string{nats.URL(), proxy.URL()} {
		g := start(t, withMemory(t), func(s *setup) {
			s.client = kvclient.Options{URL: at, Name: "test", Logger: s.client.Logger}
		})
		g.untilListed(t)
		gateways = append(gateways, g)
	}
	stop := make(chan struct{})
	var acknowledged atomic.Uint64
	var background, readers sync.WaitGroup
	background.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			case <-time.After(time.Millisecond):
				acknowledged.Store(put(t, native, fmt.Sprint("k", i%5), "v"))
			}
		}
	})
	background.Go(func() {
		for paused := true; ; paused = !paused {
			if paused {
				proxy.Pause("(feeds)")
			} else {
				proxy.Resume()
			}
			select {
			case <-stop:
				proxy.Resume()
				return
			case <-time.After(50 * time.Millisecond):
			}
		}
	})
	before, began := gateways[0].fromMemory(t), time.Now()
	for _, g := range gateways {
		for i := range 4 {
			readers.Go(func() {
				s, of := g.session(t), [...]string{"entries", "keys"}[i%2]
				for time.Since(began) < 2*time.Second {
					least := acknowledged.Load()
					a := s.do(t, "GET", "/buckets/shop/"+of, nil)
					if a.status == 503 {
						continue
					}
					var list struct{ Revision uint64 }
					if a.is(t, 200).decode(t, &list); list.Revision < least {
						t.Errorf("%s of revision %v, but %d was acknowledged",
							of, list.Revision, least)
					}
				}
			})
		}
	}
	readers.Wait()
	close(stop)
	background.Wait()
	t.Logf("%v lists were answered from memory", gateways[0].fromMemory(t)-before)
	if gateways[0].fromMemory(t) == before {
		t.Error("no list was answered from memory")
	}
}

// When NATS hangs while lists come, few of them wait for it, and the others are refused at once.
// What needs no NATS is answered as ever.
func TestListsDoNotBuryAHungStore(t *testing.T) {
	t.Parallel()
	nats := natstest.Start(t, natstest.Options{})
	proxy := natstest.StartProxy(t, nats.Addr())
	kv := natstest.CreateBucket(t, nats.JetStream(t), jetstream.KeyValueConfig{Bucket: "shop"})
	put(t, kv, "a", "v")
	bounds := bound.NewSet()
	g := start(t, withMemory(t), func(s *setup) {
		s.client = kvclient.Options{URL: proxy.URL(), Name: "test", Logger: s.client.Logger}
		s.handlers.Bounds, s.client.Bounds, s.feeds.Bounds = bounds, bounds, bounds
	})
	g.untilListed(t)
	g.awaitCached(t, 1)
	proxy.Pause()
	defer proxy.Resume()
	underWay := func(names ...string) (n int64) { // in kvclient, which knows of no fallbacks
		for _, name := range names {
			n += bounds.Find(name).Used() + int64(bounds.Find(name).Waiting())
		}
		return n
	}
	var most, refused, slow atomic.Int64
	var lists sync.WaitGroup
	for i := range 100 {
		lists.Go(func() {
			targets := [...]string{"keys", "entries?values=none", "markers",
				fmt.Sprint("keys?filter=k", i), fmt.Sprintf("entries?filter=k%d.>", i)}
			began := time.Now()
			a := g.get(t, "/buckets/shop/"+targets[i%len(targets)])
			if a.status == 503 && a.header.Get("Retry-After") != "" {
				refused.Add(1)
				if time.Since(began) > time.Second {
					slow.Add(1)
				}
			}
		})
		lists.Go(func() {
			g.get(t, "/buckets/shop/entries", "Accept: application/x-ndjson")
		})
	}
	eventually(t, "most lists are refused", func() bool {
		most.Store(max(most.Load(), underWay("listings", "instants"), underWay("exports")))
		return refused.Load() > 50
	})
	began := time.Now()
	g.get(t, "/buckets/shop/keys/a?consistency=cached").is(t, 200)
	g.get(t, "/buckets/shop/keys?consistency=cached").is(t, 200)
	if took := time.Since(began); took > time.Second {
		t.Errorf("cached reads took %v", took)
	}
	proxy.Resume()
	lists.Wait()
	if most.Load() == 0 || most.Load() > 4 {
		t.Errorf("%d reads were under way at once", most.Load())
	}
	if slow.Load() > 0 {
		t.Errorf("%d lists were refused late", slow.Load())
	}
	eventually(t, "lists are answered again", func() bool {
		return g.get(t, "/buckets/shop/keys").status == 200 &&
			underWay("listings", "instants", "exports") == 0
	})
}
