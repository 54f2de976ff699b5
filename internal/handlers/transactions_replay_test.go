package handlers_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go/jetstream"
)

// A transaction that is sent again with its idempotency key is not carried out again. Its revisions
// are reported as long as any of its entries is left.
func TestTransactionSentAgainIsNotDoneAgain(t *testing.T) {
	t.Parallel()
	for name, operations := range map[string]string{
		"unconditional": `{"op":"put","key":"a","value":1},{"op":"put","key":"b","value":1},` +
			`{"op":"check","key":"c","if_revision":1},{"op":"delete","key":"d"}`,
		"if absent": `{"op":"put","key":"a","value":1,"if_absent":true},` +
			`{"op":"put","key":"b","value":1,"if_revision":0},` +
			`{"op":"check","key":"c","if_revision":1},{"op":"delete","key":"d"}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := start(t)
			kv := g.ledger(t)
			put(t, kv, "c", "v")
			again := func() *answer { return g.transact(t, operations, `Idempotency-Key: "k-1"`) }
			first := again().transacted(t)
			check := func(known bool) {
				t.Helper()
				var got transacted
				a := again()
				p := a.problem(t, 409, "already-applied")
				a.decode(t, &got)
				if known {
					if diff := cmp.Diff(first, got); diff != "" {
						t.Errorf("first (-) and again (+):\n%s", diff)
					}
				} else if p["results"] != nil || p["revision"] != nil {
					t.Errorf("results although nothing is left: %s", a.body)
				}
			}
			before := g.messages(t, "ledger")
			check(true)
			g.wantUnchanged(t, "ledger", before)
			put(t, kv, "a", "later")
			check(true)
			put(t, kv, "c", "later") // the key that was checked
			check(true)
			put(t, kv, "b", "later")
			check(true)
			put(t, kv, "d", "later")
			check(false)
			// The same idempotency key is taken for any other transaction of the bucket. Other
			// idempotency keys, and the same one in other buckets, are not.
			put(t, kv, "e", "v")
			g.transact(t, `{"op":"put","key":"e","value":1}`, "Idempotency-Key: k-1").
				problem(t, 409, "already-applied")
			g.transact(t, `{"op":"put","key":"e","value":1}`, "Idempotency-Key: k-2").is(t, 200)
			same := `{"op":"put","key":"f","value":1,"if_revision":0}`
			g.transact(t, same, "Idempotency-Key: k-3").is(t, 200)
			g.transact(t, same, "Idempotency-Key: k-4").
				wantFailed(t, fmt.Sprint("0 f ", g.lastRevision(t, "ledger", "f")))
			g.shop(t)
			g.do(t, "PATCH", "/buckets/shop", `{"allow_atomic":true}`, jsonType).is(t, 200)
			g.do(t, "POST", "/buckets/shop/transactions", `{"operations":[`+
				strings.Replace(operations, `"if_revision":1`, `"if_revision":0`, 1)+
				`]}`, jsonType, "Idempotency-Key: k-1").is(t, 200)
		})
	}
}

// The same transaction, sent by many at once, is carried out once.
func TestTransactionSentAtOnceIsDoneOnce(t *testing.T) {
	t.Parallel()
	g := start(t)
	kv := g.ledger(t)
	put(t, kv, "gone", "v")
	deleteKey(t, kv, "gone")
	answers := make(chan *answer, 12)
	for range cap(answers) {
		go func() {
			answers <- g.transact(t, `{"op":"put","key":"gone","value":1,"if_absent":true},`+
				`{"op":"put","key":"b","value":1}`, "Idempotency-Key: once")
		}()
	}
	applied := 0
	for range cap(answers) {
		if a := <-answers; a.status == 200 {
			applied++
		} else if p := a.problem(t, 409, "already-applied"); p["results"] == nil {
			t.Errorf("no results: %s", a.body)
		}
	}
	if applied != 1 || g.lastRevision(t, "ledger", "b") != 4 {
		t.Errorf("%d applied, last revision of b %d", applied, g.lastRevision(t, "ledger", "b"))
	}
}

func TestTransactionTTLReplacesHistory(t *testing.T) {
	t.Parallel()
	for _, history := range []uint8{1, 10} {
		t.Run(fmt.Sprint("history ", history), func(t *testing.T) {
			t.Parallel()
			g := start(t)
			kv := g.ledger(t, func(c *jetstream.KeyValueConfig) {
				c.LimitMarkerTTL, c.History = time.Second, history
			})
			put(t, kv, "a", "older")
			put(t, kv, "b", "older")
			s := g.watch(t, "/buckets/ledger/watch?updates_only=true")
			s.next()
			done := g.transact(t,
				`{"op":"put","key":"a","text":"brief","ttl":"1s","if_revision":1},`+
					`{"op":"purge","key":"b","ttl":"1500ms"},`+
					`{"op":"put","key":"c","text":"long","ttl":"1h"}`).
				transacted(t)
			if got := g.retained(t, "ledger", "a"); got != 1 {
				t.Errorf("%d messages of a, want its earlier ones rolled up", got)
			}
			g.get(t, "/buckets/ledger/keys/c").is(t, 200)
			header := g.stored(t, "ledger", done.Revision-1).Header
			if header.Get("Nats-TTL") != "2s" || header.Get("Nats-Rollup") != "sub" {
				t.Errorf("headers of the purge: %v", header)
			}
			s.wantEvents("put a", "purge b", "put c", "expire a")
			// The older value does not come back.
			g.get(t, "/buckets/ledger/keys/a").problem(t, 404, "key-deleted")
			wantNative(t, kv, "c", "long")
		})
	}
	g := start(t)
	g.ledger(t, func(c *jetstream.KeyValueConfig) { c.LimitMarkerTTL = time.Minute })
	p := g.transact(t, `{"op":"put","key":"a","value":1},`+
		`{"op":"put","key":"b","value":1,"ttl":"59s"}`).problem(t, 409, "ttl-too-short")
	if p["minimum"] != "1m0s" || fmt.Sprint(p["index"]) != "1" {
		t.Errorf("%v", p)
	}
	g.transact(t, `{"op":"put","key":"b","value":1,"ttl":"60s"}`).is(t, 200)
}

// Watchers see every entry of a transaction, in order and with the transaction's id. A resumed
// stream shows the same.
func TestTransactionsAreWatchedInOrder(t *testing.T) {
	t.Parallel()
	inBothForms(t, func(t *testing.T, form func(*setup)) {
		g := start(t, form)
		// With this history nothing is overwritten before it is read.
		kv := g.ledger(t, func(c *jetstream.KeyValueConfig) { c.History = 64 })
		put(t, kv, "a.0", "v")
		all := g.watch(t, "/buckets/ledger/watch")
		all.wantEvents("put a.0", "sync")
		from := all.lastID
		some := g.watch(t, "/buckets/ledger/watch?filter=a.*&updates_only=true")
		some.next()
		want := map[string]string{}
		var order []string
		for i := range 30 {
			operations := fmt.Sprintf(`{"op":"put","key":"a.%d","value":%d},`+
				`{"op":"put","key":"b.%d","value":%d},{"op":"delete","key":"c"}`, i%3, i, i, i)
			done := g.transact(t, operations).transacted(t)
			for j, r := range done.Results {
				id := fmt.Sprint(r.Revision)
				want[id] = fmt.Sprintf("{\"id\":%q,\"index\":%d,\"last\":%v}", done.ID, j, j == 2)
				order = append(order, id)
			}
			put(t, kv, "a.alone", "v")
		}
		check := func(s *eventStream, filtered bool) {
			t.Helper()
			for _, revision := range order {
				b := s.next()
				for strings.Contains(b.data, "a.alone") ||
					slices.Contains([]string{"sync", "stale", "live", "bookmark"}, b.event) {
					b = s.next()
				}
				if b.event != "put" && b.event != "delete" {
					t.Fatalf("%s %s, want revision %s", b.event, b.data, revision)
				}
				got := fmt.Sprint(uint64(b.object(t)["revision"].(float64)))
				if got != revision || transactionOf(t, []byte(b.data)) != want[revision] {
					t.Fatalf("revision %s with %s, want %s with %s",
						got, b.data, revision, want[revision])
				}
			}
		}
		check(all, false)
		check(g.watch(t, "/buckets/ledger/watch", "Last-Event-ID: "+from), false)
		lines := g.watch(t, "/buckets/ledger/watch?include_history=true")
		for i := 0; i < 30; {
			if b := some.next(); b.event == "put" && transactionOf(t, []byte(b.data)) != "" {
				i++
			}
		}
		lines.until("sync")
	})
}

// Each bucket has its own rate.
func TestTransactionRateIsEachBucketsOwn(t *testing.T) {
	t.Parallel()
	g := start(t, func(s *setup) { s.handlers.TransactionRate = 3 })
	g.ledger(t)
	refused := 0
	for range 12 {
		a := g.transact(t, `{"op":"put","key":"a","value":1}`)
		if a.status == 200 {
			continue
		}
		refused++
		a.has(t, "Retry-After", "1").problem(t, 429, "overloaded")
	}
	if refused == 0 {
		t.Error("no transaction was refused")
	}
	g.shop(t)
	g.do(t, "PATCH", "/buckets/shop", `{"allow_atomic":true}`, jsonType).is(t, 200)
	g.do(t, "POST", "/buckets/shop/transactions",
		`{"operations":[{"op":"put","key":"a","value":1}]}`, jsonType).is(t, 200)
	g.do(t, "PUT", "/buckets/ledger/keys/a", "v").is(t, 200)
	eventually(t, "there is room again", func() bool {
		return g.transact(t, `{"op":"put","key":"a","value":1}`).status == 200
	})
}

// One client cannot use up the transactions of a bucket.
func TestTransactionRateIsShared(t *testing.T) {
	t.Parallel()
	g := start(t, func(s *setup) { s.handlers.TransactionRate = 8 })
	g.ledger(t)
	greedy := 0
	for range 20 {
		if g.transact(t, `{"op":"put","key":"a","value":1}`).status == 200 {
			greedy++
		}
	}
	other := g.sessionFrom(t, otherAddress)
	a := other.do(t, "POST", "/buckets/ledger/transactions",
		`{"operations":[{"op":"put","key":"b","value":1}]}`, jsonType)
	if a.status != 200 || greedy == 20 {
		t.Errorf("%d after %d of 20 transactions of another client", a.status, greedy)
	}
}

// The acknowledgement of the commit is lost, but the transaction is stored. Its idempotency key
// shows that afterwards.
func TestTransactionWithALostAcknowledgementIsOutcomeUnknown(t *testing.T) {
	t.Parallel()
	g := start(t, shortTimeout)
	kv := g.ledger(t)
	put(t, kv, "a", "v")
	operations := `{"op":"put","key":"a","value":2,"if_revision":1},` +
		`{"op":"put","key":"b","value":2}`
	g.wire.onSending(func(data []byte) {
		if bytes.Contains(data, []byte("Nats-Batch-Id")) {
			g.wire.hold()
		}
	})
	g.transact(t, operations, "Idempotency-Key: k").problem(t, 504, "outcome-unknown")
	g.wire.onSending(nil)
	g.wire.release()
	g.awaitReady(t)
	wantNative(t, kv, "a", "2")
	wantNative(t, kv, "b", "2")
	p := g.transact(t, operations, "Idempotency-Key: k").problem(t, 409, "already-applied")
	if fmt.Sprint(p["revision"]) != "3" {
		t.Errorf("%v", p)
	}
	// If the bucket cannot even be looked up, nothing was sent.
	g.wire.hold()
	g.transact(t, operations).has(t, "Retry-After", "1").problem(t, 503, "nats-unavailable")
}

// If the last message of a transaction does not reach the server, nothing of it is stored, then or
// later.
func TestTransactionWithoutItsEndStoresNothing(t *testing.T) {
	t.Parallel()
	g := start(t, shortTimeout)
	kv := g.ledger(t)
	put(t, kv, "a", "v")
	before := g.messages(t, "ledger")
	g.wire.swallow("$KV.ledger.b")
	g.transact(t, `{"op":"put","key":"a","value":2},{"op":"put","key":"b","value":2}`).
		problem(t, 504, "outcome-unknown")
	// The server reports a gap in a batch. On a busy machine the time may be over before the last
	// try is refused, so this is tried again.
	eventually(t, "a gap is known", func() bool {
		return g.transact(t, `{"op":"put","key":"a","value":2},{"op":"put","key":"b","value":2},`+
			`{"op":"put","key":"c","value":2}`).status == 503
	})
	g.wire.swallow("")
	g.wantUnchanged(t, "ledger", before)
	g.transact(t, `{"op":"put","key":"a","value":3},{"op":"put","key":"b","value":3}`).is(t, 200)
}

// Other writers win every race: keys that must be absent come and go.
func TestTransactionOutrunMayBeSentAgain(t *testing.T) {
	t.Parallel()
	g := start(t)
	kv := g.ledger(t)
	put(t, kv, "a", "v")
	outrun := func(times int, write func()) {
		var once sync.Mutex
		g.wire.onSending(func(data []byte) {
			once.Lock()
			defer once.Unlock()
			if bytes.Contains(data, []byte("HPUB $KV.ledger.a ")) && times > 0 {
				times--
				write()
			}
		})
	}
	anew := func() {
		put(t, kv, "a", "brief")
		if err := kv.Delete(t.Context(), "a"); err != nil {
			t.Error(err)
		}
	}
	anew()
	operations := `{"op":"put","key":"a","value":1,"if_absent":true},` +
		`{"op":"put","key":"b","value":1}`
	outrun(7, anew)
	g.transact(t, operations).is(t, 200)
	wantNative(t, kv, "a", "1")
	anew()
	outrun(1000, anew)
	// The same transaction may be sent again.
	g.transact(t, operations).wantFailed(t)
	outrun(1, func() { put(t, kv, "a", "mine") })
	g.transact(t, operations).wantFailed(t, fmt.Sprint("0 a ", g.lastRevision(t, "ledger", "a")))
	wantNative(t, kv, "a", "mine")
}

// Writes to a mirror go to its origin, and so do transactions. Entries that come back from there do
// not name their transaction.
func TestTransactionOfAMirrorGoesToTheOrigin(t *testing.T) {
	t.Parallel()
	g := start(t)
	kv := g.ledger(t)
	g.do(t, "PUT", "/buckets/copy", `{"mirror":{"name":"ledger"}}`, jsonType).is(t, 201)
	target := "/buckets/copy/transactions"
	g.do(t, "POST", target, `{"operations":[{"op":"put","key":"a","value":1,"if_absent":true},`+
		`{"op":"put","key":"b","value":1},{"op":"check","key":"c","if_absent":true}]}`, jsonType).
		is(t, 200)
	wantNative(t, kv, "b", "1")
	g.do(t, "POST", target, `{"operations":[{"op":"put","key":"a","value":1,"if_absent":true}]}`,
		jsonType).wantFailed(t, "0 a 1")
	eventually(t, "the mirror follows", func() bool {
		return g.get(t, "/buckets/copy/keys/b").status == 200
	})
	if named := transactionOf(t, g.get(t, "/buckets/copy/entries/b").is(t, 200).body); named != "" {
		t.Errorf("the entry of the mirror names a transaction: %s", named)
	}
	g.do(t, "PATCH", "/buckets/ledger", `{"allow_atomic":false}`, jsonType).is(t, 200)
	problem := g.do(t, "POST", target, `{"operations":[{"op":"put","key":"a","value":1}]}`,
		jsonType).problem(t, 409, "transactions-not-enabled")
	if problem["bucket"] != "ledger" || fmt.Sprint(problem["patch"]) != "map[allow_atomic:true]" {
		t.Errorf("the problem does not name the bucket to be changed, and how: %v", problem)
	}
}
