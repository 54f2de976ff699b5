package e2e

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
)

const groups = 4 // of keys, each written by one writer

// sizes of the transactions of each group: in one flush, and in many.
var sizes = [groups]int{2, 10, 100, 600}

// A generation is written to all keys of a group by one transaction.
func generation(group, n int) string {
	var b strings.Builder
	for i := range sizes[group] {
		fmt.Fprintf(&b, `,{"op":"put","key":"g%d.%d","value":%d}`, group, i, n)
	}
	return `{"operations":[` + b.String()[1:] + `]}`
}

// A ledger remembers which generation of each group was sent and which was acknowledged.
type ledger struct{ sent, acknowledged [groups]atomic.Int64 }

// write sends one generation after the other until the gateway is gone, or stop is closed.
func (l *ledger) write(g *gateway, group int, stop <-chan struct{}) {
	for {
		select {
		case <-stop:
			return
		default:
		}
		n := l.sent[group].Add(1)
		a, err := g.do("POST", "/buckets/shop/transactions", generation(group, int(n)))
		switch {
		case err != nil:
			return // killed
		case a.status == http.StatusOK:
			l.acknowledged[group].Store(n)
		case a.status != http.StatusServiceUnavailable && a.status != http.StatusGatewayTimeout:
			g.t.Errorf("transaction: %d %s", a.status, a.body)
			return
		}
	}
}

// check compares: all keys of a group have the same generation, not older than what was acknowledged.
func (l *ledger) check(g *gateway) {
	g.t.Helper()
	for group := range groups {
		whole := ""
		for i := range sizes[group] {
			path := fmt.Sprintf("/buckets/shop/keys/g%d.%d", group, i)
			a, err := g.do("GET", path, "")
			if err != nil || a.status != 200 && a.status != 404 {
				g.t.Fatalf("GET %s: %v %v", path, a, err)
			}
			if a.status == 404 {
				a.body = "0"
			}
			if i == 0 {
				whole = a.body
			} else if a.body != whole {
				g.t.Fatalf("key %d of group %d is of generation %s, the first of %s: a transaction was done in part", i, group, a.body, whole)
			}
		}
		if n, _ := strconv.ParseInt(whole, 10, 64); n < l.acknowledged[group].Load() || n > l.sent[group].Load() {
			g.t.Errorf("group %d is of generation %s; %d was acknowledged, %d sent", group, whole, l.acknowledged[group].Load(), l.sent[group].Load())
		}
	}
}

func (l *ledger) log(t *testing.T) {
	for group := range groups {
		t.Logf("transactions of %d keys: %d sent, %d acknowledged", sizes[group], l.sent[group].Load(), l.acknowledged[group].Load())
	}
}

// writeUntil lets the writers write until each has been acknowledged some more times, calls end, and waits for them.
func (l *ledger) writeUntil(g *gateway, more int64, end func()) {
	g.t.Helper()
	var work sync.WaitGroup
	stop := make(chan struct{})
	want := [groups]int64{}
	for group := range groups {
		want[group] = l.acknowledged[group].Load() + more
		work.Go(func() { l.write(g, group, stop) })
	}
	eventually(g.t, "transactions to be acknowledged", func() error {
		for group := range groups {
			if have := l.acknowledged[group].Load(); have < want[group] {
				return fmt.Errorf("group %d: %d, want %d", group, have, want[group])
			}
		}
		return nil
	})
	end()
	close(stop)
	work.Wait()
}

func createLedger(g *gateway) {
	g.awaitReadyz(200)
	g.want(201, "PUT", "/buckets/shop", "")
	g.want(200, "PATCH", "/buckets/shop", `{"allow_atomic":true}`)
}

// TestKillLeavesTransactionsWhole takes the process away, and the nats-server in it, in the middle of transactions.
func TestKillLeavesTransactionsWhole(t *testing.T) {
	args := []string{"--data-dir=" + t.TempDir(), "--sync=always", "--transaction-rate=0"}
	g := start(t, args...)
	createLedger(g)
	var l ledger
	for round := range 6 {
		l.writeUntil(g, int64(1+round%3), g.kill)
		g.wait()
		g = start(t, args...)
		g.awaitReadyz(200)
		l.check(g)
	}
	l.log(t)
}

// TestGatewayKillLeavesTransactionsWhole takes the gateway away and leaves the nats-server with what was begun.
func TestGatewayKillLeavesTransactionsWhole(t *testing.T) {
	ns := startNATS(t, server.Options{})
	args := []string{"--nats-url=" + ns.ClientURL(), "--transaction-rate=0"}
	g := start(t, args...)
	createLedger(g)
	var l ledger
	for range 6 {
		l.writeUntil(g, 2, g.kill)
		g.wait()
		g = start(t, args...)
		g.awaitReadyz(200)
		// What was sent whole is carried out still, before this write; what was not, the server drops.
		g.want(200, "PUT", "/buckets/shop/keys/after", "")
		l.check(g)
	}
	l.log(t)
}

// TestNATSRestartLeavesTransactionsWhole stops the nats-server and starts it again while the gateway goes on.
func TestNATSRestartLeavesTransactionsWhole(t *testing.T) {
	opts := server.Options{Port: freePort(t), StoreDir: t.TempDir()}
	ns := startNATS(t, opts)
	g := start(t, "--nats-url="+ns.ClientURL(), "--transaction-rate=0", "--request-timeout=1s")
	createLedger(g)
	var l ledger
	for range 3 {
		l.writeUntil(g, 2, func() {
			stopNATS(ns)
			g.awaitReadyz(503)
			ns = startNATS(t, opts)
			g.awaitReadyz(200)
		})
		l.check(g)
	}
	l.log(t)
}
