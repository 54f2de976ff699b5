package handlers_test

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"kvgateway/internal/bound"
	"kvgateway/internal/handlers"
)

// Requests for one large value share its reads, and a request that has no room for the value yet
// does not read it at all.
func TestRequestsForALargeValueShareTheirReads(t *testing.T) {
	t.Parallel()
	g := start(t)
	kv := g.shop(t)
	value := strings.Repeat("v", 500_000)
	put(t, kv, "a", value)
	const target, requests = "/buckets/shop/keys/a", 200
	// After this request the gateway knows the size of the value.
	g.get(t, target).is(t, 200)
	answers := make(chan *answer, requests)
	sent := g.wire.requests(func() {
		for i := range requests {
			go func() {
				if i%2 == 0 {
					answers <- g.do(t, "HEAD", target, "")
					return
				}
				answers <- g.get(t, target)
			}()
		}
		for range requests {
			a := (<-answers).is(t, 200).has(t, "Kv-Consistency", "leader")
			if len(a.body) != 0 && string(a.body) != value {
				t.Errorf("answered %.20q", a.body)
			}
		}
	})
	if sent > requests*3/4 {
		t.Errorf("%d requests to NATS for %d requests", sent, requests)
	}
	t.Logf("%d requests to NATS", sent)
	put(t, kv, "a", "new")
	if a := g.get(t, target).is(t, 200); string(a.body) != "new" {
		t.Errorf("answered %.20q behind a write", a.body)
	}
}

// A request that is made while others for the same key are under way sees everything that was
// written before it was made.
func TestSharedReadsSeeWhatWasWrittenBefore(t *testing.T) {
	t.Parallel()
	g := start(t)
	g.shop(t)
	const target = "/buckets/shop/keys/a"
	value := strings.Repeat("v", 200_000)
	g.do(t, "PUT", target, value+"0").is(t, 200)
	stop := make(chan struct{})
	others := make(chan struct{})
	go func() {
		defer close(others)
		for {
			select {
			case <-stop:
				return
			default:
				g.get(t, target).is(t, 200)
			}
		}
	}()
	for i := range 50 {
		want := fmt.Sprint(value, i)
		g.do(t, "PUT", target, want).is(t, 200)
		if a := g.get(t, target).is(t, 200); string(a.body) != want {
			t.Fatalf("read %d: %q behind %q", i, a.body[len(value):], want[len(value):])
		}
	}
	close(stop)
	<-others
}

// beginBodies sends the headers of some PUTs, each on a connection of its own and to a key of its
// own. The bodies that they declare never come.
func (g *gateway) beginBodies(t testing.TB, bucket string, count int) {
	t.Helper()
	for i := range count {
		begin(t, g.dial(t), fmt.Sprintf("PUT /buckets/%s/keys/k%d HTTP/1.1\r\nHost: localhost\r\n"+
			"Content-Length: 1000\r\n\r\n", bucket, i))
	}
}

// A request that waits for a change is not at work, and neither is one that has ended, however it
// ended.
func TestWaitingRequestsAreNotAtWork(t *testing.T) {
	t.Parallel()
	g := start(t)
	kv := g.shop(t)
	put(t, kv, "a", "1")
	atWork := func() float64 {
		return g.metric(t, "kvgw_bound_used", map[string]string{"bound": "requests-at-work"})
	}
	const target, polls = "/buckets/shop/keys/a", 100
	tag := g.get(t, target).is(t, 200).header.Get("Etag")
	answers := make(chan *answer, polls)
	for range polls {
		go func() { answers <- g.get(t, target, "If-None-Match: "+tag, "Prefer: wait=60") }()
	}
	g.beginBodies(t, "shop", 20)
	base, _ := g.h2c(t, 0)
	// These streams have goroutines of their own.
	unreadHTTP2(t, base, "/buckets/shop/watch", 3)
	eventually(t, "the subscriptions", func() bool {
		return g.metric(t, "kvgw_subscriptions", nil) == polls+3
	})
	eventually(t, "nobody is at work", func() bool { return atWork() == 0 })
	for _, request := range []struct {
		method, target string
		status         int
	}{
		{"GET", "/buckets/shop/keys/none", 404},
		{"GET", "/buckets/shop/keys/a?nonsense=1", 400},
		{"GET", "/buckets/none/keys/a", 404},
		{"GET", "/buckets/shop/keys", 200},
		{"GET", "/buckets/shop/entries", 200},
		{"POST", "/buckets/shop/transactions", 415},
	} {
		g.do(t, request.method, request.target, "").is(t, request.status)
	}
	put(t, kv, "a", "2")
	for range polls {
		(<-answers).is(t, 200)
	}
	eventually(t, "nobody is at work", func() bool { return atWork() == 0 })
}

// However many requests of one client hang, because NATS does not answer or their bodies do not
// come, others can begin, including those of the same client.
func TestRequestsThatHangLetOthersBegin(t *testing.T) {
	t.Parallel()
	bounds := bound.NewSet()
	g := start(t, func(s *setup) {
		s.client.Bounds, s.handlers.Bounds = bounds, bounds
		s.handlers.Bodies = handlers.BodyTimes{Grace: time.Minute, Patience: time.Minute}
	})
	g.bucket(t, jetstream.KeyValueConfig{Bucket: "m", Storage: jetstream.MemoryStorage})
	const hanging = 100
	g.beginBodies(t, "m", hanging)
	for range 20 {
		g.do(t, "PUT", "/buckets/m/keys/k", "v").is(t, 200)
	}
	g.wire.hold()
	answers := make(chan *answer, hanging)
	for range hanging {
		go func() { answers <- g.get(t, "/buckets/m/keys/k") }()
	}
	eventually(t, "reads wait for NATS", func() bool {
		return bounds.Find("nats-reads").Used() > 0
	})
	// This request needs no answer of NATS.
	g.get(t, "/buckets/m/keys/k?nonsense=1").is(t, 400)
	g.wire.release()
	for range hanging {
		(<-answers).is(t, 200)
	}
}

// A large value is read once for each request, also if its size is known beforehand.
func TestLargeValueIsReadOnce(t *testing.T) {
	t.Parallel()
	g := start(t)
	kv := g.shop(t)
	for _, size := range []int{100, 64 << 10, 300_001, 500 << 10} {
		put(t, kv, "a", strings.Repeat("v", size))
		for _, target := range []string{"/buckets/shop/keys/a", "/buckets/shop/entries/a"} {
			g.get(t, target).is(t, 200)
			least := int64(math.MaxInt64)
			for range 3 { // now and then the bucket is looked up again
				sent := g.wire.requests(func() { g.get(t, target).is(t, 200) })
				least = min(least, int64(sent))
			}
			if least != 1 {
				t.Errorf("%s of %d bytes: %d requests to NATS", target, size, least)
			}
		}
	}
}

// A client that has closed its half of the connection still gets its answer, whether the size of
// the value is known or not.
func TestHalfClosedClientGetsALargeValue(t *testing.T) {
	t.Parallel()
	g := start(t)
	put(t, g.shop(t), "a", strings.Repeat("v", 200_000))
	for range 5 {
		conn := g.dial(t)
		_, _ = io.WriteString(conn, "GET /buckets/shop/keys/a HTTP/1.1\r\nHost: localhost\r\n\r\n")
		if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if body, err := readAnswer(t, conn); err != nil || len(body) != 200_000 {
			t.Errorf("%d bytes, %v", len(body), err)
		}
	}
}

// A read with a minimal revision is not shared with other clients, and sees what its client wrote
// before.
func TestMinRevisionOfALargeValueSeesOwnWrites(t *testing.T) {
	t.Parallel()
	g := start(t)
	g.shop(t)
	const target = "/buckets/shop/keys/a"
	value := strings.Repeat("v", 200_000)
	for i := range 5 {
		g.do(t, "PUT", target, value+fmt.Sprint(i)).is(t, 200)
		a := g.get(t, target+"?min_revision=1").is(t, 200).has(t, "Kv-Consistency", "leader")
		if want := fmt.Sprint(i); !strings.HasSuffix(string(a.body), "v"+want) {
			t.Errorf("behind %s: %q", want, a.body[len(value):])
		}
	}
	g.do(t, "DELETE", target, nil).is(t, 200)
	g.get(t, target+"?min_revision=1").is(t, 404)
}

// A lost answer of NATS delays only the requests that asked for it.
func TestLostAnswerHoldsUpNobodyElse(t *testing.T) {
	t.Parallel()
	g := start(t)
	put(t, g.shop(t), "a", strings.Repeat("v", 200_000))
	const target = "/buckets/shop/keys/a"
	g.get(t, target).is(t, 200)
	asked := make(chan struct{}, 100)
	g.wire.onSending(func(data []byte) {
		if bytes.Contains(data, []byte("GET.KV_shop")) {
			asked <- struct{}{}
		}
	})
	g.wire.swallow("GET.KV_shop")
	lost := make(chan *answer, 1)
	go func() { lost <- g.get(t, target) }()
	<-asked
	g.wire.swallow("")
	g.get(t, target).is(t, 200)
	select {
	case a := <-lost:
		t.Errorf("the request whose answer was lost has one: %d", a.status)
	default:
	}
	(<-lost).is(t, 504)
}

// A request whose condition does not hold needs no room for the value.
func TestConditionNeedsNoRoomForTheValue(t *testing.T) {
	t.Parallel()
	bounds := bound.NewSet()
	g := start(t, func(s *setup) { s.client.Bounds, s.handlers.Bounds = bounds, bounds })
	put(t, g.shop(t), "a", strings.Repeat("v", 500_000))
	const target = "/buckets/shop/keys/a"
	tag := g.get(t, target).is(t, 200).header.Get("Etag")
	var holds [2]bound.Hold
	// These take all of the room for large answers.
	for i := range holds {
		err := bounds.Find("answer-bytes").Take(t.Context(), &holds[i], fmt.Sprint(i), 36<<20, nil)
		if err != nil {
			t.Fatal(err)
		}
	}
	g.get(t, target, `If-Match: "99"`).is(t, 412)
	g.get(t, target, "If-None-Match: "+tag).is(t, 304)
	g.do(t, "HEAD", target, nil).is(t, 200)
}

// A request waits for its turn before anybody looks at its credential, since that may be costly to
// refuse. So a client with bad credentials does not come before others.
func TestBadCredentialWaitsForItsTurn(t *testing.T) {
	t.Parallel()
	bounds := bound.NewSet()
	g := start(t, withAuth(t, oneRole+"anonymous: [r]"),
		func(s *setup) { s.client.Bounds, s.handlers.Bounds = bounds, bounds })
	work := bounds.Find("requests-at-work")
	for _, r := range []struct{ method, target string }{
		{"GET", "/buckets/shop/keys/a"}, {"GET", "/watch?filter=shop:a"}, {"GET", "/access"},
		{"GET", "/status"}, {"POST", "/tickets"},
	} {
		// Each of these has the whole share of the client for as long as a turn counts, 20 ms.
		const before = 10
		var served atomic.Int64
		var others sync.WaitGroup
		for range before {
			others.Go(func() {
				var place bound.Hold
				if err := work.Take(t.Context(), &place, "127.0.0.1", handlers.WorkShare(),
					nil); err != nil {
					t.Error(err)
				}
				served.Add(1)
			})
		}
		eventually(t, "all others wait", func() bool {
			return int64(work.Waiting())+served.Load() == before
		})
		g.do(t, r.method, r.target, "", "Authorization: Bearer kvgw_wrong").is(t, 401)
		if n := work.Waiting(); n > 0 {
			t.Errorf("%s %s: answered before %d others had their turns", r.method, r.target, n)
		}
		others.Wait()
	}
}
