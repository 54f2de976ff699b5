package handlers_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
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
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}}
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
