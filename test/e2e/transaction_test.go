package e2e

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"kvgateway/internal/natstest"

	"github.com/nats-io/nats-server/v2/server"
)

// groups is the number of groups of keys. Each is written by one writer.
const groups = 4

// sizes are the numbers of keys in the groups: transactions that are sent with one flush, and with
// many.
var sizes = [groups]int{2, 10, 100, 600}

// generation returns the body of a transaction that writes the number n to all keys of a group.
func generation(group, n int) string {
	var b strings.Builder
	for i := range sizes[group] {
		fmt.Fprintf(&b, `,{"op":"put","key":"g%d.%d","value":%d}`, group, i, n)
	}
	return `{"operations":[` + b.String()[1:] + `]}`
}

// A ledger records the last generation of each group that was sent, and the last that was
// acknowledged.
type ledger struct {
	// sent and acknowledged have the number of the generation of each group.
	sent, acknowledged [groups]atomic.Int64
}

// write sends one generation after the other until the gateway has ended or stop is closed.
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

// check checks that all keys of a group have the same generation, and that it is not older than the
// last one that was acknowledged.
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
				g.t.Fatalf("key %d of group %d is of generation %s, the first of %s: a "+
					"transaction was done in part", i, group, a.body, whole)
			}
		}
		n, _ := strconv.ParseInt(whole, 10, 64)
		if n < l.acknowledged[group].Load() || n > l.sent[group].Load() {
			g.t.Errorf("group %d is of generation %s; %d was acknowledged, %d sent",
				group, whole, l.acknowledged[group].Load(), l.sent[group].Load())
		}
	}
}

// log reports how many transactions there were.
func (l *ledger) log(t *testing.T) {
	for group := range groups {
		t.Logf("transactions of %d keys: %d sent, %d acknowledged",
			sizes[group], l.sent[group].Load(), l.acknowledged[group].Load())
	}
}

// writeUntil lets the writers write until each has had more transactions acknowledged. Then it
// calls end and waits for the writers.
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

// createLedger waits for a gateway and creates the bucket of the transactions.
func createLedger(g *gateway) {
	g.awaitReadyz(200)
	g.want(201, "PUT", "/buckets/shop", "")
	g.want(200, "PATCH", "/buckets/shop", `{"allow_atomic":true}`)
}

// TestKillLeavesTransactionsWhole kills the process, with the nats-server in it, in the middle of
// transactions.
func TestKillLeavesTransactionsWhole(t *testing.T) {
	t.Parallel()
	args := []string{"--data-dir=" + t.TempDir(), "--sync=always", "--transaction-rate=0"}
	g := start(t, args...)
	createLedger(g)
	var l ledger
	for round := range natstest.Sized(6, 3) {
		l.writeUntil(g, int64(1+round%3), g.kill)
		g.wait()
		g = start(t, args...)
		g.awaitReadyz(200)
		l.check(g)
	}
	l.log(t)
}

// TestGatewayKillLeavesTransactionsWhole kills the gateway, while the nats-server keeps what was
// begun.
func TestGatewayKillLeavesTransactionsWhole(t *testing.T) {
	t.Parallel()
	ns := startNATS(t, server.Options{})
	args := []string{"--nats-url=" + ns.ClientURL(), "--transaction-rate=0"}
	g := start(t, args...)
	createLedger(g)
	var l ledger
	for range natstest.Sized(6, 2) {
		l.writeUntil(g, 2, g.kill)
		g.wait()
		g = start(t, args...)
		g.awaitReadyz(200)
		// A transaction that was sent completely is still carried out, before this write. The
		// server drops any other.
		g.want(200, "PUT", "/buckets/shop/keys/after", "")
		l.check(g)
	}
	l.log(t)
}

// TestNATSRestartLeavesTransactionsWhole stops the nats-server and starts it again while the
// gateway keeps running.
func TestNATSRestartLeavesTransactionsWhole(t *testing.T) {
	t.Parallel()
	opts := server.Options{Port: natstest.FreePort(t), StoreDir: t.TempDir()}
	ns := startNATS(t, opts)
	g := start(t, "--nats-url="+ns.ClientURL(), "--transaction-rate=0", "--request-timeout=1s")
	createLedger(g)
	var l ledger
	for range natstest.Sized(3, 1) {
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
