package kvclient_test

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nuid"

	"kvgateway/internal/kv"
	"kvgateway/internal/kvclient"
	"kvgateway/internal/natstest"
)

func allowAtomic(c *kv.BucketConfig) { c.AllowAtomic = true }

// putStep is a step that stores a value, on a precondition if one is given.
func putStep(t testing.TB, k, value string, p ...kv.Precondition) kvclient.Step {
	t.Helper()
	step := kvclient.Step{Kind: kvclient.PutStep, Key: key(t, k), Value: []byte(value)}
	for _, precondition := range p {
		step.Precondition = precondition
	}
	return step
}

// transact sends one transaction without an idempotency key.
func transact(
	t testing.TB, b *kvclient.Bucket, steps ...kvclient.Step,
) (kv.Transacted, error) {
	t.Helper()
	return b.Transact(t.Context(), kvclient.Transaction{Steps: steps})
}

// begin sends the first message of a batch, like a client that dies before it sends the rest.
func begin(t testing.TB, nc *nats.Conn, id, k string) {
	t.Helper()
	msg := nats.NewMsg("$KV.shop." + k)
	msg.Data = []byte("half")
	msg.Header.Set("Nats-Batch-Id", id)
	msg.Header.Set("Nats-Batch-Sequence", "1")
	if reply, err := nc.RequestMsg(msg, soon); err != nil || len(reply.Data) > 0 {
		t.Fatalf("begin a batch: %v %s", err, reply.Data)
	}
}

// Nobody sees batches that were begun and not finished, and the server drops them after a while.
// As long as there are too many of them, a transaction is refused with an error that says so.
func TestUnfinishedBatchesAreInvisible(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t, configured(func(o *server.Options) {
		o.JetStreamLimits.MaxBatchTimeout = 6 * time.Second
	}))
	c := connect(t, kvclient.Options{URL: s.URL()})
	b := shop(t, c, allowAtomic)
	put(t, b, "a", "v")
	nc := s.Conn(t)
	for i := range 50 {
		begin(t, nc, "dead"+strconv.Itoa(i), "a")
	}
	if _, err := transact(t, b, putStep(t, "b", "1")); !errors.Is(err, kv.ErrOverloaded) {
		t.Errorf("beside 50 open batches: %v, want ErrOverloaded", err)
	}
	put(t, b, "c", "v") // Writes outside of transactions are not refused.
	if e, err := get(t, b, "a"); err != nil || string(e.Value) != "v" {
		t.Errorf("an unfinished batch is seen: %s %v", e.Value, err)
	}
	natstest.Eventually(t, soon, "the server drops the batches", func() bool {
		_, err := transact(t, b, putStep(t, "b", "1"))
		return err == nil
	})
	if e, err := get(t, b, "a"); err != nil || e.Revision != 1 {
		t.Errorf("a is at revision %d, %v", e.Revision, err)
	}
}

// If the server refuses a part of a transaction, nothing of it is stored.
func TestRefusedTransactionStoresNothing(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t, configured(func(o *server.Options) {
		o.JetStreamLimits.MaxBatchSize = 3
	}))
	c := connect(t, kvclient.Options{URL: s.URL()})
	b := shop(t, c, func(c *kv.BucketConfig) { c.AllowAtomic, c.MaxBytes = true, 20_000 })
	var steps []kvclient.Step
	for i := range 3 {
		steps = append(steps, putStep(t, "k"+strconv.Itoa(i), strings.Repeat("v", 9000)))
	}
	if _, err := transact(t, b, steps...); !errors.Is(err, kv.ErrBucketFull) {
		t.Errorf("more than max_bytes: %v", err)
	}
	_, err := transact(t, b, append(steps, putStep(t, "k3", ""))...)
	if _, ok := errors.AsType[*kv.StepError](err); !ok {
		t.Errorf("more than the server's limit of a batch: %v", err)
	}
	status, err := c.Status(t.Context(), b.Name())
	if err != nil || status.Values != 0 || status.LastRevision != 0 {
		t.Errorf("%d values, revision %d, %v", status.Values, status.LastRevision, err)
	}
	if _, err := transact(t, b, steps[:2]...); err != nil {
		t.Errorf("what fits: %v", err)
	}
	if err := c.DeleteBucket(t.Context(), b.Name()); err != nil {
		t.Fatal(err)
	}
	if _, err := transact(t, b, steps[:1]...); !errors.Is(err, kv.ErrBucketNotFound) {
		t.Errorf("in a deleted bucket: %v", err)
	}
}

// The gateway compares a transaction with the account's limit before it sends anything. The server
// alone would store a part of it.
func TestTransactionBeyondTheAccountStoresNothing(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t, natstest.Options{Configure: func(o *server.Options) {
		err := o.ProcessConfigString(`accounts { A {
			jetstream { max_store: 100000, max_memory: 100000 }, users: [{user: a, password: a}]
		} }`)
		if err != nil {
			t.Error(err)
		}
	}})
	c := connect(t, kvclient.Options{URL: s.URL(), User: "a", Password: "a"})
	for _, storage := range []kv.Storage{kv.FileStorage, kv.MemoryStorage} {
		b := newBucket(t, c, string(storage), func(c *kv.BucketConfig) {
			c.AllowAtomic, c.Storage = true, storage
		})
		var steps []kvclient.Step
		for i := range 20 {
			steps = append(steps, putStep(t, "k"+strconv.Itoa(i), strings.Repeat("v", 10_000)))
		}
		if _, err := transact(t, b, steps...); !errors.Is(err, kv.ErrStorageExhausted) {
			t.Errorf("%s, beyond the limit: %v", storage, err)
		}
		if status, err := c.Status(t.Context(), b.Name()); err != nil || status.Values != 0 {
			t.Errorf("%s: %d values, %v", storage, status.Values, err)
		}
		// Of the limit, 90,000 bytes are taken first. What is left is too little for the others.
		for n := 9; n > 0; n -= 4 {
			_, err := transact(t, b, steps[:n]...)
			if n == 9 && err != nil || n < 9 && !errors.Is(err, kv.ErrStorageExhausted) {
				t.Errorf("%s, %d: %v", storage, n, err)
			}
		}
	}
}

// incrementPair adds one to x and to y. If it does not know the outcome, it sends the same
// transaction with the same idempotency key again, until it does.
func incrementPair(t testing.TB, b *kvclient.Bucket) {
	for attempt := 0; ; attempt++ {
		x, errX := get(t, b, "x")
		y, errY := get(t, b, "y")
		if errX != nil && !errors.Is(errX, kv.ErrKeyNotFound) ||
			errY != nil && !errors.Is(errY, kv.ErrKeyNotFound) {
			continue // There is no leader.
		}
		increment := kvclient.Transaction{
			Idempotency: kvclient.Idempotency{Key: nuid.Next()},
			Steps: []kvclient.Step{
				putStep(t, "x", string(plusOne(x.Value)), ifRevision(x.Revision)),
				putStep(t, "y", string(plusOne(y.Value)), ifRevision(y.Revision)),
			},
		}
		for {
			_, err := b.Transact(t.Context(), increment)
			_, applied := errors.AsType[*kv.AlreadyAppliedError](err)
			_, failed := errors.AsType[*kv.TransactionFailedError](err)
			if err == nil || applied {
				return
			}
			if failed {
				break
			}
			if !errors.Is(err, kv.ErrOutcomeUnknown) &&
				!errors.Is(err, kv.ErrUnavailable) {
				t.Errorf("attempt %d: %v", attempt, err)
				return
			}
		}
	}
}

// Transactions keep two keys equal, on three nodes whose leader resigns again and again, and
// beside native writers.
func TestClusterTransactionsAreAtomic(t *testing.T) {
	nodes, c, b, js := cluster(t)
	update(t, c, `{"allow_atomic":true}`)
	native := native(t, js, "shop")
	const workers, rounds = 4, 25
	inParallel(workers+2, func(i int) {
		for round := range rounds {
			switch {
			case i == workers:
				_, err := native.PutString(t.Context(), "native", strconv.Itoa(round))
				if err != nil {
					t.Logf("native put: %v", err)
				}
			case i == workers+1:
				if round%8 == 3 {
					resign(t, js)
					nodes.StreamLeader(js, "KV_shop")
				}
				// This may fail while there is no leader.
				_, _ = b.Put(t.Context(), kvclient.Write{Key: key(t, "beside")})
			default:
				incrementPair(t, b)
			}
		}
	})
	x, err := get(t, b, "x")
	y, err2 := get(t, b, "y")
	if err != nil || err2 != nil || string(x.Value) != string(y.Value) ||
		string(x.Value) != strconv.Itoa(workers*rounds) {
		t.Errorf("x is %s, y is %s, want %d; %v %v", x.Value, y.Value, workers*rounds, err, err2)
	}
	if x.Transaction == nil || y.Transaction == nil || x.Transaction.ID != y.Transaction.ID ||
		x.Transaction.Last || !y.Transaction.Last || y.Revision != x.Revision+1 {
		t.Errorf("parts %+v at %d and %+v at %d",
			x.Transaction, x.Revision, y.Transaction, y.Revision)
	}

	// This is the largest possible transaction. It is then sent again with its idempotency key.
	var steps []kvclient.Step
	for i := range 15 {
		steps = append(steps, putStep(t, "large"+strconv.Itoa(i), strings.Repeat("v", 1<<20-1000)))
	}
	large := kvclient.Transaction{Steps: steps, Idempotency: kvclient.Idempotency{Key: "large"}}
	first, err := b.Transact(t.Context(), large)
	if err != nil {
		t.Fatal(err)
	}
	_, err = b.Transact(t.Context(), large)
	applied, ok := errors.AsType[*kv.AlreadyAppliedError](err)
	if !ok || applied.First == nil || fmt.Sprint(*applied.First) != fmt.Sprint(first) {
		t.Errorf("again: %v, want %v", err, first)
	}
}
