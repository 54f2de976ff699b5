package handlers_test

import (
	"bytes"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"kvgateway/internal/kvclient"
	"kvgateway/internal/natstest"
)

// crowded is how many requests are sent at once, so that some are answered from memory.
const crowded = 100

// inMemory makes a gateway keep copies of buckets.
func inMemory(s *setup) { s.feeds.Memory = 64 << 20 }

// startInMemory runs a gateway that has the bucket shop in memory once it can be read from there.
func startInMemory(t testing.TB, configure ...func(*setup)) (*gateway, jetstream.KeyValue) {
	t.Helper()
	g := start(t, append(configure, inMemory)...)
	kv := g.shop(t)
	g.untilInMemory(t)
	return g, kv
}

// untilInMemory watches the bucket shop until the test ends, and waits until reads are answered
// from memory.
func (g *gateway) untilInMemory(t testing.TB) {
	t.Helper()
	g.watch(t, "/buckets/shop/watch?updates_only=true&filter=none")
	eventually(t, "reads are answered from memory", func() bool {
		before := g.fromMemory(t)
		g.together(t, http.MethodGet, "/buckets/shop/keys/none")
		return g.fromMemory(t) > before
	})
}

// fromMemory returns how many reads were answered from memory.
func (g *gateway) fromMemory(t testing.TB) float64 {
	t.Helper()
	return g.metric(t, "kvgw_memory_reads_total", map[string]string{})
}

// together sends a request many times at once, and returns the answers.
func (g *gateway) together(t testing.TB, method, target string, header ...string) []*answer {
	answers := make([]*answer, crowded)
	var work sync.WaitGroup
	for i := range answers {
		work.Go(func() { answers[i] = g.do(t, method, target, nil, header...) })
	}
	work.Wait()
	return answers
}

// What is answered from memory is what NATS would answer, to the last header, for every kind of
// read of a key and for everything that a key can be.
func TestAnswersFromMemoryAreThoseOfNATS(t *testing.T) {
	t.Parallel()
	g, kv := startInMemory(t)
	g.do(t, "PUT", "/buckets/shop/keys/json", `{"a":1}`, "Content-Type: application/json")
	put(t, kv, "plain", "value")
	put(t, kv, "gone", "value")
	deleteKey(t, kv, "gone")
	tag := g.get(t, "/buckets/shop/keys/plain").tag()
	for _, test := range []struct {
		method, target string
		header         []string
	}{
		{"GET", "keys/json", nil},
		{"GET", "keys/plain", nil},
		{"HEAD", "keys/plain", nil},
		{"GET", "keys/plain", []string{"If-None-Match: " + tag}},
		{"GET", "keys/plain", []string{"If-Match: \"1\""}},
		{"GET", "keys/plain", []string{"Range: bytes=1-2"}},
		{"GET", "keys/plain?min_revision=" + tag[1:len(tag)-1], nil},
		{"GET", "entries/json", nil},
		{"GET", "keys/gone", nil},
		{"GET", "keys/never", nil},
	} {
		target := "/buckets/shop/" + test.target
		want := g.do(t, test.method, target, nil, test.header...)
		eventually(t, test.method+" "+target+" from memory", func() bool {
			before := g.fromMemory(t)
			for _, a := range g.together(t, test.method, target, test.header...) {
				wantAnswerOfNATS(t, test.method+" "+target, a, want)
			}
			return g.fromMemory(t) > before
		})
	}
}

// wantAnswerOfNATS checks that an answer is another one, but for what names the request.
func wantAnswerOfNATS(t *testing.T, what string, got, want *answer) {
	t.Helper()
	of := func(a *answer) string {
		header := a.header.Clone()
		for _, name := range []string{"Date", "X-Request-Id"} {
			header.Del(name)
		}
		body := string(a.body)
		if a.status >= 400 {
			body = fmt.Sprint(a.object(t)["type"])
			header.Del("Content-Length")
		}
		return fmt.Sprint(a.status, header, body)
	}
	if of(got) != of(want) {
		t.Errorf("%s: %s\nwant %s", what, of(got), of(want))
	}
}

// A GET never misses a write that was acknowledged before it was sent, though a key is overwritten
// as fast as it can be and the reads are answered from memory by two gateways, one of which has its
// changes held back at times.
func TestGetFromMemoryHasEveryAcknowledgedWrite(t *testing.T) {
	t.Parallel()
	server := natstest.Start(t, natstest.Options{})
	proxy := natstest.StartProxy(t, server.Addr())
	js := server.JetStream(t)
	native := natstest.CreateBucket(t, js, jetstream.KeyValueConfig{Bucket: "shop"})
	var gateways []*gateway
	for _, url := range []string{server.URL(), proxy.URL()} {
		g := start(t, inMemory, func(s *setup) {
			s.client = kvclient.Options{URL: url, Name: "test", Logger: s.client.Logger}
		})
		g.untilInMemory(t)
		gateways = append(gateways, g)
	}
	stop := make(chan struct{})
	var background, readers sync.WaitGroup
	var acknowledged atomic.Uint64
	background.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				acknowledged.Store(put(t, native, "hot", "v"))
			}
		}
	})
	background.Go(func() {
		for paused := false; ; paused = !paused {
			select {
			case <-stop:
				proxy.Resume()
				return
			case <-time.After(50 * time.Millisecond):
			}
			if paused {
				proxy.Resume()
			} else {
				proxy.Pause("(feeds)")
			}
		}
	})
	var over atomic.Bool
	began, before := time.Now(), gateways[0].fromMemory(t)
	for _, g := range gateways {
		for range crowded {
			readers.Go(func() {
				s := g.session(t)
				for !over.Load() {
					least := acknowledged.Load()
					a := s.do(t, "GET", "/buckets/shop/keys/hot", nil)
					if least > 0 && a.revision(t) < least {
						t.Errorf("revision %d, but %d was acknowledged", a.revision(t), least)
					}
				}
			})
		}
	}
	eventually(t, "enough reads, some of them from memory", func() bool {
		some := gateways[0].fromMemory(t) > before
		return time.Since(began) > 2*time.Second && (some || raceEnabled)
	})
	over.Store(true)
	readers.Wait()
	close(stop)
	background.Wait()
	t.Logf("%v reads were answered from memory", gateways[0].fromMemory(t)-before)
}

// What was written through one gateway is there for whoever names its tag at another one, also
// where that one answers from memory.
func TestWriteAtOneGatewayIsReadAtTheOther(t *testing.T) {
	t.Parallel()
	server := natstest.Start(t, natstest.Options{})
	native := natstest.CreateBucket(t, server.JetStream(t),
		jetstream.KeyValueConfig{Bucket: "shop", Storage: jetstream.MemoryStorage})
	put(t, native, "any", "v")
	var gateways []*gateway
	for range 2 {
		g := start(t, inMemory, func(s *setup) {
			s.client = kvclient.Options{URL: server.URL(), Name: "test", Logger: s.client.Logger}
		})
		g.untilInMemory(t)
		gateways = append(gateways, g)
	}
	pairs := 10000 / slowdown
	if testing.Short() {
		pairs = 1000
	}
	var work sync.WaitGroup
	for i := range crowded {
		work.Go(func() {
			writes, reads := gateways[0].session(t), gateways[1].session(t)
			target := fmt.Sprintf("/buckets/shop/keys/k%d", i%7)
			for range int(pairs) / crowded {
				written := writes.do(t, "PUT", target, "v").is(t, 200)
				least := "KV-Min-Revision: " + written.tag()
				read := reads.do(t, "GET", target, nil, least).is(t, 200)
				if read.revision(t) < written.revision(t) {
					t.Errorf("%d is older than %d", read.revision(t), written.revision(t))
				}
			}
		})
	}
	work.Wait()
	t.Logf("%v reads were answered from memory", gateways[1].fromMemory(t))
}

// A long poll whose key has changed reads the change from memory.
func TestLongPollReadsItsChangeFromMemory(t *testing.T) {
	t.Parallel()
	g, kv := startInMemory(t)
	put(t, kv, "a", "1")
	const target = "/buckets/shop/keys/a"
	tag := g.get(t, target).tag()
	held := make(chan *answer, 1)
	go func() { held <- g.get(t, target, "If-None-Match: "+tag, "Prefer: wait=60") }()
	eventually(t, "the long poll waits", func() bool {
		return g.metric(t, "kvgw_subscriptions", nil) == 2
	})
	var reads atomic.Int64
	g.wire.onSending(func(data []byte) {
		if bytes.Contains(data, []byte("GET.KV_shop")) {
			reads.Add(1)
		}
	})
	defer g.wire.onSending(nil)
	put(t, kv, "a", "2")
	(<-held).is(t, 200).hasBody(t, "2").has(t, "KV-Consistency", "leader")
	if n := reads.Load(); n > 0 {
		t.Errorf("NATS was asked %d times for a change that the gateway had", n)
	}
}
