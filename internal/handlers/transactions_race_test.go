package handlers_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

var transferTime = flag.Duration("transfers", 2*time.Second,
	"for how long TestTransfersKeepTheSum moves money")

const (
	accounts = 6
	total    = accounts * 100
)

// account returns the key of an account.
func account(i int) string { return fmt.Sprintf("account.%d", i) }

// Transactions over HTTP move money between accounts, while native clients write the same keys. No
// money is missing in any snapshot while they do, nor for a watcher in the end.
func TestTransfersKeepTheSum(t *testing.T) {
	t.Parallel()
	for _, storage := range []jetstream.StorageType{
		jetstream.FileStorage, jetstream.MemoryStorage,
	} {
		t.Run(storage.String(), func(t *testing.T) {
			if testing.Short() && storage == jetstream.MemoryStorage {
				t.Skip("the server has the same code for both but for what it writes to the disk")
			}
			t.Parallel()
			g := start(t)
			kv := g.ledger(t, func(c *jetstream.KeyValueConfig) {
				c.Storage, c.History = storage, 1
			})
			for i := range accounts {
				put(t, kv, account(i), "100")
			}
			put(t, kv, "open", "yes")
			watched := g.watch(t, "/buckets/ledger/watch?filter=account.*")
			stop := make(chan struct{})
			time.AfterFunc(*transferTime, func() { close(stop) })
			var moved, refused, snapshots atomic.Int64
			var work sync.WaitGroup
			for seed := range 3 {
				r := rand.New(rand.NewPCG(uint64(seed), 7))
				repeatUntil(&work, stop, 0, func() { g.transfer(t, r, &moved, &refused) })
			}
			r := rand.New(rand.NewPCG(99, 7))
			repeatUntil(&work, stop, 20*time.Millisecond, func() {
				touch(t, kv, account(r.IntN(accounts)))
			})
			repeatUntil(&work, stop, 200*time.Millisecond, func() { touch(t, kv, "open") })
			repeatUntil(&work, stop, time.Millisecond, func() {
				snapshots.Add(1)
				if sum := sumAtOnce(t, g.js.Conn()); sum != total {
					t.Errorf("a snapshot has %d, want %d", sum, total)
				}
			})
			work.Wait()
			if moved.Load() == 0 || snapshots.Load() == 0 {
				t.Error("nothing happened")
			}
			put(t, kv, "account.end", "0")
			members := foldTransfers(t, watched)
			t.Logf("%d transfers, %d refused, %d snapshots, %d members watched",
				moved.Load(), refused.Load(), snapshots.Load(), members)
		})
	}
}

// repeatUntil runs a function again and again, at this interval, until stop is closed.
func repeatUntil(work *sync.WaitGroup, stop <-chan struct{}, every time.Duration, do func()) {
	work.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(every):
				do()
			}
		}
	})
}

// transfer moves some money, on the condition that both accounts and the key "open" are as they
// were read.
func (g *gateway) transfer(t testing.TB, r *rand.Rand, moved, refused *atomic.Int64) {
	from, to := r.IntN(accounts), r.IntN(accounts)
	if from == to {
		return
	}
	a := g.get(t, "/buckets/ledger/keys/"+account(from)).is(t, 200)
	b := g.get(t, "/buckets/ledger/keys/"+account(to)).is(t, 200)
	open := g.get(t, "/buckets/ledger/keys/open").is(t, 200)
	have, _ := strconv.Atoi(string(a.body))
	had, _ := strconv.Atoi(string(b.body))
	amount := r.IntN(10)
	set := func(account string, balance int, revision uint64) string {
		return fmt.Sprintf(`{"op":"put","key":%q,"value":%d,"if_revision":%d}`,
			account, balance, revision)
	}
	answer := g.transact(t, strings.Join([]string{
		set(account(from), have-amount, a.revision(t)),
		set(account(to), had+amount, b.revision(t)),
		fmt.Sprintf(`{"op":"check","key":"open","if_revision":%d}`, open.revision(t)),
		fmt.Sprintf(`{"op":"put","key":"log","value":%d}`, amount),
	}, ","))
	switch answer.status {
	case 200:
		moved.Add(1)
	case 412:
		refused.Add(1)
	default:
		t.Errorf("transfer: %d %s", answer.status, answer.body)
	}
}

// touch stores the value of a key again natively, as its next revision.
func touch(t testing.TB, kv jetstream.KeyValue, key string) {
	entry, err := kv.Get(t.Context(), key)
	if err != nil {
		t.Errorf("native get: %v", err)
		return
	}
	// Losing the race is no failure.
	_, _ = kv.Update(t.Context(), key, entry.Value(), entry.Revision())
}

// sumAtOnce returns the sum of all accounts at one instant. It reads them as native clients can,
// with multi_last (ADR-31).
func sumAtOnce(t testing.TB, nc *nats.Conn) (sum int) {
	inbox := nc.NewInbox()
	replies := make(chan *nats.Msg, accounts+1)
	subscription, err := nc.ChanSubscribe(inbox, replies)
	if err != nil {
		t.Error(err)
		return total
	}
	defer subscription.Unsubscribe()
	if err := nc.PublishRequest("$JS.API.DIRECT.GET.KV_ledger", inbox,
		[]byte(`{"multi_last":["$KV.ledger.account.*"]}`)); err != nil {
		t.Error(err)
		return total
	}
	for {
		select {
		case msg := <-replies:
			if msg.Header.Get("Status") == "204" {
				return sum
			}
			n, _ := strconv.Atoi(string(msg.Data))
			sum += n
		case <-time.After(patience):
			t.Error("no snapshot came")
			return total
		}
	}
}

// foldTransfers folds the events of a watch and checks the sum at the end. It also checks the order
// within each transaction: the accounts are its entries 0 and 1, which have consecutive revisions.
// An entry that is not delivered was overwritten, since the history is 1. It returns the number of
// events that were part of transactions.
func foldTransfers(t testing.TB, s *eventStream) (members int) {
	balance := make(map[string]int)
	var last struct {
		Revision    uint64
		Transaction *struct {
			ID    string
			Index int
		}
	}
	for {
		b := s.next()
		if b.event != "put" {
			continue
		}
		var e struct {
			Key, Text   string
			Value       *int
			Revision    uint64
			Transaction *struct {
				ID    string
				Index int
			}
		}
		if err := json.Unmarshal([]byte(b.data), &e); err != nil {
			t.Fatal(err)
		}
		if e.Key == "account.end" {
			break
		}
		if e.Revision <= last.Revision {
			t.Errorf("revision %d after %d", e.Revision, last.Revision)
		}
		if e.Value == nil {
			e.Value = new(int)
			fmt.Sscan(e.Text, e.Value)
		}
		balance[e.Key] = *e.Value
		if e.Transaction != nil {
			members++
			if e.Transaction.Index == 1 && last.Transaction != nil &&
				last.Transaction.ID == e.Transaction.ID && last.Revision+1 != e.Revision {
				t.Errorf("members at %d and %d", last.Revision, e.Revision)
			}
		}
		last.Revision, last.Transaction = e.Revision, e.Transaction
	}
	sum := 0
	for _, n := range balance {
		sum += n
	}
	if sum != total {
		t.Errorf("the watcher has %d in the end, want %d: %v", sum, total, balance)
	}
	return members
}
