package handlers_test

import (
	"bufio"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// awaitGoAway reads on until the stream is told to go away, and checks that it then ends.
func (s *eventStream) awaitGoAway(reason string) {
	s.t.Helper()
	if b := s.until("goaway"); b.object(s.t)["reason"] != reason {
		s.t.Errorf("goaway %s, want %s", b.data, reason)
	}
	select {
	case b, more := <-s.blocks:
		if more {
			s.t.Errorf("%+v comes after the goaway", b)
		}
	case <-time.After(patience):
		s.t.Error("the stream does not end")
	}
}

// A change of rules ends the streams that it concerns, in each of their forms, and no others. What
// is stored after the change is not sent to them, and a stream that comes again is judged anew.
func TestStreamsEndWithTheRightsOfTheirCallers(t *testing.T) {
	inBothForms(t, func(t *testing.T, form func(*setup)) {
		const orders, stock = "/buckets/shop/watch?filter=orders.>", "/buckets/shop/watch"
		const several, jsonLines = "/watch?watch=shop:orders.>", "Accept: application/x-ndjson"
		before := []string{"gone orders.> watch", "stays orders.> watch", "less > watch",
			"more stock.> watch", "other stock.> watch"}
		g := startGuarded(t, before, form)
		kv := g.shop(t)
		ended := map[string]*eventStream{
			"gone":       g.watch(t, orders, bearer("gone")),
			"as lines":   g.watch(t, orders, bearer("gone"), jsonLines),
			"of several": g.watch(t, several, bearer("gone")),
			"less":       g.watch(t, orders, bearer("less")),
			"all":        g.watch(t, stock, bearer("less")),
			"more":       g.watch(t, stock, bearer("more")),
		}
		goOn := map[string]*eventStream{
			"stays": g.watch(t, orders, bearer("stays")),
			"other": g.watch(t, stock, bearer("other")),
		}
		for name, s := range ended {
			if s.status != 200 {
				t.Fatalf("%s: %d", name, s.status)
			}
			s.until("sync")
		}
		for _, s := range goOn {
			s.until("sync")
		}
		began := time.Now()
		g.change(t, "stays orders.> watch", "stays more.> get", "less orders.1 watch",
			"more > watch", "other stock.> watch")
		put(t, kv, "orders.1", "secret")
		put(t, kv, "stock.1", "secret")
		for _, s := range ended {
			s.awaitGoAway("permissions")
		}
		within(t, began)
		goOn["stays"].wantEvents("put orders.1")
		goOn["other"].wantEvents("put stock.1")
		g.get(t, orders, bearer("gone")).problem(t, 401, "unauthenticated")
		again := g.watch(t, orders, bearer("less"), "Last-Event-ID: "+ended["less"].lastID)
		again.until("reset")
		again.wantEvents("put orders.1", "sync")
	})
}

// A client that does not read cannot keep a stream that its caller may not have any more.
func TestStuckStreamsEndWithTheRightsOfTheirCallers(t *testing.T) {
	small := func(s *setup) { s.socketBuffers = 8 << 10 }
	inBothForms(t, func(t *testing.T, form func(*setup)) {
		g := startGuarded(t, []string{"ann > watch", "bob > watch"}, form, small)
		kv := g.shop(t)
		for i := range 20 {
			put(t, kv, fmt.Sprint("large", i), strings.Repeat("v", 400_000))
		}
		const request = "GET /buckets/shop/watch HTTP/1.1\r\nHost: localhost\r\n" +
			"Accept: text/event-stream\r\n"
		for _, caller := range []string{"ann", "bob"} {
			conn := g.dial(t)
			begin(t, conn, request+bearer(caller)+"\r\n\r\n")
			// Only the head is read.
			if _, err := http.ReadResponse(bufio.NewReaderSize(conn, 512), nil); err != nil {
				t.Fatal(err)
			}
		}
		base, clients := g.h2c(t, 1)
		r, err := http.NewRequestWithContext(t.Context(), "GET", base+"/buckets/shop/watch", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+tokenOf("ann"))
		response, err := clients[0].Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		subscriptions := func(n float64) func() bool {
			return func() bool { return g.metric(t, "kvgw_subscriptions", nil) == n }
		}
		eventually(t, "there are three streams", subscriptions(3))
		began := time.Now()
		g.change(t, "bob > watch")
		eventually(t, "two streams have ended", subscriptions(1))
		within(t, began)
	})
}

// A stream is told 30 s before its credential ends. If it was opened later than that, it is told
// when the credential ends.
func TestStreamsEndWithTheirCredentials(t *testing.T) {
	inBothForms(t, func(t *testing.T, form func(*setup)) {
		in := func(d time.Duration) string {
			return time.Now().Add(d).UTC().Format(time.RFC3339Nano)
		}
		const watch = "/buckets/shop/watch"
		g := startGuarded(t, []string{"soon > watch " + in(31*time.Second),
			"now > watch " + in(1500*time.Millisecond), "later > watch " + in(time.Hour)}, form)
		kv := g.shop(t)
		soon, now := g.watch(t, watch, bearer("soon")), g.watch(t, watch, bearer("now"))
		later := g.watch(t, watch, bearer("later"))
		soon.awaitGoAway("auth-expiring")
		now.awaitGoAway("auth-expiring")
		g.get(t, watch, bearer("now")).problem(t, 401, "unauthenticated")
		again := g.watch(t, watch, bearer("soon"), "Last-Event-ID: "+soon.lastID)
		put(t, kv, "a", "v")
		again.until("put")
		later.until("put")
	})
}

// However a change of rules and the opening of streams coincide, no stream goes on that is not
// allowed.
func TestNoStreamSlipsThroughAChangeOfRules(t *testing.T) {
	inBothForms(t, func(t *testing.T, form func(*setup)) {
		with, without := []string{"ann > watch", "bob > watch"}, []string{"bob > watch"}
		g := startGuarded(t, with, form)
		g.shop(t)
		for range 10 {
			g.change(t, with...)
			var streams sync.WaitGroup
			for range 10 {
				streams.Go(func() {
					r, err := http.NewRequestWithContext(t.Context(), "GET",
						"http://"+g.address+"/buckets/shop/watch", nil)
					if err != nil {
						t.Error(err)
						return
					}
					r.Header.Set("Authorization", "Bearer "+tokenOf("ann"))
					response, err := http.DefaultTransport.RoundTrip(r)
					if err != nil {
						t.Error(err)
						return
					}
					defer response.Body.Close()
					for lines := bufio.NewScanner(response.Body); lines.Scan(); {
						// It is read until it ends.
					}
				})
			}
			g.change(t, without...)
			streams.Wait()
		}
	})
}
