package handlers_test

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"kvgateway/internal/bound"
)

// A long poll shares its reads with the long polls of other clients. If another client began the
// read, the long poll does not wait behind all other reads of that client.
func TestLongPollWaitsInNoLineOfAnother(t *testing.T) {
	t.Parallel()
	const greedy, innocent = "127.0.0.2", "127.0.0.1"
	g, bounds := startBounded(t)
	shop := g.shop(t)
	put(t, shop, "a", "1")
	tag := g.get(t, "/buckets/shop/keys/a").is(t, 200).header.Get("Etag")
	statuses := make(chan int, 1)
	go func() { statuses <- g.pollFrom(t, innocent, tag) }()
	for range 30 {
		go g.pollFrom(t, greedy, tag)
	}
	eventually(t, "the long polls wait", func() bool {
		return bounds.Find("streams").Used() == 31
	})

	reads := bounds.Find("nats-reads")
	var all bound.Hold
	if err := reads.Take(t.Context(), &all, greedy, reads.Limit(), nil); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for range 100 {
		go func() { _ = reads.Take(ctx, new(bound.Hold), greedy, 1<<20, nil) }()
	}
	eventually(t, "the greedy client's reads wait", func() bool {
		return reads.WaitingOf(greedy) >= 100
	})
	put(t, shop, "a", "2")
	eventually(t, "the reads of both clients' long polls wait", func() bool {
		return reads.WaitingOf(greedy) > 100 && reads.WaitingOf(innocent) > 0
	})
	all.Shrink(reads.Limit() - 8<<20)
	if status := <-statuses; status != http.StatusOK {
		t.Errorf("the innocent client's long poll is answered %d", status)
	}
}

// pollFrom sends a long poll of shop/a from an address of the loopback network. It returns the
// status of the answer, or 0 if there was none.
func (g *gateway) pollFrom(t *testing.T, address, tag string) int {
	dialer := dialerFrom(address)
	conn, err := dialer.DialContext(t.Context(), "tcp", g.address)
	if err != nil {
		return 0
	}
	defer context.AfterFunc(t.Context(), func() { conn.Close() })()
	defer conn.Close()
	_, _ = fmt.Fprintf(conn, "GET /buckets/shop/keys/a HTTP/1.1\r\nHost: localhost\r\n"+
		"If-None-Match: %s\r\nPrefer: wait=30\r\n\r\n", tag)
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return 0
	}
	return answer.StatusCode
}

// What a client asks for with a minimal revision is what the key has now, and not what another
// request with the same revision has read a moment ago.
func TestLongPollAtAMinimalRevisionReadsForItself(t *testing.T) {
	t.Parallel()
	g, bounds := startBounded(t)
	g.shop(t)
	for i := range 5 {
		path := fmt.Sprintf("/buckets/shop/keys/k%d", i)
		first := g.do(t, "PUT", path, "1").is(t, 200).header
		poll := path + "?min_revision=" + first.Get("Kv-Revision")
		answered := make(chan *answer, 1)
		go func() {
			answered <- g.get(t, poll, "If-None-Match: "+first.Get("Etag"), "Prefer: wait=20")
		}()
		eventually(t, "the first long poll waits", func() bool {
			return bounds.Find("streams").Used() == 1
		})
		g.do(t, "PUT", path, "2").is(t, 200)
		g.get(t, poll, "If-None-Match: "+first.Get("Etag"), "Prefer: wait=20").
			is(t, 200).hasBody(t, "2")
		(<-answered).is(t, 200).hasBody(t, "2")
	}
}

// A read that waits for a revision holds a place, whether or not it is a long poll.
func TestReadsThatWaitForARevisionAreBounded(t *testing.T) {
	t.Parallel()
	g, bounds := startBounded(t)
	put(t, g.shop(t), "a", "1")
	waits := bounds.Find("revision-waits")
	for name, target := range map[string]string{
		"a value": "keys/a", "an entry": "entries/a", "entries": "entries?key=a",
	} {
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+g.address+
				"/buckets/shop/"+target+sign(target)+"min_revision=99", nil)
			if err != nil {
				return
			}
			request.Header.Set("Prefer", "wait=30")
			if response, err := http.DefaultClient.Do(request); err == nil {
				response.Body.Close()
			}
		}()
		eventually(t, name+" waits", func() bool { return waits.Used() == 1 })
		cancel()
		eventually(t, name+" is given up", func() bool { return waits.Used() == 0 })
	}
	g.get(t, "/buckets/shop/keys/a?min_revision=1").is(t, 200)
	var all bound.Hold
	if err := waits.Take(t.Context(), &all, "", waits.Limit(), nil); err != nil {
		t.Fatal(err)
	}
	g.get(t, "/buckets/shop/keys/a?min_revision=1").is(t, 200)
	g.get(t, "/buckets/shop/keys/a?min_revision=99").is(t, 503)
	all.Release()
}

// sign returns what comes between a target and another parameter.
func sign(target string) string {
	if strings.Contains(target, "?") {
		return "&"
	}
	return "?"
}
