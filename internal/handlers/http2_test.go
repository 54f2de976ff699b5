package handlers_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"kvgateway/internal/bound"
)

// http2From returns a client over HTTP/2 that has an address of the loopback network.
func http2From(t *testing.T, address string) *http.Client {
	t.Helper()
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	from := dialerFrom(address)
	transport := &http.Transport{Protocols: &protocols, DialContext: from.DialContext}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: patience}
}

// startBounded runs a gateway until the test ends, and returns its bounds too.
func startBounded(t *testing.T) (*gateway, *bound.Set) {
	t.Helper()
	bounds := bound.NewSet()
	return start(t, func(s *setup) { s.handlers.Bounds, s.client.Bounds = bounds, bounds }), bounds
}

// Requests over HTTP/2 are counted before anything is done for them, also while they wait to be
// admitted, by address and in all. A request that finds no place is refused at once.
func TestOpenHTTP2RequestsAreBounded(t *testing.T) {
	measuresMemory(t)
	g, bounds := startBounded(t)
	put(t, g.shop(t), "a", strings.Repeat("v", 20_000))
	base, _ := g.h2c(t, 0)
	open := bounds.Find("http2-requests")
	if open == nil {
		t.Fatal("nothing bounds the requests that are open over HTTP/2")
	}
	share := open.Limit() / 3
	for i := range share/1000 + 2 {
		unreadHTTP2From(t, "127.0.0.2", base, "/buckets/shop/keys/a", 1000)
		if want := min(share, (i+1)*1000); i < share/1000 {
			eventually(t, "the requests are open", func() bool { return open.Used() >= want })
		}
	}
	eventually(t, "requests are refused", func() bool { return open.Refused() >= 100 })
	if used := open.Used(); used > share {
		t.Errorf("%d requests of one address are open, of at most %d", used, share)
	}
	began := time.Now()
	response, err := http2From(t, "127.0.0.2").Get(base + "/version")
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(response.Body)
	response.Body.Close()
	if response.StatusCode != 429 || response.Header.Get("Retry-After") == "" ||
		!strings.Contains(string(body), `"http2-requests"`) {
		t.Errorf("a request beyond the share of its address: %v %s", response, body)
	}
	wantAnsweredBy(t, base, began.Add(2*time.Second))
}

// wantAnsweredBy checks that a GET of the key a over HTTP/2, from an address that sends nothing
// else, is answered by the deadline.
func wantAnsweredBy(t *testing.T, base string, deadline time.Time) {
	t.Helper()
	response, err := http2From(t, "127.0.0.1").Get(base + "/buckets/shop/keys/a")
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if late := time.Since(deadline); response.StatusCode != 200 || late > 0 {
		t.Errorf("a request of another address: %v, %v after the deadline", response.Status, late)
	}
}

// Every request over HTTP/2 takes a place among those that are being answered, whatever its path
// and headers are. Only a watch, and a long poll that waits for a change, give it back before they
// are answered: they have the place of a stream instead.
func TestLongPollsOverHTTP2SwapTheirPlaces(t *testing.T) {
	t.Parallel()
	g, bounds := startBounded(t)
	put(t, g.shop(t), "keys/a", strings.Repeat("v", 20_000))
	base, _ := g.h2c(t, 0)
	open, answered := bounds.Find("http2-requests"), bounds.Find("connection-requests")
	streams := bounds.Find("streams")
	none := func() bool { return open.Used() == 0 && answered.Used() == 0 }

	// These requests look like long polls, but have nothing to wait for.
	for _, target := range []string{"/buckets/shop/keys/keys/a", "/buckets/shop/entries/keys/a"} {
		conn := unreadHTTP2From(t, "127.0.0.1", base, target, 300,
			"prefer", "wait=1", "if-none-match", `"999"`)
		eventually(t, "100 requests of the connection are answered at once", func() bool {
			return answered.Used() == 100
		})
		conn.Close()
		eventually(t, "all places are given back", none)
	}

	g.wire.hold()
	const polls = 50
	conn := unreadHTTP2From(t, "127.0.0.1", base, "/buckets/shop/keys/none", polls,
		"prefer", "wait=60", "if-none-match", `"0"`)
	eventually(t, "the first reads of long polls are counted", func() bool {
		return answered.Used() == polls && open.Used() == polls && streams.Used() == 0
	})
	g.wire.release()
	eventually(t, "long polls wait in the places of streams", func() bool {
		return none() && streams.Used() == polls
	})
	unreadHTTP2From(t, "127.0.0.1", base, "/buckets/shop/watch", polls)
	eventually(t, "watches have the places of streams", func() bool {
		return none() && streams.Used() == 2*polls
	})
	conn.Close()
	eventually(t, "long polls give all places back", func() bool {
		return streams.Used() == polls
	})
}

// The connections of one address cannot take all places of requests over HTTP/2 that are being
// answered. If two addresses take them all, requests whose clients take nothing of their answers
// lose their places to others.
func TestStuckHTTP2RequestsKeepNobodyOut(t *testing.T) {
	measuresMemory(t)
	g, bounds := startBounded(t)
	put(t, g.shop(t), "a", strings.Repeat("v", 20_000))
	base, _ := g.h2c(t, 0)
	answered := bounds.Find("connection-requests")
	get := func(target string) {
		t.Helper()
		began := time.Now()
		response, err := http2From(t, "127.0.0.1").Get(base + target)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if took := time.Since(began); response.StatusCode != 200 || took > 3*time.Second {
			t.Errorf("%s: %v after %v", target, response.Status, took)
		}
	}
	const connections, each = 20, 100
	for i, target := range []string{"/version", "/buckets/shop/keys/a"} {
		for range connections {
			unreadHTTP2From(t, fmt.Sprintf("127.0.0.%d", 2+i), base, target, each)
		}
		want := answered.Limit() / 2 * int64(i+1)
		eventually(t, "places are taken", func() bool { return answered.Used() >= want })
		if used := answered.Used(); used > want {
			t.Errorf("%d addresses have %d places", i+1, used)
		}
		get("/buckets/shop/keys/a")
		get("/readyz")
	}
}

// A request whose body does not come loses its place when another request waits for one.
func TestStalledHTTP2BodiesKeepNobodyOut(t *testing.T) {
	measuresMemory(t)
	g, bounds := startBounded(t)
	put(t, g.shop(t), "a", "v")
	base, _ := g.h2c(t, 0)
	answered := bounds.Find("connection-requests")
	for i := range 2 {
		for range answered.Limit() / 2 / 100 {
			client := http2From(t, fmt.Sprintf("127.0.0.%d", 2+i))
			for range 100 {
				body, w := io.Pipe()
				t.Cleanup(func() { w.Close() })
				target := base + "/buckets/shop/keys/b"
				request, err := http.NewRequestWithContext(t.Context(), "PUT", target, body)
				if err != nil {
					t.Fatal(err)
				}
				go func() {
					if response, err := client.Do(request); err == nil {
						response.Body.Close()
					}
				}()
			}
		}
	}
	eventually(t, "all places are taken", func() bool {
		return answered.Used() == answered.Limit()
	})
	wantAnsweredBy(t, base, time.Now().Add(3*time.Second))
}

// The memory that a long poll takes while it waits is bounded, and so is that of a stream that has
// a goroutine. If there is none left, they are refused, and all other requests are answered.
func TestMemoryOfLongPollsIsBounded(t *testing.T) {
	t.Parallel()
	g, bounds := startBounded(t)
	put(t, g.shop(t), "a", "1")
	base, clients := g.h2c(t, 1)
	memory := bounds.Find("stream-memory")
	if memory == nil {
		t.Fatal("nothing bounds the memory of long polls")
	}
	const polls = 20
	conn := unreadHTTP2From(t, "127.0.0.1", base, "/buckets/shop/keys/none", polls,
		"prefer", "wait=60", "if-none-match", `"0"`)
	uses := func(size int64) func() bool {
		return func() bool { return memory.Used() == size }
	}
	eventually(t, "long polls are charged", uses(polls*36<<10))
	unreadHTTP2From(t, "127.0.0.1", base, "/buckets/shop/watch", polls)
	eventually(t, "streams are charged", uses(polls*(36+24)<<10))
	conn.Close()
	eventually(t, "long polls give their memory back", uses(polls*24<<10))

	var rest bound.Hold
	if err := memory.Take(t.Context(), &rest, "", memory.Limit()-memory.Used(), nil); err != nil {
		t.Fatal(err)
	}
	const target = "/buckets/shop/keys/a"
	tag := g.get(t, target).is(t, 200).header.Get("Etag")
	g.get(t, target, "If-None-Match: "+tag, "Prefer: wait=1").problem(t, 503, "too-many-streams")
	response, err := clients[0].Get(base + "/buckets/shop/watch")
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != 503 {
		t.Errorf("a stream over HTTP/2: %v", response.Status)
	}
	rest.Release()
	g.get(t, target, "If-None-Match: "+tag, "Prefer: wait=1").is(t, 304)
}
